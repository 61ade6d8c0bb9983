// SPDX-License-Identifier: Apache-2.0

// Package keep stores what holds a node back across a restart of the daemon: verdicts of health
// checks, demotions by the operator, and holds. The file is in a directory that a reboot empties,
// and a file of another boot is ignored.
//
// It is written at each change and not at exit, so that it survives kill -9. It is replaced by a
// rename without fsync, since it need not survive a crash of the machine.
package keep

import (
	"fmt"
	"net/netip"
	"time"
)

// Memory is the content of the file. Instants are nanoseconds of CLOCK_BOOTTIME, which cannot be
// set; times of day are only shown.
type Memory struct {
	Checks    []Check    `json:"checks,omitempty"`
	Demotions []Demotion `json:"demotions,omitempty"`
	Holds     []Hold     `json:"holds,omitempty"`
}

// Check is the verdict on a health check.
type Check struct {
	Name string `json:"name"`
	// Subject is the target of the check. A check of that name with another target has no
	// verdict.
	Subject string    `json:"subject"`
	Failing bool      `json:"failing"`
	Reason  string    `json:"reason,omitempty"`
	Since   time.Time `json:"since"`
}

// Demotion is one that the operator added.
type Demotion struct {
	Name   string    `json:"name"`
	Value  int       `json:"value"`
	Reason string    `json:"reason,omitempty"`
	Since  time.Time `json:"since"`
	// Ends is 0 for a demotion without an end.
	Ends int64 `json:"ends,omitempty"`
}

// Hold is why a group does not preempt.
type Hold struct {
	Group      string        `json:"group"`
	YieldUntil int64         `json:"yield_until,omitempty"`
	Successors []netip.Addr  `json:"successors,omitempty"`
	AdvBase    uint8         `json:"advbase,omitempty"` // of the successor
	AdvSkew    uint8         `json:"advskew,omitempty"`
	Demote     uint8         `json:"demote,omitempty"`
	FailUntil  int64         `json:"fail_until,omitempty"`
	FailWait   time.Duration `json:"fail_wait,omitempty"`
}

const (
	version = 1
	// maxSize is more than the largest config needs.
	maxSize = 8 << 20
	// maxText limits names and reasons.
	maxText = 1 << 10
	// maxValue limits one demotion.
	maxValue = 1 << 10
)

// file is the content on disk.
type file struct {
	Version int    `json:"version"`
	Boot    string `json:"boot"` // the kernel's boot_id
	Memory
}

// check reports values that vipd never writes.
func (m *Memory) check() error {
	for _, c := range m.Checks {
		if c.Name == "" || max(len(c.Name), len(c.Subject), len(c.Reason)) > maxText {
			return fmt.Errorf("check %.40q is not valid", c.Name)
		}
	}
	for _, d := range m.Demotions {
		if d.Name == "" || max(len(d.Name), len(d.Reason)) > maxText || d.Value < -maxValue || d.Value > maxValue ||
			d.Ends < 0 {
			return fmt.Errorf("demotion %.40q is not valid", d.Name)
		}
	}
	for _, h := range m.Holds {
		if h.Group == "" || len(h.Group) > maxText || len(h.Successors) > 2 || h.YieldUntil < 0 || h.FailUntil < 0 ||
			h.FailWait < 0 {
			return fmt.Errorf("hold of %.40q is not valid", h.Group)
		}
	}
	return nil
}
