// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
)

// TestWithheldAdvertsDecideNothing runs two machines on the same random segment. One hears every advert at once, the
// other one only those that the kernel does not withhold, and the rest before its deadlines and other events. Both must
// make the same transitions at the same times, and be in the same state whenever the second one has caught up.
func TestWithheldAdvertsDecideNothing(t *testing.T) {
	t.Parallel()
	seeds := uint64(2000)
	if testing.Short() {
		seeds = 300
	}
	withheld, transitions := 0, 0
	for seed := range seeds {
		w := newTwins(t, seed)
		for range 400 {
			w.happen()
			if t.Failed() {
				t.Fatalf("seed %d: at %v, %+v", seed, time.Duration(w.now), w.cfg)
			}
		}
		withheld += w.withheld
		transitions += len(w.all.moves)
	}
	if withheld < 10_000 || transitions < 1000 {
		t.Errorf("%d adverts were withheld, and there were %d transitions", withheld, transitions)
	}
}

// hearer is a machine with what it has done.
type hearer struct {
	m     *election.Machine
	moves []election.Transition
}

// step passes an event; all sends succeed.
func (h *hearer) step(at election.Instant, ev election.Event) {
	queue := h.m.Step(at, ev, nil)
	for i := 0; i < len(queue); i++ {
		switch act := queue[i].(type) {
		case election.SendAdvert:
			queue = h.m.Step(at, election.Sending{}, queue)
			queue = h.m.Step(at, election.Sent{T0: at, Goodbye: act.Goodbye, OK: true}, queue)
		case election.Transition:
			act.Cause = nil // compared by the states
			h.moves = append(h.moves, act)
		}
	}
}

// twins are the two machines, and the kernel of the one that is told less.
type twins struct {
	t *testing.T
	*rand.Rand
	now       election.Instant
	cfg       election.Config
	all, some hearer
	peers     [3]talker
	demoted   bool
	beats     bool // of some peers

	repeats  election.Repeats
	settled  [2]election.Instant
	told     [2]election.Advert
	heard    [2]election.Instant
	withheld int
}

// talker is another node.
type talker struct {
	number   int
	on       bool
	priority election.Priority
	beat     time.Duration
	aware    bool
	next     election.Instant
	families []netip.Addr
}

func newTwins(t *testing.T, seed uint64) *twins {
	w := &twins{t: t, Rand: rand.New(rand.NewPCG(seed, 1)), now: election.Instant(time.Hour)}
	w.cfg, w.beats = w.config(), seed%3 == 0
	w.all.m, w.some.m = election.New(w.cfg, w.now, 0), election.New(w.cfg, w.now, 0)
	for i := range w.peers {
		v4, v6 := netip.AddrFrom4([4]byte{10, 0, 0, byte(i)}), netip.AddrFrom16([16]byte{0xfe, 0x80, 15: byte(i)})
		// In fast mode and with beats the wait depends on the address heard last: with two families the machine that is
		// told less may decide half a rank step later.
		families := 4
		if w.cfg.AdvBase == 0 || w.beats {
			families = 2
		}
		w.peers[i].families = [][]netip.Addr{{v4}, {v6}, {v4, v6}, {v6, v4}}[w.IntN(families)]
		w.peers[i].number = i
		w.change(&w.peers[i])
	}
	w.both(election.Up{Reason: election.ReasonStartup})
	return w
}

func (w *twins) config() election.Config {
	c := election.Config{
		NodeName: "fw1", AdvBase: uint8(min(1, w.IntN(4))), AdvSkew: uint8(w.IntN(3) * 20), DeadRatio: 3,
		Preempt: w.IntN(2) == 0, DualStack: w.IntN(2) == 0, SendDemote: w.IntN(2) == 0,
	}
	if w.IntN(4) == 0 {
		c.PreemptDelay = time.Duration(w.IntN(30)) * time.Second
	}
	if w.IntN(6) == 0 {
		c.ClaimDelay = time.Duration(w.IntN(30)) * time.Second
	}
	return c
}

// change gives a peer another priority, which is no other peer's: two that speak alike in different families at one
// time are taken for one node.
func (w *twins) change(p *talker) {
	p.on = w.IntN(3) > 0
	p.priority = election.Priority{AdvBase: w.cfg.AdvBase, AdvSkew: uint8(w.IntN(5)*10 + p.number)}
	if p.aware = w.IntN(5) == 0; p.aware {
		p.priority.Demote = uint8(w.IntN(2))
	}
	p.beat = 0
	if w.beats {
		p.beat = time.Duration(w.IntN(3)) * 15 * time.Millisecond
	}
	p.next = w.now.Add(time.Duration(w.Int64N(int64(p.interval()))))
}

