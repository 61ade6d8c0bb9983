// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"net/netip"
	"time"

	"vipd/agent/control/api"
)

// Facts are what is known of a node at one moment. The collector leaves out what it could not
// find out, and says so in Skipped.
type Facts struct {
	Time        time.Time
	Node        string
	Enabled     bool
	Maintenance bool
	Preempt     bool
	Demotions   []api.Demotion
	// Watched is how long the wire was watched; 0 if only a status was read.
	Watched time.Duration
	Groups  []Group
	// Lag is how late the election loop was recently.
	Lag Lag
	// RealTime is whether vipd has real-time priority.
	RealTime bool
	// Expired are the transitions of the last hour because of an expired lease.
	Expired []api.Transition
	// Commands are sentences about commands of checks and hooks that cannot be run, are not
	// safe, or run where they may fail.
	Commands []string
	// Skipped says by code why something could not be examined.
	Skipped map[string]string
}

// Lag is how late the election loop woke up: the worst case and the count of the time that is
// remembered.
type Lag struct {
	Worst time.Duration
	At    time.Time
	Count int
}

// Group is what is known of one group.
type Group struct {
	Name      string
	Interface string
	VHID      uint8
	Addresses []netip.Addr
	// LLAddr is the link-layer address that OpenBSD peers use instead of the virtual MAC;
	// nil if they use that.
	LLAddr *[6]byte
	// RequireTrailer is as in the config.
	RequireTrailer bool

	Condition
	Hearing
	Traffic
	Host
}

// Condition is the state of a group on this node.
type Condition struct {
	// State, Reason and Detail are as in [api.Group].
	State, Reason, Detail string
	// SlotTaken is true if another program in the interface's XDP slot is why the group is INIT.
	SlotTaken bool
	Since     time.Time
	Answering bool
	// Mode is how the data plane is attached: native, tc or generic.
	Mode string
	// Note is what is unusual about the data plane.
	Note             string
	EffectiveAdvSkew int
	// Interval is the interval of this node's adverts now, Configured without demotions.
	Interval, Configured time.Duration
	// Beat is how often this node advertises as MASTER according to its config; 0: once per interval.
	Beat time.Duration
	// Unreachable and SkippedPeers are as in [api.Group].
	Unreachable, SkippedPeers []string
}

// Hearing is what a group hears of other nodes.
type Hearing struct {
	// Master is the last other speaker; nil if none was ever heard.
	Master       *Speaker
	SilentFamily string
	// BeatDistrust is as in [api.Group].
	BeatDistrust *api.BeatDistrust
	// HasPeer is true if another vipd node was ever heard; Standbys counts those that would take over now, StandbysUnknown
	// is as in [api.Group].
	HasPeer         bool
	Standbys        int
	StandbysUnknown string
	// NoRoom is true if the kernel has no room to remember a vipd node that proved itself, Unlisted if there are more
	// vipd nodes than Reports has.
	NoRoom, Unlisted bool
	// Reports are the last hellos of other vipd nodes.
	Reports []Report
	// Rise is by how much the reject counters, foreign_vrrp among them, rose in RiseTime:
	// while the wire was watched, or else in the last minute or so.
	Rise     map[string]uint64
	RiseTime time.Duration
	// Received is by how many the authentic adverts of others rose in that time.
	Received uint64
	// Rejects are refused adverts that were kept, oldest first.
	Rejects []Reject
	// Suspects are the senders of adverts with a wrong digest, each with its explanation.
	Suspects []Suspect
	// Unresolved are unicast peers without a neighbour entry.
	Unresolved []netip.Addr
}

// Traffic is what was seen and asked on the segment for a group's addresses.
type Traffic struct {
	// Conflicts are the announcements of other hosts that the data plane saw, newest first.
	Conflicts []Conflict
	// Asked are the addresses that the segment was asked for, Answers the answers.
	Asked   []netip.Addr
	Answers []Answer
	// Questions are those for the group's addresses that this node answered recently, oldest
	// first; Delivered counts the frames to the virtual MAC while the wire was watched.
	Questions []Ask
	Delivered uint64
	// Reach is whether other hosts answer questions from the virtual MAC; nil if they were not asked.
	Reach *Reach
	// Fenced is by how many rose, in RiseTime, the packets that this host sent from the group's
	// addresses and the kernel dropped because the node is not MASTER.
	Fenced uint64
	// FencedFlows are some of them, "SOURCE to DESTINATION".
	FencedFlows []string
}

