// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"testing"
	"time"
)

// quick is two hosts as in beating, or in fast mode if beat is 0, and how long the second one waits for the first one.
func quick(t *testing.T, seed uint64, beat time.Duration) (w *World, down time.Duration) {
	t.Helper()
	if beat > 0 {
		return beating(t, seed, beat, PeerNone, 1), 4 * beat
	}
	w = newWorld(
		Scenario{
			Seed: seed, Hosts: 2, Groups: 1, Skews: SkewsSpread, Preempt: true, Latency: 100 * time.Microsecond,
			Trailers: TrailersSent, Drift: 50,
		},
		true,
	)
	for i, h := range w.hosts {
		h.members[0].cfg.AdvSkew = uint8(10 + i)
		h.members[0].normal = h.members[0].cfg
		w.at(0, func() { w.boot(h) })
	}
	w.at(0, w.audit)
	w.run(10 * time.Second)
	if !w.answering(w.hosts[0].members[0]) || w.violation != nil {
		t.Fatalf("no start: %v\n%s", w.violation, w.traces())
	}
	return w, 3*interval(w.hosts[0].members[0].cfg) + interval(w.hosts[1].members[0].cfg) + 5*time.Millisecond
}

var quickModes = []time.Duration{0, time.Millisecond, 5 * time.Millisecond, 30 * time.Millisecond}

// sendsFail makes the sends of a host fail for some time.
func sendsFail(w *World, h *host, d time.Duration) {
	h.failing++
	w.unwell(h)
	w.at(w.now+d, func() { h.failing--; w.unwell(h) })
}

// ownerAgain runs until m answers, and returns when it does, at most at the given time.
func ownerAgain(w *World, m *member, most, step time.Duration) time.Duration {
	for !w.answering(m) && w.now < most && w.violation == nil {
		w.run(w.now + step)
	}
	return w.now
}

// ownedAgain checks in all modes that a node answers soon after sends fail for some time. The function makes them fail,
// and returns the node, when that began, and how long there may be no owner since then.
func ownedAgain(
	t *testing.T, fail func(w *World, down, fails time.Duration) (m *member, began, limit time.Duration),
) {
	t.Helper()
	for _, beat := range quickModes {
		for seed := range uint64(10) {
			for _, fails := range []time.Duration{1, 2, 10, 100} {
				w, down := quick(t, seed+1, beat)
				fails *= down
				m, began, limit := fail(w, down, fails)
				if at := ownerAgain(w, m, began+limit, down/400); at >= began+limit || w.violation != nil {
					t.Errorf("beat %v, seed %d, sends fail for %v: more than %v without an owner; %v\n%s", beat, w.Seed, fails,
						at-began, w.violation, w.traces())
				}
			}
		}
	}
}

// A BACKUP whose sends fail while the MASTER dies takes over when twice that time is over, at most.
func TestClaimThatCannotBeSent(t *testing.T) {
	t.Parallel()
	ownedAgain(t, func(w *World, down, fails time.Duration) (*member, time.Duration, time.Duration) {
		owner, heir := w.hosts[0].members[0], w.hosts[1].members[0]
		w.run(w.now + w.clocks.between(0, down))
		w.crash(owner.host)
		died := w.now
		sendsFail(w, heir.host, fails)
		return heir, died, down + min(2*fails+down/4, fails+4*time.Second)
	})
}

// An owner whose sends fail for longer than its lease lasts is owner again when twice that time is over, at most, if no
// other node takes over.
func TestOwnerWhoseSendsFail(t *testing.T) {
	t.Parallel()
	ownedAgain(t, func(w *World, down, fails time.Duration) (*member, time.Duration, time.Duration) {
		owner := w.hosts[0].members[0]
		w.crash(w.hosts[1])
		w.run(w.now + time.Second + w.clocks.between(0, down))
		began := w.now
		sendsFail(w, owner.host, fails)
		for w.answering(owner) && w.now < began+fails {
			w.run(w.now + down/400)
		}
		return owner, began, 2*down + min(2*fails, fails+4*time.Second)
	})
}

// quickPairs runs f in all modes with several seeds, at any time between two adverts.
func quickPairs(t *testing.T, f func(w *World, owner, heir *member, beat, down time.Duration)) {
	t.Helper()
	for _, beat := range quickModes {
		for seed := range uint64(10) {
			w, down := quick(t, seed+1, beat)
			w.run(w.now + w.clocks.between(0, down))
			f(w, w.hosts[0].members[0], w.hosts[1].members[0], beat, down)
		}
	}
}

// If another node can take over from an owner whose sends fail, it does, within its down time.
func TestSickOwnerLetsOthersTakeOver(t *testing.T) {
	t.Parallel()
	quickPairs(t, func(w *World, owner, heir *member, beat, down time.Duration) {
		began := w.now
		sendsFail(w, owner.host, time.Minute)
		most := began + down + 2*w.net.flight
		if at := ownerAgain(w, heir, most, down/400); at >= most || w.violation != nil {
			t.Errorf("beat %v, seed %d: no takeover after %v; %v\n%s", beat, w.Seed, at-began, w.violation, w.traces())
		}
		before := transitions(w)
		w.run(w.now + 50*time.Second)
		if n := transitions(w) - before; !w.answering(heir) || n > 2*6 {
			t.Errorf("beat %v, seed %d: %d transitions in 50 s\n%s", beat, w.Seed, n, w.traces())
		}
	})
}

// A node whose sends always fail claims more and more rarely, in the end once per ordinary master-down time.
func TestClaimsThatNeverCanBeSent(t *testing.T) {
	t.Parallel()
	for _, beat := range quickModes {
		w, down := quick(t, 1, beat)
		owner, heir := w.hosts[0].members[0], w.hosts[1].members[0]
		w.crash(owner.host)
		sendsFail(w, heir.host, 10*time.Minute)
		most := 2
		for d := down; d < 3*time.Second; d *= 2 {
			most++
		}
		for _, c := range []struct {
			after time.Duration
			most  int // claims
		}{{3 * time.Second, most}, {time.Minute, most + 20}, {5 * time.Minute, most + 100}} {
			before := heir.transition
			w.run(w.now + c.after)
			if n := (heir.transition - before) / 2; n > c.most || n == 0 || w.violation != nil {
				t.Errorf("beat %v: %d claims in %v, want at most %d; %v", beat, n, c.after, c.most, w.violation)
			}
		}
	}
}

// A node whose clock is ahead, and whose claims could not be sent, hears the owner when that one can send again.
func TestOwnerIsHeardAfterAClaimThatWasNotSent(t *testing.T) {
	t.Parallel()
	quickPairs(t, func(w *World, owner, heir *member, beat, down time.Duration) {
		heir.host.raise(heir.host.last+10_000_000, heir.host.clock.local(w.now))
		before := heir.transition
		sendsFail(w, owner.host, 4*down)
		sendsFail(w, heir.host, 8*down)
		w.run(w.now + 4*down)
		if heir.transition == before {
			t.Fatalf("beat %v, seed %d: the heir made no claim", beat, w.Seed)
		}
		w.run(w.now + 4*down)
		before = heir.transition
		w.run(w.now + 10*time.Second)
		if n := heir.transition - before; n > 0 || !w.answering(owner) || w.violation != nil {
			t.Errorf("beat %v, seed %d: %d transitions of the heir; %v\n%s", beat, w.Seed, n, w.violation, w.traces())
		}
	})
}
