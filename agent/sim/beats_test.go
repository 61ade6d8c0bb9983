// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"

	"vipd/agent/election"
)

// beating is two hosts that are up, the first one MASTER of the first group, with a beat. The second one may be a peer.
func beating(t *testing.T, seed uint64, beat time.Duration, peer Peer, groups int) *World {
	t.Helper()
	w := newWorld(
		Scenario{
			Seed: seed, Hosts: 2, Groups: groups, AdvBase: 1, Skews: SkewsSpread, Preempt: true, Beat: beat,
			Latency: 100 * time.Microsecond, Trailers: TrailersSent, Drift: 50, Mixture: Mixture{Peer: peer},
		},
		true,
	)
	for _, h := range w.hosts {
		h.beatless = false
		for _, m := range h.members {
			m.cfg.Beat = 0
			if h.peer == PeerNone {
				m.cfg.Beat = beat
			}
			m.normal = m.cfg
		}
		w.at(0, func() { w.boot(h) })
	}
	w.at(0, w.audit)
	w.run(10 * time.Second)
	if !w.answering(w.hosts[0].members[0]) || w.violation != nil {
		t.Fatalf("no start: %v\n%s", w.violation, w.traces())
	}
	return w
}

// A BACKUP takes over after three beats and its rank, wherever in the beat the master dies. If only its agent dies, the
// lease shortens the gap.
func TestBeatFailoverTimes(t *testing.T) {
	t.Parallel()
	for _, beat := range []time.Duration{time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond} {
		for _, c := range []struct {
			name   string
			strike func(*World, *host)
			most   time.Duration // without an owner
		}{
			{"crash", func(w *World, h *host) { w.crash(h) }, 4 * beat},
			{"link lost", func(w *World, h *host) { w.setLink(h, false) }, 4 * beat},
			{"agent killed", func(w *World, h *host) { w.killAgent(h) }, 13 * beat / 10},
		} {
			for seed := range uint64(20) {
				w := beating(t, seed+1, beat, PeerNone, 1)
				owner, heir := w.hosts[0].members[0], w.hosts[1].members[0]
				w.run(w.now + w.clocks.between(0, beat))
				c.strike(w, owner.host)
				died := w.now
				if w.answering(owner) {
					died = w.leaseEnd(owner)
				}
				most := died + c.most + 2*w.net.flight
				for !w.answering(heir) && w.now < most {
					w.run(w.now + beat/100)
				}
				if w.now >= most || w.violation != nil {
					t.Errorf("beat %v, seed %d, %s: more than %v without an owner; %v\n%s", beat, w.Seed, c.name, most-died,
						w.violation, w.traces())
				}
			}
		}
	}
}

// A node of another implementation sees ordinary adverts in either role, and keeps it.
func TestPeersAreUndisturbedByBeats(t *testing.T) {
	t.Parallel()
	for _, peer := range []Peer{PeerFreeBSD, PeerOpenBSD, PeerUCARP} {
		w := beating(t, 1, time.Millisecond, peer, 2) // the peer is worse in one group, and better in the other
		before, adverts := transitions(w), w.stats.Adverts
		w.run(w.now + time.Minute)
		if transitions(w) != before || w.violation != nil {
			t.Errorf("%v: %d transitions, %v\n%s", peer, transitions(w)-before, w.violation, w.traces())
		}
		for n, owner := range []*host{w.hosts[0], w.hosts[1]} {
			if !w.answering(owner.members[n]) {
				t.Errorf("%v: %s does not own group %d", peer, owner.name, n+1)
			}
		}
		if sent := w.stats.Adverts - adverts; sent < 59_000 || sent > 61_000 {
			t.Errorf("%v: %d adverts in a minute", peer, sent)
		}
	}
}

// A reload that turns the beat on, off, shorter or longer moves nothing, also while adverts are lost now and then.
func TestReloadsOfTheBeatMoveNothing(t *testing.T) {
	t.Parallel()
	const beat = 10 * time.Millisecond
	w := beating(t, 1, beat, PeerNone, 1)
	before, owner := transitions(w), w.hosts[0].members[0]
	w.at(w.now, func() { w.net.loss = 10; w.net.update() })
	for i := range 200 {
		w.at(w.now+w.clocks.between(0, 60*time.Second), func() {
			cfg := owner.cfg
			cfg.Beat = []time.Duration{0, beat, 3 * beat, beat / 10}[i%4]
			w.reload(owner, cfg)
		})
	}
	w.run(w.now + time.Minute)
	if transitions(w) != before || w.violation != nil || w.stats.Lost == 0 {
		t.Errorf("%d transitions, %d adverts lost, %v\n%s", transitions(w)-before, w.stats.Lost, w.violation, w.traces())
	}
}