// Host is what of this host concerns a group.
type Host struct {
	// Restored counts addresses that another process removed and vipd put back, RestoredAt is the
	// last time. LostRoutes were removed with the addresses at a handover.
	Restored   uint64
	RestoredAt time.Time
	LostRoutes []string
	// HostNotes are sentences about settings of the host that do not fit the group.
	HostNotes []string
	// Filter is the NIC's receive filter; nil if it was not read.
	Filter *Filter
	// Beside are other interfaces of this host that could answer for the addresses.
	Beside []Beside
}

// Speaker is a node that sends adverts for a group.
type Speaker struct {
	Address netip.Addr
	// MAC is the Ethernet source of its newest advert; zero if unknown.
	MAC              [6]byte
	AdvBase, AdvSkew int
	Demote           int
	LastSeen         time.Time
	// BeatsEnded is when its adverts ceased to state a beat; zero if they never did, or do again.
	BeatsEnded time.Time
}

// Interval is the time between adverts that the speaker advertises.
func (s *Speaker) Interval() time.Duration {
	return time.Duration(s.AdvBase)*time.Second + time.Duration(s.AdvSkew)*time.Second/256
}

// Report is what another vipd node reported in its last hello.
type Report struct {
	Node    string
	Address netip.Addr
	At      time.Time
	// Current is true if the node still reports.
	Current bool
	// Addresses are the node's; Complete is true if that is the whole list.
	Addresses []netip.Addr
	Complete  bool
	// Differences are those between its config and this node's.
	Differences []api.Difference
}

// Reported returns the whole lists of addresses that a node stated.
func (g *Group) Reported(by netip.Addr) [][]netip.Addr {
	var out [][]netip.Addr
	for i := range g.Reports {
		if r := &g.Reports[i]; r.Address == by && r.Complete {
			out = append(out, r.Addresses)
		}
	}
	return out
}

// Reject is one refused advert.
type Reject struct {
	At     time.Time
	Reason string
	Src    netip.Addr
	SrcMAC [6]byte
	TTL    uint8
	// Own means that Src is an address of this node.
	Own bool
	// Payload is the CARP advert as received, from its first byte; possibly truncated.
	Payload []byte
}

// Suspect is one sender of adverts with a wrong digest.
type Suspect struct {
	Src    netip.Addr
	SrcMAC [6]byte
	// Count is how many of its adverts were kept, Last the time of the newest.
	Count int
	Last  time.Time
	Explanation
}

// Conflict is another host that announced an address.
type Conflict struct {
	Address netip.Addr
	// MAC is the announced MAC, Source the Ethernet source if it is another one.
	MAC, Source string
	// Interface is the interface of this host with that MAC; "" for another host or if unknown.
	Interface string
	Count     uint64
	Last      time.Time
}

// Ask is a client's question for an address.
type Ask struct {
	At      time.Time
	MAC     [6]byte
	From    netip.Addr // ARP only
	Address netip.Addr
}

// Reach lists the hosts that answered the same question, sent from each of two MACs.
type Reach struct {
	// NIC answered the interface's own MAC, Virtual those of them that also answered the
	// virtual one.
	NIC, Virtual []netip.Addr
}

// Answer is an answer to a question for an address.
type Answer struct {
	Address netip.Addr
	MAC     [6]byte
	// Interface is the interface of this host with that MAC; "" for another host.
	Interface string
	// Proxy is true if only questions from a host with an address are answered, as by proxy ARP.
	Proxy bool
}

// Filter is the part of a NIC's receive filter that concerns a group.
type Filter struct {
	// Promiscuous is true if the NIC receives everything.
	Promiscuous bool
	// HasMAC is true if the virtual MAC is in the filter.
	HasMAC bool
	// None is true if the interface has no filter and receives everything, as a tunnel does.
	None bool
}

// Beside is another interface of this host in a network of the group's addresses.
type Beside struct {
	Interface string
	Address   netip.Prefix // its own, whose network has an address of the group
	ARPIgnore int
}
