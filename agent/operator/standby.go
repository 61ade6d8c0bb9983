// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"cmp"
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/metrics"
	"vipd/agent/peers"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// standbysOf returns the nodes that would take a group over from this one, the best first, or why they are unknown.
func standbysOf(v *view.Group, now election.Instant, at func(election.Instant) time.Time) ([]api.Standby, string) {
	if v.Machine.State != election.Master {
		return nil, standbysUnknown(v, now)
	}
	list := peers.Standbys(v.Peers, now)
	if len(list) == 0 {
		return nil, standbysUnknown(v, now)
	}
	out := make([]api.Standby, 0, len(list))
	for _, p := range list {
		h := &p.Hello
		out = append(out, api.Standby{
			Node: h.Node, Address: p.Addr.String(), State: h.State.String(),
			AdvBase: int(h.AdvBase), AdvSkew: int(h.AdvSkew), EffectiveAdvSkew: int(h.EffectiveAdvSkew),
			Demotion: int(h.Demotion), Maintenance: h.Maintenance, Preempt: h.Preempt, Version: h.Version,
			LastSeen: at(p.At()), TakesOverIn: h.TakesOverIn.Seconds(),
		})
	}
	return out, ""
}

// standbysUnknown returns why it is unknown who would take over, as the end of a sentence; "" if it is known, or if the
// question does not arise.
func standbysUnknown(v *view.Group, now election.Instant) string {
	m := &v.Machine
	foreign := m.Heard && !m.Master.Goodbye() && !heardFromVipd(v)
	switch {
	case m.State != election.Init && v.NoAddress:
		return "this node cannot exchange hellos without an address of its own"
	case m.State == election.Backup && foreign:
		return "the master is no vipd"
	case m.State != election.Master:
	case foreign:
		return m.Master.Src.String() + " is no vipd"
	case now.Sub(m.Since) < view.PeerFresh:
		return "no node has reported yet"
	}
	return ""
}

// standbyCount returns how many nodes would take a group over, and whether that is known and of interest: a node that
// never heard another vipd node is alone on purpose, or beside nodes that are not vipd.
func standbyCount(v *view.Group, now election.Instant) (n int, known bool) {
	if v.Machine.State != election.Master || !v.HasPeer {
		return 0, false
	}
	n = len(peers.Standbys(v.Peers, now))
	return n, n > 0 || standbysUnknown(v, now) == ""
}

// heardFromVipd reports whether the other node that advertised last is vipd.
func heardFromVipd(v *view.Group) bool {
	return v.MasterProven || slices.ContainsFunc(v.Peers, func(p view.Peer) bool { return p.Addr == v.Machine.Master.Src })
}

// differencesOf returns in what the nodes that report are configured unlike this one, each once.
func differencesOf(n *view.Node, v *view.Group, now election.Instant) []api.Difference {
	var out []api.Difference
	for i := range v.Peers {
		if p := &v.Peers[i]; p.Fresh(now) {
			for _, d := range differences(n, v, p, now) {
				if !slices.Contains(out, d) {
					out = append(out, d)
				}
			}
		}
	}
	return out
}

func differences(n *view.Node, v *view.Group, p *view.Peer, now election.Instant) []api.Difference {
	ours := peers.Self(n, v)
	var out []api.Difference
	same := peers.SameName(ours.Node, p, v.Peers, now)
	for _, d := range slices.Concat(same, peers.Differences(&ours, &p.Hello)) {
		out = append(out, api.Difference{Code: d.What, Text: d.Text})
	}
	return out
}

// Peers implements control.Backend.
func (o *Operator) Peers(context.Context) (api.Peers, error) {
	n := o.loop.View()
	now, at := o.clock.Now(), o.clock.Calendar()
	book := peerList{byNode: map[string]*api.Peer{}}
	out := api.Peers{Node: n.Config.Node.Name}
	for _, g := range n.Groups {
		v := g.Now()
		if v.NoAddress {
			out.NoAddress = append(out.NoAddress, g.Name())
		}
		if noRoom(n, v, now) {
			out.NoRoom = append(out.NoRoom, g.Name())
		}
		if v.HasUnlisted(now) {
			out.Unlisted = append(out.Unlisted, g.Name())
		}
		for i := range v.Peers {
			if now.Sub(v.Peers[i].At()) <= view.PeerKept {
				book.reported(n, v, g.Name(), &v.Peers[i], now, at)
			}
		}
		book.heard(v, g.Name(), at)
	}
	out.Peers = book.sorted()
	return out, nil
}

// noRoom reports whether the kernel has no room to remember a vipd node that proved itself in a group.
func noRoom(n *view.Node, v *view.Group, now election.Instant) bool {
	if v.Plane == nil {
		return false
	}
	seen, err := v.Plane.Seen()
	return err == nil && peers.NoRoom(seen.NoRoomAt, now, n.Config.Carp.PeerMemory)
}

// peerList gathers what was heard of each node.
type peerList struct{ byNode map[string]*api.Peer }