// A switch that limits the adverts to a node costs one takeover, however long it does, and meanwhile a dead master is
// replaced after twice the pause that the switch made. Then the beats count again.
func TestPolicedBeatsCostOneTakeover(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		police
		pause time.Duration // at most
	}{
		{police{rate: 50, burst: 5}, 25 * time.Millisecond},
		{police{rate: 100, window: true}, 505 * time.Millisecond},
	} {
		p := c.police
		w := beating(t, 1, 5*time.Millisecond, PeerNone, 1)
		before, backup := transitions(w), w.hosts[1].members[0]
		police := func(p *police, policed int) {
			w.hosts[1].police, w.net.policed = p, policed
			w.net.update()
		}
		w.at(w.now, func() { police(&p, 1) })
		w.run(w.now + 5*time.Minute)
		if moved := transitions(w) - before; moved != 2 || w.violation != nil {
			t.Errorf("%+v: %d transitions, want one there and back; %v\n%s", p, moved, w.violation, w.traces())
		}
		v := backup.machine.View()
		if v.Distrusted != w.hosts[0].addrs[0] || v.DownTime < c.pause || v.DownTime > 8*c.pause/3 {
			t.Errorf("%+v: %+v", p, v)
		}
		w.at(w.now, func() { police(nil, 0) })
		w.run(w.now + 75*time.Second)
		v = backup.machine.View()
		if v.Distrusted.IsValid() || v.DownTime > 20*time.Millisecond || v.State != election.Backup {
			t.Errorf("%+v: after a minute of steady beats: %+v", p, v)
		}
	}
}

// A MASTER whose agent stood still for a moment and that crashes soon after is replaced after twice that time and the
// rank, not after its ordinary master-down time.
func TestCrashInDoubt(t *testing.T) {
	t.Parallel()
	const beat = time.Millisecond
	for seed := range uint64(20) {
		w := beating(t, seed+1, beat, PeerNone, 1)
		owner, heir := w.hosts[0].members[0], w.hosts[1].members[0]
		stall := w.clocks.between(5*beat, 50*beat)
		owner.host.held++
		w.run(w.now + stall)
		owner.host.held--
		w.revive(owner.host)
		w.run(w.now + w.clocks.between(time.Second, 50*time.Second))
		if heir.transition != 3 || !w.answering(owner) { // BACKUP, MASTER, BACKUP
			t.Fatalf("seed %d: %d transitions\n%s", w.Seed, heir.transition, w.traces())
		}
		w.crash(owner.host)
		most := w.now + 4*2*(stall+2*beat)/3
		for !w.answering(heir) && w.now < most {
			w.run(w.now + beat/100)
		}
		if w.now >= most || w.violation != nil {
			t.Errorf("seed %d: more than %v without an owner, after a stall of %v; %v\n%s", w.Seed, 4*2*(stall+2*beat)/3, stall,
				w.violation, w.traces())
		}
	}
}

// A MASTER that is killed and started again within a few milliseconds, or whose link is lost for as long, was not late:
// its beats count as before, once it states them.
func TestReturnIsNoDoubt(t *testing.T) {
	t.Parallel()
	const beat = time.Millisecond
	for seed := range uint64(40) {
		w := beating(t, seed+1, beat, PeerNone, 1)
		owner, heir := w.hosts[0].members[0], w.hosts[1].members[0]
		gone := w.clocks.between(4*beat, 90*beat)
		lost := seed%2 == 0
		if lost {
			w.setLink(owner.host, false)
		} else {
			w.killAgent(owner.host)
		}
		w.run(w.now + gone)
		if lost {
			w.setLink(owner.host, true)
		} else {
			w.startAgent(owner.host)
		}
		w.run(w.now + startTime + time.Second)
		v := heir.machine.View()
		if heir.transition != 3 || !w.answering(owner) || v.DownTime > 4*beat || w.violation != nil {
			t.Errorf("seed %d: gone for %v, link %v: %d transitions, %+v; %v\n%s", w.Seed, gone, lost, heir.transition, v,
				w.violation, w.traces())
		}
	}
}
