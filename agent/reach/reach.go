// SPDX-License-Identifier: Apache-2.0

// Package reach resolves the destinations of a group's adverts before the first one is sent, and
// names the families and peers that this node cannot reach. A peer that does not answer is not a
// fault of this node; a missing source address or route is.
package reach

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
)

// Question describes a group and its host.
type Question struct {
	// IPv4 and IPv6 are the families of the group's addresses.
	IPv4, IPv6 bool
	// Peers are unicast peers, in the order of sending. A family without peers is sent to
	// multicast, or to the Ethernet broadcast address.
	Peers     []netip.Addr
	Broadcast bool
	// Own reports whether this node has the address, VIP whether it is a virtual one.
	Own, VIP func(netip.Addr) bool
	// Source returns the source address for adverts of the family.
	Source func(ipv6 bool) (netip.Addr, error)
	// Neighbour returns the link-layer address of a peer or of the next hop to it.
	Neighbour func(netip.Addr) ([6]byte, error)
}

// Target is the destination of one frame.
type Target struct {
	Src, Dst netip.Addr
	MAC      [6]byte
}

// Plan is the destinations of an advert.
type Plan struct {
	Targets []Target
	// Faults names what cannot be reached, one sentence each.
	Faults []string
	// Absent are peers whose link-layer address is not known: they are off or not resolved yet.
	Absent []netip.Addr
	// Skipped are peers that get no adverts, with the reason.
	Skipped []string

	alone bool // all peers of a family are skipped
}

// Reach is the plan as the election uses it.
func (p *Plan) Reach() election.Reach {
	return election.Reach{
		Impaired: len(p.Faults) > 0,
		Mute:     len(p.Faults) > 0 && len(p.Targets)+len(p.Absent) == 0 && !p.alone,
	}
}

// Err joins all faults; nil if there are none.
func (p *Plan) Err() error {
	if len(p.Faults) == 0 {
		return nil
	}
	return errors.New(strings.Join(p.Faults, "; "))
}

// Resolve returns the destinations of a group's adverts.
func Resolve(q *Question) (p Plan) {
	for _, ipv6 := range []bool{false, true} {
		if ipv6 && q.IPv6 || !ipv6 && q.IPv4 {
			p.family(q, ipv6)
		}
	}
	return p
}

func (p *Plan) family(q *Question, ipv6 bool) {
	src, err := q.Source(ipv6)
	if err != nil {
		p.Faults = append(p.Faults, err.Error())
		return
	}
	group := wire.MulticastV4
	if ipv6 {
		group = wire.MulticastV6
	}
	peers := slices.DeleteFunc(slices.Clone(q.Peers), func(a netip.Addr) bool { return a.Is6() != ipv6 })
	switch {
	case len(peers) > 0:
		p.unicast(q, src, peers)
	case q.Broadcast:
		p.Targets = append(p.Targets, Target{src, group, wire.Broadcast})
	default:
		p.Targets = append(p.Targets, Target{src, group, wire.MulticastMAC(group)})
	}
}

func (p *Plan) unicast(q *Question, src netip.Addr, peers []netip.Addr) {
	skipped := 0
	skip := func(peer netip.Addr, what string) {
		skipped++
		p.Skipped = append(p.Skipped, fmt.Sprintf("peer %s is %s and is skipped", peer, what))
	}
	for _, peer := range peers {
		if q.VIP(peer) {
			skip(peer, "a virtual address")
			continue
		}
		if q.Own(peer) {
			skip(peer, "an address of this node")
			continue
		}
		mac, err := q.Neighbour(peer)
		switch {
		case err == nil:
			p.Targets = append(p.Targets, Target{src, peer, mac})
		case errors.Is(err, netio.ErrUnresolved):
			p.Absent = append(p.Absent, peer)
		case errors.Is(err, netio.ErrOwn):
			skip(peer, "an address of this node")
		default:
			p.Faults = append(p.Faults, fmt.Sprintf("peer %s cannot be reached: %v", peer, err))
		}
	}
	if skipped == len(peers) {
		p.alone = true
		p.Faults = append(p.Faults,
			fmt.Sprintf("no other node is among the %s peers: %s", familyName(src), strings.Join(p.Skipped, ", ")))
	}
}

func familyName(a netip.Addr) string {
	if a.Is6() {
		return "IPv6"
	}
	return "IPv4"
}
