// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net/netip"
	"time"

	"vipd/agent/control/api"
)

// Facts are what is known of a node at one moment. Whoever collects them leaves out
// what could not be found out, and says so in Skipped.
type Facts struct {
	Time        time.Time
	Node        string
	Enabled     bool
	Maintenance bool
	Preempt     bool
	Demotions   []api.Demotion
	// Watched is how long the wire was watched; 0 for a status alone.
	Watched time.Duration
	Groups  []Group
	// Lag is how late the election loop was lately.
	Lag Lag
	// Expired are the transitions of the last hour for which the lease had ended.
	Expired []api.Transition
	// Skipped says by code why something could not be examined.
	Skipped map[string]string
}

// Lag is how late the election loop woke up, at its worst in the time that is
// remembered.
type Lag struct {
	Worst time.Duration
	At    time.Time
	Count int
}

// Group is what is known of one redundancy group.
type Group struct {
	Name      string
	Interface string
	VHID      uint8
	Addresses []netip.Addr
	// LLAddr is the link-layer address that OpenBSD peers have instead of the virtual
	// MAC; nil when they have that.
	LLAddr *[6]byte

	// State, Reason and Detail are as in [api.Group].
	State, Reason, Detail string
	Since                 time.Time
	Answering             bool
	EffectiveAdvSkew      int
	// Interval is that of this node's own adverts now, Configured without demotions.
	Interval, Configured time.Duration
	// Master is the last foreign speaker; nil when none was ever heard.
	Master       *Speaker
	SilentFamily string

	// Rise is by how much the reject counters, foreign_vrrp among them, rose in RiseTime:
	// while the wire was watched, or else in the last minute or so.
	Rise     map[string]uint64
	RiseTime time.Duration
	// Received is by how many the authentic adverts of others rose in that time.
	Received uint64
	// Rejects are refused adverts that were kept, oldest first.
	Rejects []Reject
	// Suspects are the senders of adverts with a wrong digest, with what explains it.
	Suspects []Suspect

	// Asked are the addresses that the segment was asked for, Answers who answered.
	Asked   []netip.Addr
	Answers []Answer
	// Questions are those for the group's addresses that this node answered lately, oldest
	// first; Delivered are the frames to the virtual MAC while the wire was watched.
	Questions []Ask
	Delivered uint64
	// Filter is the NIC's receive filter; nil when it was not read.
	Filter *Filter
	// Unresolved are unicast peers without a neighbour entry.
	Unresolved []netip.Addr
	// Beside are other interfaces of this host that could answer for the addresses.
	Beside []Beside
}

// Speaker is who spoke for a group.
type Speaker struct {
	Address netip.Addr
	// MAC is the Ethernet source of its newest advert; zero when it is not known.
	MAC              [6]byte
	AdvBase, AdvSkew int
	Demote           int
	LastSeen         time.Time
}

// Interval is what the speaker said is the time between its adverts.
func (s *Speaker) Interval() time.Duration {
	return time.Duration(s.AdvBase)*time.Second + time.Duration(s.AdvSkew)*time.Second/256
}

// Reject is one refused advert.
type Reject struct {
	At     time.Time
	Reason string
	Src    netip.Addr
	SrcMAC [6]byte
	TTL    uint8
	// Payload is the CARP advert as it came, from its first byte; maybe cut.
	Payload []byte
}

// Suspect is one sender of adverts with a wrong digest.
type Suspect struct {
	Src    netip.Addr
	SrcMAC [6]byte
	// Count of its adverts that were kept, and the newest of them.
	Count int
	Last  time.Time
	Explanation
}

// Ask is a client's question for an address.
type Ask struct {
	At      time.Time
	MAC     [6]byte
	Address netip.Addr
}

// Answer is who answered when an address was asked for.
type Answer struct {
	Address netip.Addr
	MAC     [6]byte
	// Interface is the one of this host that has the MAC; "" when it is somebody else's.
	Interface string
}

// Filter is a NIC's receive filter as far as it concerns a group.
type Filter struct {
	// Promiscuous NICs receive everything.
	Promiscuous bool
	// HasMAC says that the virtual MAC is in it.
	HasMAC bool
}

// Beside is another interface of this host in a network of the group's addresses.
type Beside struct {
	Interface string
	Address   netip.Prefix // its own, with an address of the group within
	ARPIgnore int
}
