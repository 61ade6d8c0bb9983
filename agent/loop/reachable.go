// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"vipd/agent/election"
	"vipd/agent/reach"
	"vipd/agent/view"
)

const (
	// lookAgain is how often the ways to unicast peers are looked at without another reason.
	lookAgain = 2 * time.Second
	// lookPause is how often all groups are looked at without another reason: what counts is a second and more. With
	// thousands of groups it is aroundShare times as long as a look takes, at most lookMax.
	lookPause   = 250 * time.Millisecond
	aroundShare = 1000
)

// reachability is what is known of the families and peers that a group can speak to.
type reachability struct {
	watch  reach.Watch
	plan   reach.Plan     // the newest
	static election.Reach // of sources and routes
	told   election.Reach // what the machine knows
	looked election.Instant
	serial uint64 // of the interface's addresses then
}

// look resolves where the group's adverts go now. What was learnt of a neighbour is good for a time.
func (g *group) look(good time.Duration) {
	now := g.env.clock.Now()
	r := &g.speaking.reach
	r.plan = reach.Resolve(&reach.Question{
		IPv4: view.Has4(g.cfg), IPv6: view.Has6(g.cfg),
		Peers: g.peers(), Broadcast: g.cfg.Broadcast,
		Own:       g.iface.has,
		VIP:       g.env.groups.isVIP,
		Source:    g.iface.source,
		Neighbour: func(peer netip.Addr) ([6]byte, error) { return g.env.neighbour(g.iface.link.Index, peer, now, good) },
	})
	r.looked, r.serial = now, g.iface.serial
	r.watch.Note(now, r.plan.Reach())
}

// lookBefore makes sure before an advert that its destinations are known. A claim looks afresh, since it must not begin
// if it cannot be completed (I8), and so does what was not sent whole. Multicast changes with the interface's own
// addresses alone. A unicast peer that has another link-layer address misses two adverts at most.
func (g *group) lookBefore(v *election.View) {
	r := &g.speaking.reach
	good := min(lookAgain/2, v.Effective.Interval())
	switch {
	case v.Claiming || v.Failing || v.Impaired || r.looked == 0 || len(r.plan.Faults) > 0:
		g.look(0)
	case r.serial != g.iface.serial || len(r.plan.Absent) > 0:
		g.look(good)
	case len(g.cfg.Peers) > 0 && g.env.clock.Now().Sub(r.looked) >= good:
		g.look(good)
	}
}

// hops are the link-layer addresses of unicast peers, which groups have in common.
type hops map[hop]learnt

type hop struct {
	ifindex int
	peer    netip.Addr
}

type learnt struct {
	mac [6]byte
	err error
	at  election.Instant
}

const (
	// retryHop is how often the kernel is asked for a peer that it does not know, at most.
	retryHop = 100 * time.Millisecond
	// maxHops bounds the memory: peers of an earlier config are not worth more.
	maxHops = 4096
)

// neighbour returns the link-layer address of a peer. Not older than good, or the kernel is asked.
func (e *env) neighbour(ifindex int, peer netip.Addr, now election.Instant, good time.Duration) ([6]byte, error) {
	key := hop{ifindex, peer}
	known, ok := e.hops[key]
	if known.err != nil {
		good = min(good, retryHop)
	}
	if ok && now.Sub(known.at) < good {
		return known.mac, known.err
	}
	if len(e.hops) >= maxHops {
		clear(e.hops)
	}
	mac, err := e.host.Neighbour(ifindex, peer)
	e.hops[key] = learnt{mac, err, now}
	return mac, err
}

// peers returns the unicast peers, the one that spoke last first: a claim counts from its first advert on, and that one
// should fence the old owner.
func (g *group) peers() []netip.Addr {
	peers := slices.Clone(g.cfg.Peers)
	if v := g.machine.View(); v.Heard {
		if i := slices.Index(peers, v.Master.Src); i > 0 {
			peers = slices.Insert(slices.Delete(peers, i, i+1), 0, v.Master.Src)
		}
	}
	return peers
}

// lookAround follows changes of what the groups can reach, before any machine decides.
func (l *Loop) lookAround(now election.Instant) {
	if !l.stale.reach && now < l.stale.lookAt {
		return
	}
	l.stale.reach = false
	for _, g := range l.groups.order {
		g.speaking.sends.Look(now, g.machine.State())
		g.settleSends()
		r := &g.speaking.reach
		switch {
		case g.entry.plane == nil || g.fault != 0:
			r.watch, r.plan, r.static, r.looked = reach.Watch{}, reach.Plan{}, election.Reach{}, 0
			continue
		case r.looked == 0 || r.serial != g.iface.serial || len(g.cfg.Peers) > 0 && now.Sub(r.looked) >= lookAgain:
			g.look(lookAgain / 2)
		}
		r.static = r.watch.Note(now, r.plan.Reach())
		if g.impaired() {
			g.tellReach()
		}
	}
	// A machine that recovers states its priority at once: the demotion goes before.
	l.demoteUnreachable()
	for _, g := range l.groups.order {
		if g.speaking.reach.looked != 0 {
			g.tellReach()
		}
	}
	l.stale.lookAt = now.Add(min(max(lookPause, aroundShare*l.clock.Now().Sub(now)), lookMax))
}

func (g *group) impaired() bool { return g.speaking.reach.static.Impaired || g.speaking.sends.Partly() }

// tellReach gives the group's machine what it can reach, if that changed.
func (g *group) tellReach() {
	r := &g.speaking.reach
	to, was := r.static, r.told
	to.Impaired = g.impaired()
	if to == was {
		return
	}
	r.told = to
	switch {
	case to.Impaired && !was.Impaired:
		g.env.log.Warn("cannot advertise to all families and peers: not preempting, and handing over to a node that can",
			"group", g.name, "cause", strings.Join(g.unreachable(), "; "))
	case was.Impaired && !to.Impaired:
		g.env.log.Info("all families and peers can be reached again", "group", g.name)
	}
	g.step(to)
}

// unreachable returns why some families or peers cannot be reached, nothing while all can.
func (g *group) unreachable() []string {
	r := &g.speaking.reach
	if !r.told.Impaired {
		return nil
	}
	out := slices.Clone(r.plan.Faults)
	if g.speaking.sends.Partly() {
		out = append(out, "a part of the adverts was refused: "+g.speaking.refused)
	}
	if len(out) == 0 {
		out = []string{"all families and peers can be reached again, but not for long enough yet"}
	}
	return out
}