// of returns the peer of that name; without one, of that address.
func (l *peerList) of(node string, addr netip.Addr) *api.Peer {
	key := "node " + node
	if node == "" {
		key = addr.String()
	}
	p := l.byNode[key]
	if p == nil {
		p = &api.Peer{Node: node}
		l.byNode[key] = p
	}
	return p
}

// reported adds what a peer said in its last hello.
func (l *peerList) reported(
	n *view.Node, v *view.Group, group string, said *view.Peer, now election.Instant,
	at func(election.Instant) time.Time,
) {
	h := &said.Hello
	g := api.PeerGroup{
		Group: group, Address: said.Addr.String(), State: h.State.String(),
		AdvBase: int(h.AdvBase), AdvSkew: int(h.AdvSkew), EffectiveAdvSkew: int(h.EffectiveAdvSkew),
		Demotion: int(h.Demotion), Demotions: h.Demotions, Maintenance: h.Maintenance, Disabled: h.Disabled,
		BeatSeconds: (time.Duration(h.Beat) * time.Microsecond).Seconds(),
		Preempt:     &h.Preempt, LastSeen: at(said.At()), Hello: true, Current: said.Fresh(now),
		Differences: differences(n, v, said, now),
	}
	for _, a := range h.Addresses {
		g.Addresses = append(g.Addresses, a.String())
	}
	if h.State == wire.HelloBackup && h.TakesOverIn < wire.NeverTakesOver {
		in := h.TakesOverIn.Seconds()
		g.TakesOverIn = &in
	}
	p := l.of(h.Node, said.Addr)
	p.Vipd, p.Groups = true, append(p.Groups, g)
	if !g.LastSeen.Before(p.LastSeen) {
		p.LastSeen, p.Version = g.LastSeen, h.Version
	}
}

// heard adds the other node that advertised last, if it sends no hellos.
func (l *peerList) heard(v *view.Group, group string, at func(election.Instant) time.Time) {
	m := &v.Machine
	from := m.Master.Src
	if !m.Heard || slices.ContainsFunc(v.Peers, func(p view.Peer) bool { return p.Addr == from }) {
		return
	}
	p := l.of("", from)
	seen := at(m.Master.At)
	p.Vipd = p.Vipd || v.MasterProven
	if seen.After(p.LastSeen) {
		p.LastSeen = seen
	}
	p.Groups = append(p.Groups, api.PeerGroup{
		Group: group, Address: from.String(), State: api.StateMaster, AdvBase: int(m.Master.AdvBase),
		AdvSkew: int(m.Master.AdvSkew), EffectiveAdvSkew: int(m.Master.AdvSkew), BeatSeconds: m.Master.Beat.Seconds(),
		LastSeen: seen,
	})
}

func (l *peerList) sorted() []api.Peer {
	out := make([]api.Peer, 0, len(l.byNode))
	for _, p := range l.byNode {
		out = append(out, *p)
	}
	slices.SortFunc(out, func(a, b api.Peer) int {
		if (a.Node == "") != (b.Node == "") { // those without a name at the end
			return cmp.Compare(b.Node, a.Node)
		}
		return cmp.Or(strings.Compare(a.Node, b.Node), strings.Compare(a.Groups[0].Address, b.Groups[0].Address))
	})
	return out
}

// peersSeen returns the nodes that sent hellos, for metrics.
func peersSeen(views []*view.Edition, now election.Instant) []metrics.Peer {
	byNode := map[string]*metrics.Peer{}
	for _, v := range views {
		for i := range v.Peers {
			p := &v.Peers[i]
			if now.Sub(p.At()) > view.PeerKept {
				continue // a group that is at rest shows it still
			}
			name := cmp.Or(p.Hello.Node, p.Addr.String())
			age, home := now.Sub(p.At()), metrics.Home{Address: p.Addr.String(), Version: p.Hello.Version}
			m := byNode[name]
			if m == nil {
				m = &metrics.Peer{Node: name, Age: age}
				byNode[name] = m
			}
			m.Age = min(m.Age, age)
			if !slices.Contains(m.Homes, home) {
				m.Homes = append(m.Homes, home)
			}
		}
	}
	out := make([]metrics.Peer, 0, len(byNode))
	for _, m := range byNode {
		out = append(out, *m)
	}
	slices.SortFunc(out, func(a, b metrics.Peer) int { return strings.Compare(a.Node, b.Node) })
	return out
}

// reportsOf returns what the nodes of a group reported, for the doctor.
func reportsOf(n *view.Node, v *view.Group, now election.Instant, at func(election.Instant) time.Time) []doctor.Report {
	var out []doctor.Report
	for i := range v.Peers {
		p := &v.Peers[i]
		r := doctor.Report{
			Node: p.Hello.Node, Address: p.Addr, At: at(p.At()), Current: p.Fresh(now),
			Addresses: p.Hello.Addresses, Complete: p.Hello.Complete,
			Differences: differences(n, v, p, now),
		}
		out = append(out, r)
	}
	return out
}
