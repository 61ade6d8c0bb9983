// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"time"
)

// Names of the daemon's own demotions. A name with a colon is always the daemon's.
const (
	// MaintenanceDemotion is the name of maintenance mode's demotion.
	MaintenanceDemotion = "maintenance"
	// DemotionLinkPrefix is the prefix of link:IFNAME, an interface without carrier.
	DemotionLinkPrefix = "link:"
	// DemotionCheckPrefix is the prefix of check:NAME, a health check that fails.
	DemotionCheckPrefix = "check:"
	// DemotionSendErrPrefix is the prefix of senderr:GROUP, a group whose adverts cannot be sent.
	DemotionSendErrPrefix = "senderr:"
	// DemotionSourcePrefix is the prefix of source:IFNAME, an interface from which some families or peers of its groups
	// cannot be reached.
	DemotionSourcePrefix = "source:"
)

// Limits of demotions that an operator adds.
const (
	// MaxDemotion is the largest value of one demotion; its negative is the smallest.
	MaxDemotion = 255
	// MaxDemotionFor is the longest time for which a demotion can be added.
	MaxDemotionFor = 365 * 24 * time.Hour
	// MaxOperatorDemotions is how many demotions the operator can have at once.
	MaxOperatorDemotions = 64

	maxDemotionName   = 64
	maxDemotionReason = 255
)

// Demotion is one named contribution to the node's demotion.
type Demotion struct {
	Name   string    `json:"name"`
	Value  int       `json:"value"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Expires is when the demotion ends by itself; absent if it stays until it is removed.
	Expires time.Time `json:"expires,omitzero"`
}

// Demotions is the answer to GET /v1/demotions.
type Demotions struct {
	// Demotion is the sum of Demotions, in units of advskew (1/256 s).
	Demotion  int        `json:"demotion"`
	Demotions []Demotion `json:"demotions"`
}

// NewDemotion is the body of POST /v1/demotions.
type NewDemotion struct {
	// Name consists of letters, digits, '.', '_' and '-', and is not maintenance.
	Name string `json:"name"`
	// Value is -255..255 and not 0, in units of advskew.
	Value int `json:"value"`
	// For is the duration in seconds; 0 means until it is removed.
	For int `json:"for,omitempty"`
	// Reason is one line of text. May be empty.
	Reason string `json:"reason,omitempty"`
}

// Duration returns For; 0 means until it is removed.
func (n NewDemotion) Duration() time.Duration { return time.Duration(n.For) * time.Second }

// DemotionChange is the answer to requests that change demotions.
type DemotionChange struct {
	// Changed is false if the demotions were in the requested state already.
	Changed bool `json:"changed"`
	// Demotion is the sum after the change.
	Demotion int `json:"demotion"`
	// Removed lists the names that a removal or reset removed.
	Removed []string `json:"removed,omitempty"`
	// Message is a sentence for the operator. May be empty.
	Message string `json:"message,omitempty"`
}

// Check returns why a demotion cannot be added, as an [*Error].
func (n NewDemotion) Check() error {
	if n.Name == MaintenanceDemotion {
		return Errorf(CodeReserved,
			"%s is the daemon's own demotion: `vipctl maintenance enter` adds it, and it survives a reboot", n.Name)
	}
	if strings.Contains(n.Name, ":") {
		return Errorf(CodeReserved,
			"%.100q has a colon; such names are the daemon's own (link:, source:, check:, senderr:); choose another", n.Name)
	}
	if !validDemotionName(n.Name) {
		return Errorf(CodeBadRequest, "%.100q is not a valid name for a demotion; "+
			"allowed are 1..%d letters, digits, '.', '_' and '-', a letter or digit first", n.Name, maxDemotionName)
	}
	if n.Value == 0 || n.Value < -MaxDemotion || n.Value > MaxDemotion {
		return Errorf(CodeBadRequest, "%d is not a valid demotion; allowed are 1..%d, and -1..-%d to offset others",
			n.Value, MaxDemotion, MaxDemotion)
	}
	if n.For < 0 || n.For > int(MaxDemotionFor/time.Second) {
		return Errorf(CodeBadRequest, "a demotion cannot last %d s; allowed are 1..%d seconds, or 0 until it is removed",
			n.For, int(MaxDemotionFor/time.Second))
	}
	if len(n.Reason) > maxDemotionReason || strings.ContainsFunc(n.Reason, unprintable) {
		return Errorf(CodeBadRequest, "the reason must be one line of at most %d printable bytes", maxDemotionReason)
	}
	return nil
}

// CheckRemoval returns why a demotion cannot be removed by its name, as an [*Error]. Demotions for errors can be
// removed; those whose cause persists cannot.
func CheckRemoval(name string) error {
	switch {
	case name == MaintenanceDemotion:
		return Errorf(CodeReserved, "maintenance mode is not removed as a demotion: `vipctl maintenance leave` ends it")
	case strings.HasPrefix(name, DemotionLinkPrefix):
		return Errorf(CodeReserved,
			"%.100q ends when the interface has carrier again; add a negative demotion to offset it", name)
	case strings.HasPrefix(name, DemotionSourcePrefix):
		return Errorf(CodeReserved,
			"%.100q ends when all families and peers can be reached again; add a negative demotion to offset it", name)
	case strings.HasPrefix(name, DemotionCheckPrefix):
		return Errorf(CodeReserved,
			"%.100q ends when the check passes again or is removed from the config; add a negative demotion to offset it",
			name)
	case strings.HasPrefix(name, DemotionSendErrPrefix) && len(name) <= maxDemotionName &&
		!strings.ContainsFunc(name, unprintable):
		return nil
	case !validDemotionName(name):
		return Errorf(CodeBadRequest, "%.100q is not a valid name of a demotion; `vipctl demotion list` shows all", name)
	}
	return nil
}

// Resettable reports whether a reset removes the demotion: the operator's and those for errors. Those whose cause
// persists (links, checks) and maintenance stay.
func (d Demotion) Resettable() bool {
	return d.Name != MaintenanceDemotion &&
		(!strings.Contains(d.Name, ":") || strings.HasPrefix(d.Name, DemotionSendErrPrefix))
}

// OfOperator reports whether the operator added the demotion.
func (d Demotion) OfOperator() bool {
	return d.Name != MaintenanceDemotion && !strings.Contains(d.Name, ":")
}

func validDemotionName(name string) bool {
	for i := range len(name) {
		c := name[i]
		alnum := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
		if !alnum && (i == 0 || c != '.' && c != '_' && c != '-') {
			return false
		}
	}
	return name != "" && len(name) <= maxDemotionName
}
