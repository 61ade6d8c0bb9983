// SPDX-License-Identifier: Apache-2.0

// Package view is the node as everything outside the loop sees it: values that the loop
// publishes and never changes afterwards, and counters that it only raises.
package view

import (
	"slices"
	"time"

	"vipd/agent/config"
	"vipd/agent/conflict"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/loader"
)

// ErrStopping answers what comes while the daemon stops.
var ErrStopping = api.Errorf(api.CodeStopping, "vipd is stopping; start it again and repeat the command")

// Node is the node at one moment.
type Node struct {
	Config      *config.Config
	Enabled     bool
	Maintenance bool
	Demotions   Demotions
	Awaited     []string // health checks without a verdict
	Groups      []*Live  // in the order of the config, those that are being removed at the end
	Interfaces  []Interface
	Warnings    []string
}

// Group returns the group of that name, or nil.
func (n *Node) Group(name string) *Live {
	for _, g := range n.Groups {
		if g.name == name {
			return g
		}
	}
	return nil
}

// Interface returns what is known of an interface by its configured name.
func (n *Node) Interface(name string) Interface {
	if i := slices.IndexFunc(n.Interfaces, func(i Interface) bool { return i.Name == name }); i >= 0 {
		return n.Interfaces[i]
	}
	return Interface{Name: name}
}

// Interface is one interface that carries groups.
type Interface struct {
	Name  string // as configured
	Index int    // 0 while no programs are attached
	Mode  string
	// Parent is the interface whose program serves this one, if it is a VLAN device.
	Parent string
	// Lost counts programs that were found detached, by hook.
	Lost map[string]uint64
	// Fallbacks counts how often native mode was given up, by reason.
	Fallbacks map[string]uint64
}

// Group is one group at one moment.
type Group struct {
	Config     *config.Group
	Machine    election.View
	Repeats    election.Repeats // what the kernel may withhold
	Plane      Plane            // nil while the interface is not usable
	Attachment loader.Attachment
	// Detail is why the group is in INIT, in a sentence.
	Detail string
	// HostFault is what failed when the addresses were added to the host.
	HostFault string
	// SlotTaken: another program has the XDP slot of the interface.
	SlotTaken bool
	Preempt   bool
	Conflicts *conflict.View // nil: none so far
	// Unreachable and Skipped are as in [api.Group].
	Unreachable, Skipped []string
	Fingerprints
	OtherNodes
}

// Fingerprints are those of the password that a group signs with and of its address list, as hellos state them.
type Fingerprints struct{ Key, List uint32 }

// OtherNodes is what a group knows of the other vipd nodes.
type OtherNodes struct {
	// Peers are the other nodes as their hellos describe them, sorted by address.
	Peers []Peer
	// NotListedAt is when a hello last came from a peer for which there was no room in Peers; 0: never.
	NotListedAt election.Instant
	// HasPeer: another vipd node was heard, perhaps before this start, and the operator has not had it forgotten.
	HasPeer bool
	// NoAddress: this node advertises from 0.0.0.0 alone, and no hello can have that as source or destination.
	NoAddress bool
	// MasterProven: the present master sends trailers, so it is a vipd.
	MasterProven bool
}

// Held reports whether the group still holds back from preempting.
func (g *Group) Held(now election.Instant) bool {
	m := &g.Machine
	return m.State == election.Backup && m.Hold != election.HoldNone && m.HoldUntil > now
}

// Distrusts reports whether the machine waits longer for beats than they state.
func (g *Group) Distrusts() bool { return g.Machine.Distrusted.IsValid() }

// Handover is the handover of a group that has begun.
type Handover struct {
	Group string
	Owned bool                // the group was MASTER when it began
	Ended <-chan api.Handover // receives how it ended
}

// Plane reads one group's entries in the data plane.
type Plane interface {
	Stats() (loader.GroupStats, error)
	VIPStats() (loader.Addresses, error)
	Seen() (loader.Seen, error)
	Answering(now int64) (bool, error)
	Heard() [2]loader.Heard
}

// Demotions are the named contributions to the node's demotion at one moment, sorted by name.
type Demotions []Demotion

// Demotion is one of them.
type Demotion struct {
	api.Demotion
	End election.Instant // 0: it does not end by itself
}

// Total returns the sum, which is what the elections see.
func (d Demotions) Total() int {
	sum := 0
	for i := range d {
		sum += d[i].Value
	}
	return sum
}

// Names returns the names of all.
func (d Demotions) Names() []string {
	out := make([]string, 0, len(d))
	for i := range d {
		out = append(out, d[i].Name)
	}
	return out
}

// List returns them as they were added. It is nil if there are none.
func (d Demotions) List() []api.Demotion {
	var out []api.Demotion
	for i := range d {
		out = append(out, d[i].Demotion)
	}
	return out
}

// Shown returns them for people: the end is computed from the present setting of the clock, the beginning
// is as it was noted. It is never nil.
func (d Demotions) Shown(at func(election.Instant) time.Time) []api.Demotion {
	out := append([]api.Demotion{}, d.List()...)
	for i := range d {
		if d[i].End != 0 {
			out[i].Expires = at(d[i].End)
		}
	}
	return out
}
