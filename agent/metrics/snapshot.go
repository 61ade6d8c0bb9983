// SPDX-License-Identifier: Apache-2.0

// Package metrics exposes vipd to Prometheus. The state and the kernel's counters
// are read at scrape from a [Source]; transitions and wake-up lags are pushed by the
// agent's loop when they happen.
package metrics

import "time"

// Source is read once a scrape. It must be safe for use by several goroutines.
type Source interface {
	Snapshot() Snapshot
}

// Snapshot is the node at one moment.
type Snapshot struct {
	// LoopAge is the time since the election loop last went round: how old everything
	// here is that is not read from the kernel.
	LoopAge time.Duration
	// SamplesLost and IncidentsSkipped are of the flight recorder.
	SamplesLost, IncidentsSkipped uint64

	Enabled     bool
	Maintenance bool
	// Demotion is the sum of all demotions, in units of advskew (1/256 s).
	Demotion int
	// Demotions are what Demotion is made of.
	Demotions []Demotion
	// Checks are the health checks of the config.
	Checks []Check
	// RejectReasons and DropReasons name the elements of Group.Rejected and Group.Dropped.
	RejectReasons, DropReasons []string
	Groups                     []Group
	Interfaces                 []Interface
	// Err fails the scrape: better no numbers than wrong ones.
	Err error
}

// Demotion is one named contribution.
type Demotion struct {
	Name  string
	Value int
}

// Check is one health check.
type Check struct {
	Name string
	// Failing is false while it is not known yet.
	Failing bool
	// Known is false until the first result; then there is no age.
	Known bool
	// Age is the time since the last result.
	Age time.Duration
}

// Group is one redundancy group in a [Snapshot].
type Group struct {
	Interface string
	VHID      uint8
	// State is MASTER, BACKUP or INIT.
	State    string
	Sent     uint64
	Received uint64
	// Rejected is adverts refused, by Snapshot.RejectReasons; the reasons that every group
	// has count as 0 where they are missing.
	Rejected []uint64
	// Dropped is frames for the group that the kernel dropped, by Snapshot.DropReasons.
	Dropped        []uint64
	Packets, Bytes uint64
	EventsLost     uint64
	// Heard is false while no foreign advertisement was heard; then there is no age.
	Heard bool
	// LastAdvertAge is the time since the last authentic foreign advertisement.
	LastAdvertAge time.Duration
	// LeaseRemaining is negative or 0 when the group may not answer.
	LeaseRemaining time.Duration
	VIPs           []VIP
	// Families are the address families that the group has.
	Families []Family
	// Contexts are the passwords and address lists that adverts are accepted with,
	// each name once.
	Contexts []Context
	// HasHook says that there is one, HookWaiting how many transitions wait for it.
	HasHook     bool
	HookWaiting int
}

// Family is one address family of a [Group].
type Family struct {
	// Name is ipv4 or ipv6.
	Name string
	// Silent is true while the master is heard in the other family alone.
	Silent bool
}

// Context counts the authentic adverts of one password and address list.
type Context struct {
	// Name is own, or accept N.
	Name     string
	Received uint64
}

// VIP is one address in a [Group].
type VIP struct {
	// Address is without prefix length.
	Address                           string
	ARPRequests, ARPReplies           uint64
	NDSolicitations, NDAdvertisements uint64
	// AnswersUnseen says that a client seems not to see our answers.
	AnswersUnseen bool
}

// Interface is what belongs to an interface and to none of its groups.
type Interface struct {
	Name string
	// Mode is native or generic, and empty while not attached.
	Mode string
	// Rejected is bad_vhid and foreign_vrrp; reasons that are missing count as 0.
	Rejected map[string]uint64
	// Dropped is frames that the kernel dropped, by reason. May be nil.
	Dropped map[string]uint64
	// Lost is programs that were found gone, by hook. May be nil.
	Lost map[string]uint64
}
