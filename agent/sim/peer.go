// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"time"

	"vipd/agent/election"
)

// Peer is the kind of the last host of a mixed run. A peer other than vipd has no lease, no fence and no
// trailer: it answers while it is MASTER and reacts at once, in its kernel.
type Peer uint8

// The peers, after carp_proto_input_c of FreeBSD (ip_carp.c) and OpenBSD, and ucarp's carp.c.
const (
	PeerNone    Peer = iota // vipd
	PeerFreeBSD             // ignores demote bytes, adopts received counters, waits 3b + s/256
	PeerOpenBSD             // obeys demote bytes, a constant counter, waits 3(b + s/256)
	PeerUCARP               // as FreeBSD; among equals the lower address stays MASTER
)

func (p Peer) String() string {
	return [...]string{"vipd", "FreeBSD", "OpenBSD", "ucarp", "?"}[min(p, PeerUCARP+1)]
}

// forever is the lease of a peer that has none.
const forever = election.Instant(50 * 24 * time.Hour)

// peerPriority returns the priority of a peer's adverts. Only FreeBSD limits the skew.
func (m *member) peerPriority() election.Priority {
	p := election.Priority{AdvBase: m.cfg.AdvBase, AdvSkew: m.cfg.AdvSkew}
	if m.host.peer == PeerFreeBSD {
		p.AdvSkew = min(p.AdvSkew, election.MaxSkew)
	}
	return p
}

// effective returns the priority that a member states.
func (m *member) effective() election.Priority {
	if m.host.peer != PeerNone {
		return m.peerPriority()
	}
	return m.machine.View().Effective
}

// syncPeer updates a peer's groups after a change of its link.
func (w *World) syncPeer(h *host) {
	for _, m := range h.members {
		switch state := m.kernel.role.State; {
		case !h.link && state != election.Init:
			w.setPeer(m, election.Init)
		case h.link && state == election.Init:
			w.setPeer(m, election.Backup)
			w.waitPeer(m)
		}
		w.arm(m)
	}
}

func (w *World) setPeer(m *member, to election.State) {
	from := m.kernel.role
	role := election.SetRole{State: to, Generation: from.Generation}
	if to == election.Master {
		role.Generation++
		role.Lease = forever
		m.group.masters = append(m.group.masters, m)
	}
	if from.State == election.Master {
		w.forget(m)
	}
	m.kernel.role = role
	m.transition++
	m.group.moved, m.group.movedBefore = w.now, m.group.moved
	w.stats.Transitions++
	w.stats.PeerTransitions++
	w.hash.add(hashRole, uint64(m.id), uint64(to)<<56|role.Generation, 0)
	if w.tracing {
		w.notef(m.host, m.group, "%v %v -> %v", m.host.peer, from.State, to)
	}
	w.check(m.group)
}

// waitPeer restarts the master-down timer.
func (w *World) waitPeer(m *member) {
	m.due = m.host.clock.local(w.now).Add(down(m.cfg))
	w.arm(m)
}

// timePeer handles a peer's timer.
func (w *World) timePeer(m *member) {
	h := m.host
	if h.kernelRuns() && h.link && h.clock.local(w.now) >= m.due {
		switch m.kernel.role.State {
		case election.Backup:
			w.claimPeer(m)
		case election.Master:
			w.sendPeer(m)
		case election.Init:
		}
	}
	w.arm(m)
}

func (w *World) claimPeer(m *member) {
	w.setPeer(m, election.Master)
	w.sendPeer(m)
}

func (w *World) sendPeer(m *member) {
	h, p := m.host, m.peerPriority()
	now := h.clock.local(w.now)
	m.due = now.Add(p.Interval())
	if h.peer != PeerOpenBSD {
		m.counter++
	}
	secret := &m.group.secrets[0]
	digest := secret.key.Digest(secret.prefix, m.counter)
	m.sentAt = w.now
	m.nth++
	w.stats.Adverts++
	for i, src := range h.sources(w.Families) {
		m.lastSent[i] = lastSent{src, m.counter}
		w.transmit(m, build(m.group.vhid, src, p, m.counter, digest))
	}
	w.hash.add(hashSend, uint64(m.id), prioWord(p), m.counter)
	if w.tracing {
		w.notef(h, m.group, "sends %d/%d", p.AdvBase, p.AdvSkew)
	}
}

// hearPeer handles an authentic advert at a peer.
func (w *World) hearPeer(m *member, theirs election.Priority, src netip.Addr, counter uint64) {
	h, mine := m.host, m.peerPriority()
	obeys := h.peer == PeerOpenBSD
	if !obeys {
		m.counter = counter
	}
	switch m.kernel.role.State {
	case election.Master:
		lower := h.peer == PeerUCARP && theirs.Interval() == mine.Interval() && h.addrs[0].Less(src)
		if election.Superior(theirs, mine, obeys) && !lower {
			w.setPeer(m, election.Backup)
			w.waitPeer(m)
		}
	case election.Backup:
		slower := mine.Interval() < theirs.Interval() && (!obeys || theirs.Demote >= mine.Demote)
		patience := 3*time.Duration(m.cfg.AdvBase)*time.Second + time.Duration(m.cfg.AdvSkew)*time.Second/256
		if m.cfg.Preempt && slower || obeys && theirs.Demote > mine.Demote || patience < theirs.Interval() {
			w.claimPeer(m)
		} else {
			w.waitPeer(m)
		}
	case election.Init:
	}
	w.arm(m)
}

// Families are the address families of the adverts.
type Families uint8

// The families of all groups of a run.
const (
	FamilyIPv4 Families = iota
	FamilyIPv6
	FamilyDual
)

// sources returns the source addresses of a host's adverts, one per family.
func (h *host) sources(f Families) []netip.Addr {
	switch f {
	case FamilyIPv6:
		return h.addrs[1:]
	case FamilyDual:
		return h.addrs[:]
	default:
		return h.addrs[:1]
	}
}

func (h *host) owns(src netip.Addr) bool { return src == h.addrs[0] || src == h.addrs[1] }

// addresses returns the addresses of a group.
func (f Families) addresses(n byte) []netip.Addr {
	all := []netip.Addr{
		netip.AddrFrom4([4]byte{198, 51, 100, n}),
		netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, 15: n}),
	}
	switch f {
	case FamilyIPv6:
		return all[1:]
	case FamilyDual:
		return all
	default:
		return all[:1]
	}
}

// cut is a one-way fault of the segment in one family or both.
type cut struct {
	from, to int
	family   Families // FamilyDual: both
}

func (c cut) String() string {
	return fmt.Sprintf("from %d to %d%s", c.from, c.to, [...]string{", IPv4", ", IPv6", ""}[c.family])
}

func (c cut) of(src netip.Addr) bool {
	return c.family == FamilyDual || (c.family == FamilyIPv6) == src.Is6()
}
