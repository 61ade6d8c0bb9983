// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"time"
)

// Names of the daemon's own demotions. A name with a colon is always the daemon's.
const (
	// MaintenanceDemotion is the name of the demotion that maintenance mode is.
	MaintenanceDemotion = "maintenance"
	// DemotionLinkPrefix begins link:IFNAME, an interface without carrier.
	DemotionLinkPrefix = "link:"
	// DemotionCheckPrefix begins check:NAME, a health check that fails.
	DemotionCheckPrefix = "check:"
	// DemotionSendErrPrefix begins senderr:GROUP, a group whose adverts cannot be sent.
	DemotionSendErrPrefix = "senderr:"
)

// Limits of what an operator may add.
const (
	// MaxDemotion is the largest value of one demotion, and its negative the smallest.
	MaxDemotion = 255
	// MaxDemotionFor is the longest time that a demotion may be added for.
	MaxDemotionFor = 365 * 24 * time.Hour
	// MaxOperatorDemotions is how many demotions of the operator there may be at once.
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
	// Expires is when it goes by itself; absent if it stays until it is removed.
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
	// Name is of letters, digits, '.', '_' and '-', and not maintenance.
	Name string `json:"name"`
	// Value is -255..255 and not 0, in units of advskew.
	Value int `json:"value"`
	// For is in seconds; 0 means until it is removed.
	For int `json:"for,omitempty"`
	// Reason is one line for people. May be empty.
	Reason string `json:"reason,omitempty"`
}

// Duration is For; 0 means until it is removed.
func (n NewDemotion) Duration() time.Duration { return time.Duration(n.For) * time.Second }

// DemotionChange is the answer to what changes demotions.
type DemotionChange struct {
	// Changed is false when everything was as wanted already.
	Changed bool `json:"changed"`
	// Demotion is the sum after the change.
	Demotion int `json:"demotion"`
	// Removed are the names that a removal or reset took off.
	Removed []string `json:"removed,omitempty"`
	// Message is a sentence worth telling the operator. May be empty.
	Message string `json:"message,omitempty"`
}

// Check returns what is wrong with a demotion that is to be added, as an [*Error].
func (n NewDemotion) Check() error {
	if n.Name == MaintenanceDemotion {
		return Errorf(CodeReserved, "%s is the daemon's own demotion: `vipctl maintenance enter` adds it, and lasts over a reboot", n.Name)
	}
	if strings.Contains(n.Name, ":") {
		return Errorf(CodeReserved, "%.100q has a colon, and those names are the daemon's own (link:, check:, senderr:); choose another", n.Name)
	}
	if !validDemotionName(n.Name) {
		return Errorf(CodeBadRequest, "%.100q is no name for a demotion; allowed are 1..%d letters, digits, '.', '_' and '-', a letter or digit first", n.Name, maxDemotionName)
	}
	if n.Value == 0 || n.Value < -MaxDemotion || n.Value > MaxDemotion {
		return Errorf(CodeBadRequest, "%d is no value for a demotion; allowed are 1..%d, and -1..-%d to take back what others add", n.Value, MaxDemotion, MaxDemotion)
	}
	if n.For < 0 || n.For > int(MaxDemotionFor/time.Second) {
		return Errorf(CodeBadRequest, "a demotion cannot last %d s; allowed are 1..%d seconds, or 0 until it is removed", n.For, int(MaxDemotionFor/time.Second))
	}
	if len(n.Reason) > maxDemotionReason || strings.ContainsFunc(n.Reason, unprintable) {
		return Errorf(CodeBadRequest, "the reason is not one line of at most %d printable bytes", maxDemotionReason)
	}
	return nil
}

// CheckRemoval returns why a demotion cannot be taken off by its name, as an [*Error].
// Demotions for errors may be taken off; those for what is still so may not.
func CheckRemoval(name string) error {
	switch {
	case name == MaintenanceDemotion:
		return Errorf(CodeReserved, "maintenance mode is not removed as a demotion: `vipctl maintenance leave` ends it")
	case strings.HasPrefix(name, DemotionLinkPrefix):
		return Errorf(CodeReserved, "%.100q goes when the interface has carrier again; to outweigh it add a negative demotion", name)
	case strings.HasPrefix(name, DemotionCheckPrefix):
		return Errorf(CodeReserved, "%.100q goes when the check passes again or is taken out of the config; to outweigh it add a negative demotion", name)
	case strings.HasPrefix(name, DemotionSendErrPrefix) && len(name) <= maxDemotionName && !strings.ContainsFunc(name, unprintable):
		return nil
	case !validDemotionName(name):
		return Errorf(CodeBadRequest, "%.100q is no name of a demotion; `vipctl demotion list` shows them", name)
	}
	return nil
}

// Resettable says whether a reset takes the demotion off: the operator's and those for
// errors. What is still so (links, checks) and maintenance stay.
func (d Demotion) Resettable() bool {
	return d.Name != MaintenanceDemotion && (!strings.Contains(d.Name, ":") || strings.HasPrefix(d.Name, DemotionSendErrPrefix))
}

// OfOperator says whether the demotion was added by hand.
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
