// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"vipd/agent/election"
)

// world is a segment with random faults and commands.
type world struct {
	*segment
	preempt bool
	fast    bool
	beats   bool
	witness reasons
}

func (w *world) pick(t *rapid.T) *node {
	return w.nodes[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "node")]
}

// ask passes an event of the operator or the link to a node whose agent runs.
func (n *node) ask(ev election.Event) {
	n.asked = true
	if up, ok := ev.(election.Up); ok && n.m.View().State == election.Init && up.Reason != election.ReasonEnabled {
		n.delayed = n.s.now
	}
	n.step(ev)
	n.asked = false
}

func (w *world) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { w.check() },
		"pass": func(t *rapid.T) {
			most := 6000
			if w.fast {
				most = 400
			}
			w.advance(time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond)
		},
		"pass longer": func(t *rapid.T) {
			w.advance(time.Duration(rapid.IntRange(1, w.calm(30)).Draw(t, "s")) * time.Second)
		},
		"link": func(t *rapid.T) {
			if n := w.pick(t); !n.paused && n.wanted {
				n.linkUp = !n.linkUp
				if n.linkUp {
					n.ask(election.Up{Reason: election.ReasonLinkUp})
				} else {
					n.ask(election.Down{Reason: election.ReasonLinkDown})
				}
			}
		},
		"stop agent": func(t *rapid.T) { w.pick(t).paused = true },
		"oversleep": func(t *rapid.T) {
			n := w.pick(t)
			for _, o := range w.nodes {
				if o.answering() {
					n = o // the owner
				}
			}
			n.paused = true
			w.advance(time.Duration(rapid.IntRange(1, w.calm(100)).Draw(t, "tenths")) * 100 * time.Millisecond)
			n.paused = false
		},
		"continue agent": func(t *rapid.T) {
			w.pick(t).paused = false
		},
		"lag": func(t *rapid.T) {
			w.pick(t).lag = time.Duration(rapid.IntRange(0, w.calm(20)).Draw(t, "ms")) * time.Millisecond
		},
		"flight": func(t *rapid.T) {
			w.pick(t).flight = time.Duration(rapid.IntRange(1, w.calm(5000)).Draw(t, "us")) * time.Microsecond
		},
		"demote": func(t *rapid.T) {
			n := w.pick(t)
			total := rapid.SampledFrom([]int{0, 1, 50, 240, 1000, -10}).Draw(t, "total")
			if !n.paused {
				n.demotion = total
				n.ask(election.Demotion{Total: total})
			}
		},
		"reconfigure": func(t *rapid.T) {
			n := w.pick(t)
			skew := rapid.SampledFrom([]uint8{0, 0, 1, 100, 254}).Draw(t, "skew")
			if w.fast {
				skew = 10 + skew/4
			}
			if w.beats {
				n.cfg.Beat = someBeat(t)
			}
			if !n.paused {
				n.cfg.AdvSkew = skew
				n.ask(election.Reconfigure{Config: n.cfg})
			}
		},
		"sends fail": func(t *rapid.T) { w.pick(t).sendFails = true },
		"sends work": func(t *rapid.T) { w.pick(t).sendFails = false },
		"release": func(t *rapid.T) {
			if n := w.pick(t); !n.paused {
				n.wanted = false
				n.step(election.Release{Reason: election.ReasonDisabled})
			}
		},
		"yield": func(t *rapid.T) {
			ev := election.HandOver{Force: rapid.Bool().Draw(t, "force"), Wait: rapid.Bool().Draw(t, "wait")}
			if n := w.pick(t); !n.paused {
				n.yields = true
				n.unanswered++
				n.ask(ev)
			}
		},
		"stay": func(t *rapid.T) {
			if n := w.pick(t); !n.paused {
				n.step(election.Stay{})
			}
		},
		"restart agent": func(t *rapid.T) {
			if n := w.pick(t); n.linkUp && n.wanted {
				n.paused = false
				n.asked = true
				n.restart()
				n.asked = false
			}
		},
		"checks": func(t *rapid.T) {
			if n := w.pick(t); !n.paused {
				n.step(election.AwaitChecks{Until: w.now.Add(time.Duration(rapid.IntRange(0, 20).Draw(t, "s")) * time.Second)})
			}
		},
		"flood":    func(t *rapid.T) { w.pick(t).refuses = true },
		"no flood": func(t *rapid.T) { w.pick(t).refuses = false },
		"enable":   func(t *rapid.T) { w.enable(w.pick(t)) },
		"cut": func(t *rapid.T) {
			w.pick(t).deaf[rapid.IntRange(0, len(w.nodes)-1).Draw(t, "from")] = true
		},
		"heal": func(*rapid.T) { w.heal() },
		"needless ticks": func(t *rapid.T) {
			if n := w.pick(t); !n.paused {
				n.wake()
				n.wake()
			}
		},
	}
}

// calm returns the limit, or a tenth of it in fast mode.
func (w *world) calm(most int) int {
	if w.fast {
		return most / 10
	}
	return most
}

func (w *world) enable(n *node) {
	if !n.paused && !n.wanted && n.m.View().State == election.Init && n.linkUp {
		n.wanted = true
		n.ask(election.Up{Reason: election.ReasonEnabled})
	}
}

