// SPDX-License-Identifier: Apache-2.0

// Package metrics exposes vipd to Prometheus. State and the kernel's counters are read
// from a [Source] at each scrape; the agent's loop counts transitions and wake-up lags
// when they happen.
package metrics

import "time"

// Source is read once per page. It must be safe for concurrent use.
type Source interface {
	Snapshot() Snapshot
}

// Snapshot is the node at one moment.
type Snapshot struct {
	// LoopAge is the time since the last round of the election loop: the age of everything
	// here that is not read from the kernel.
	LoopAge time.Duration
	// SamplesLost and IncidentsSkipped are those of the flight recorder.
	SamplesLost, IncidentsSkipped uint64

	Enabled     bool
	Maintenance bool
	// Demotion is the sum of all demotions, in units of advskew (1/256 s).
	Demotion int
	// Demotions are the summands of Demotion.
	Demotions []Demotion
	// Checks are the health checks of the config.
	Checks []Check
	// RejectReasons and DropReasons name the elements of Group.Rejected and Group.Dropped.
	RejectReasons, DropReasons []string
	Groups                     []Group
	Interfaces                 []Interface
	// Peers are the nodes that sent hellos, each name once.
	Peers []Peer
	// Err fails the scrape: no numbers are better than wrong ones.
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
	// Failing is false until the first result.
	Failing bool
	// Known is false until the first result; without one there is no age.
	Known bool
	// Age is the time since the last result.
	Age time.Duration
}

// Peer is another vipd node.
type Peer struct {
	Node string
	// Age is the time since its last hello in any group.
	Age time.Duration
	// Homes are the addresses from which it sends hellos, with the version of vipd there.
	Homes []Home
}

// Home is one address of a [Peer].
type Home struct{ Address, Version string }

// Group is one group in a [Snapshot].
type Group struct {
	Interface string
	VHID      uint8
	// State is MASTER, BACKUP or INIT.
	State string
	Adverts
	// Dropped counts frames for the group that the kernel dropped, by Snapshot.DropReasons.
	Dropped        []uint64
	Packets, Bytes uint64
	// Restored counts addresses that another process removed and vipd put back.
	Restored uint64
	// LeaseRemaining is negative or 0 when the group may not answer.
	LeaseRemaining time.Duration
	VIPs           []VIP
	// Families are the address families of the group.
	Families []Family
	// Contexts are the passwords and address lists with which adverts are accepted,
	// each name once.
	Contexts []Context
	// Watched is true on the MASTER if another vipd node was ever heard; Standbys then counts those that would take over.
	Watched  bool
	Standbys int
	// Beat is as configured, MasterBeat as the last other node stated it; 0: none. BeatDistrusted is true while this node
	// waits longer than that says.
	Beat, MasterBeat time.Duration
	BeatDistrusted   bool
	// HasHook is true if the group has a hook; HookWaiting counts the transitions that wait for it.
	HasHook     bool
	HookWaiting int
}

// Adverts counts the adverts of a [Group].
type Adverts struct {
	Sent, Received uint64
	// Rejected counts refused adverts, by Snapshot.RejectReasons. A reason that every group
	// has counts as 0 where it is missing.
	Rejected   []uint64
	EventsLost uint64
	// NotRemembered counts adverts and hellos of vipd nodes that the kernel had no room to remember, NotListed hellos of
	// those for which the agent had none.
	NotRemembered, NotListed uint64
	// Heard is false until an advert of another node is heard; without one there is no age.
	Heard bool
	// LastAdvertAge is the time since the last authentic advert of another node.
	LastAdvertAge time.Duration
}

// Family is one address family of a [Group].
type Family struct {
	// Name is ipv4 or ipv6.
	Name string
	// Silent is true while the master is heard only in the other family.
	Silent bool
}

// Context counts the authentic adverts of one password and address list.
type Context struct {
	// Name is "own" or "accept N".
	Name     string
	Received uint64
}

// VIP is one address in a [Group].
type VIP struct {
	// Address is without prefix length.
	Address                           string
	ARPRequests, ARPReplies           uint64
	NDSolicitations, NDAdvertisements uint64
	// AnswersUnseen is true while a client seems not to receive our answers.
	AnswersUnseen bool
	// Conflicts counts announcements of the address by other hosts.
	Conflicts uint64
}

// Interface has the counters that belong to an interface and to none of its groups.
type Interface struct {
	Name string
	// Mode is native, tc or generic; empty while not attached.
	Mode string
	// Rejected has bad_vhid and foreign_vrrp; a missing reason counts as 0.
	Rejected map[string]uint64
	// Dropped counts frames that the kernel dropped, by reason. May be nil.
	Dropped map[string]uint64
	// Lost counts programs that were found detached, by hook. May be nil.
	Lost map[string]uint64
	// Fallbacks counts how often native mode was given up, by reason. May be nil.
	Fallbacks map[string]uint64
}