func (p *talker) interval() time.Duration {
	return election.Advert{Priority: p.priority, Beat: p.beat}.Interval()
}

// happen lets the next thing happen: mostly adverts.
func (w *twins) happen() {
	p := &w.peers[0]
	for i := range w.peers {
		if w.peers[i].next < p.next {
			p = &w.peers[i]
		}
	}
	w.pass(p.next)
	switch w.IntN(60) {
	case 0:
		w.change(p)
		return
	case 1:
		w.demoted = !w.demoted
		w.both(election.Demotion{Total: map[bool]int{true: 100}[w.demoted]})
	case 2:
		w.both(election.Reach{Impaired: w.IntN(2) == 0})
	case 3:
		w.cfg.AdvSkew = uint8(w.IntN(3) * 20)
		w.both(election.Reconfigure{Config: w.cfg})
	case 4:
		w.both(election.AwaitChecks{Until: w.now.Add(time.Duration(w.IntN(5)) * time.Second)})
	case 5:
		w.both(election.HandOver{Force: w.IntN(2) == 0})
	case 6:
		if p.on {
			w.says(p, election.GoodbyePriority())
			p.on = false
		}
	case 7:
		w.both(election.Down{Reason: election.ReasonLinkDown})
		w.both(election.Up{Reason: election.ReasonLinkUp})
	}
	if p.on && w.IntN(20) > 0 { // or it is lost
		w.says(p, p.priority)
	}
	p.next = p.next.Add(p.interval())
}

// pass lets both machines decide at their deadlines up to a time.
func (w *twins) pass(to election.Instant) {
	for {
		a, ok := w.all.m.Deadline()
		b, okToo := w.some.m.Deadline()
		if (!ok || a > to) && (!okToo || b > to) {
			break
		}
		if ok && (!okToo || a <= b) {
			w.now = max(w.now, a)
			w.all.step(w.now, election.Tick{})
		}
		if okToo && (!ok || b <= a) {
			w.now = max(w.now, b)
			w.tick()
		}
	}
	w.now = max(w.now, to)
	w.compare(false)
}

// tick lets the second machine decide, unless it finds that it need not.
func (w *twins) tick() {
	w.catchUp(w.now)
	if due, ok := w.some.m.Deadline(); ok && due <= w.now {
		w.some.step(w.now, election.Tick{})
	}
	w.settled = w.repeats.Settle(w.some.m)
}

// catchUp passes what was withheld.
func (w *twins) catchUp(to election.Instant) {
	adverts, n := w.repeats.Withheld(w.heard, to)
	for _, a := range adverts[:n] {
		w.some.step(w.now, a)
	}
}

// says passes an advert in each of the peer's families.
func (w *twins) says(p *talker, prio election.Priority) {
	for i, src := range p.families {
		w.now = w.now.Add(time.Duration(i) * 100 * time.Microsecond)
		a := election.Advert{At: w.now, Src: src, Priority: prio, Beat: p.beat, Aware: p.aware}
		if prio.Goodbye() {
			a.Beat = 0
		}
		w.all.step(w.now, a)
		w.decide(&w.all)
		f := election.FamilyOf(src) - election.IPv4
		same := w.told[f]
		same.At = a.At
		if w.some.m.State() == election.Backup && w.told[f].At > 0 && w.told[f].At == w.settled[f] && same == a {
			w.heard[f] = a.At
			w.withheld++
			continue
		}
		w.told[f] = a
		w.catchUp(a.At)
		w.repeats.Note(a)
		w.some.step(w.now, a)
		w.decide(&w.some)
		w.settled = w.repeats.Settle(w.some.m)
		w.compare(true)
	}
}

func (w *twins) decide(h *hearer) {
	if due, ok := h.m.Deadline(); ok && due <= w.now {
		h.step(w.now, election.Tick{})
	}
}

// both passes an event to both machines.
func (w *twins) both(ev election.Event) {
	w.catchUp(w.now)
	for _, h := range []*hearer{&w.all, &w.some} {
		h.step(w.now, ev)
		w.decide(h)
	}
	w.settled = w.repeats.Settle(w.some.m)
	w.compare(true)
}

func (w *twins) compare(caughtUp bool) {
	w.t.Helper()
	if !slices.Equal(w.all.moves, w.some.moves) {
		w.t.Errorf("transitions %+v\nand, with adverts withheld, %+v", last(w.all.moves), last(w.some.moves))
	}
	if a, b := w.all.m.View(), w.some.m.View(); caughtUp && a != b {
		w.t.Errorf("state\n%+v\nand, with adverts withheld,\n%+v", a, b)
	}
}

func last(moves []election.Transition) []election.Transition { return moves[max(0, len(moves)-3):] }