func (w *world) heal() {
	for _, n := range w.nodes {
		n.deaf = [4]bool{}
	}
}

// recover ends every fault and checks the result: a node answers within the bound, and then exactly one
// node does, the best one if all preempt.
func (w *world) recover(t *rapid.T) {
	w.heal()
	for _, n := range w.nodes {
		n.paused, n.sendFails, n.refuses = false, false, false
		if !n.linkUp {
			n.linkUp = true
			if n.wanted {
				n.ask(election.Up{Reason: election.ReasonLinkUp})
			}
		}
	}
	w.advance(6 * time.Second) // until handovers have ended
	for _, n := range w.nodes {
		w.enable(n)
	}
	// The longest case: the claim delay of all nodes, three extensions of one that was stopped, its claim, and then the
	// preemption by a better one, or by two that are equal.
	delay := time.Duration(0)
	for _, n := range w.nodes {
		delay = max(delay, n.cfg.ClaimDelay)
	}
	w.advance(delay + 20*time.Second)
	for _, n := range w.nodes {
		switch v := n.m.View(); v.Hold {
		case election.HoldSendFailed, election.HoldChecks, election.HoldClaimDelay:
			w.advance(v.HoldUntil.Sub(w.now) + 5*time.Second) // until it may preempt
		default:
		}
	}
	before := 0
	for _, n := range w.nodes {
		before += len(n.transitions)
	}
	for range 100 {
		w.advance(100 * time.Millisecond)
		speakers, best := 0, true
		for _, n := range w.nodes {
			if !n.answering() {
				continue
			}
			speakers++
			for _, o := range w.nodes {
				best = best &&
					(n.m.View().Effective.Interval() <= o.m.View().Effective.Interval() || o.m.View().Hold != election.HoldNone)
			}
		}
		if speakers != 1 || w.preempt && !best {
			t.Fatalf("%v: %d speakers, best %v\n%s", w.time(), speakers, best, w.segment)
		}
	}
	after := 0
	for _, n := range w.nodes {
		after += len(n.transitions)
		for _, tr := range n.transitions {
			w.witness[tr.Reason]++
		}
	}
	if after != before {
		t.Fatalf("%v: transitions on a quiet segment\n%s", w.time(), w.segment)
	}
}

// someBeat draws a beat; a short one makes a long test.
func someBeat(t *rapid.T) time.Duration {
	return time.Duration(rapid.SampledFrom([]int{0, 0, 15, 30, 30}).Draw(t, "beat ms")) * time.Millisecond
}

// rounds of random lives: they are cheap, and every reason must occur.
const rounds = 5

// TestSegment runs random lives of two or three machines. In contrast to the simulator, its failures shrink.
func TestSegment(t *testing.T) {
	t.Parallel()
	witness := reasons{}
	life := func(t *rapid.T) {
		n := rapid.IntRange(2, 3).Draw(t, "nodes")
		w := &world{segment: newSegment(n, t.Fatalf), witness: witness}
		w.preempt = rapid.Bool().Draw(t, "preempt")
		dual := rapid.Bool().Draw(t, "dual stack")
		for _, n := range w.nodes {
			n.cfg.Preempt, n.cfg.DualStack = w.preempt, dual
			n.cfg.AdvSkew = rapid.SampledFrom([]uint8{0, 0, 50, 100}).Draw(t, "skew")
			n.cfg.MasterDown = rapid.SampledFrom([]election.DownRule{election.DownFreeBSD, election.DownOpenBSD}).Draw(t, "rule")
			n.cfg.PreemptDelay = time.Duration(rapid.IntRange(0, 10).Draw(t, "delay")) * time.Second
			n.cfg.ClaimDelay = time.Duration(rapid.SampledFrom([]int{0, 0, 1, 5, 20}).Draw(t, "claim delay")) * time.Second
			n.m = election.New(n.cfg, 0, 0)
			n.ask(election.Up{Reason: election.ReasonStartup})
		}
		t.Repeat(w.actions())
		w.recover(t)
	}
	witness.check(t, rounds, life,
		election.ReasonMasterTimeout, election.ReasonBetterAdvert, election.ReasonEqualAdvert,
		election.ReasonDemoted, election.ReasonLeaseExpired, election.ReasonLinkDown, election.ReasonSendFailed,
		election.ReasonGoodbye, election.ReasonPreempt, election.ReasonDisabled, election.ReasonYield)
}

// reasons counts the transitions by reason.
type reasons map[election.Reason]int

// check runs a number of rounds, and more until each wanted reason has occurred: one run in a hundred misses the
// rarest of them.
func (seen reasons) check(t *testing.T, rounds int, life func(*rapid.T), wanted ...election.Reason) {
	t.Helper()
	missing := func() []election.Reason {
		return slices.DeleteFunc(slices.Clone(wanted), func(r election.Reason) bool { return seen[r] > 0 })
	}
	for round := 0; !t.Failed() && (round < rounds || len(missing()) > 0 && round < 6*rounds); round++ {
		rapid.Check(t, life)
	}
	if left := missing(); len(left) > 0 && !t.Failed() {
		t.Errorf("%v never happened: the test proves less than it says", left)
	}
}
