// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vipd/agent/election"
)

// script reads events from bytes: any sequence at any times.
type script struct{ b []byte }

func (s *script) byte() byte {
	if len(s.b) == 0 {
		return 0
	}
	c := s.b[0]
	s.b = s.b[1:]
	return c
}

func (s *script) instant(now election.Instant) election.Instant {
	d := time.Duration(int16(binary.BigEndian.Uint16([]byte{s.byte(), s.byte()})))
	switch s.byte() % 4 {
	case 0:
		d *= time.Microsecond
	case 1:
		d *= time.Millisecond
	case 2:
		d *= 10 * time.Millisecond
	default:
		d = max(d, 0) * time.Second
	}
	return max(now.Add(d), 0)
}

func (s *script) priority() election.Priority {
	return election.Priority{AdvBase: s.byte(), AdvSkew: s.byte(), Demote: s.byte()}
}

func (s *script) config() election.Config {
	c, d := s.byte(), s.byte()
	return election.Config{
		NodeName: "fw1", AdvBase: s.byte() >> (d & 7), AdvSkew: s.byte(), Preempt: c&1 != 0,
		SendDemote: c&2 != 0, DeadRatio: float64(c>>2) / 16, MasterDown: election.DownRule(d >> 3 & 1),
		DualStack: d&16 != 0, PreemptDelay: time.Duration(d>>5) * time.Second,
		ClaimDelay: time.Duration(d>>6) * 10 * time.Second,
		Beat:       time.Duration(max(int(d)-200, 0)) * 700 * time.Microsecond,
	}
}

func (s *script) event(m *election.Machine, now election.Instant) election.Event {
	v := m.View()
	switch s.byte() % 21 {
	case 0, 1:
		return election.Up{Reason: election.ReasonLinkUp}
	case 2:
		return election.Down{Reason: election.ReasonLinkDown}
	case 3, 4, 5:
		flags := s.byte()
		a := election.Advert{
			At: s.instant(now), Priority: s.priority(), Aware: flags&1 != 0,
			Yielded: flags&2 != 0, Generation: v.Generation - uint64(flags>>2&1),
			Src: netip.AddrFrom4([4]byte{192, 0, 2, flags >> 6}),
		}
		if flags&32 != 0 {
			a.Beat = time.Millisecond + time.Duration(s.byte()&1)*time.Microsecond
		}
		if flags&16 != 0 {
			a.Src = netip.AddrFrom16([16]byte{0xfe, 0x80, 15: flags >> 6})
		}
		if flags&8 != 0 {
			a.Priority = election.GoodbyePriority()
		}
		return a
	case 6:
		return election.Yielded{Generation: v.Generation - uint64(s.byte()&1)}
	case 7, 8, 9:
		return election.Sent{
			T0:      s.instant(now),
			Goodbye: (v.Leaving || v.Compared.Goodbye()) != (s.byte() == 1),
			OK:      s.byte()&3 != 0,
			Partial: s.byte()&7 == 0,
		}
	case 10:
		return election.Demotion{Total: (int(s.byte()) - 100) << (s.byte() & 31)}
	case 11:
		return election.Release{Reason: election.ReasonDisabled}
	case 12:
		return election.Reconfigure{Config: s.config()}
	case 13:
		return nil
	case 14:
		return election.Tick{Blind: true, Watched: time.Minute}
	case 15:
		flags := s.byte()
		if flags&12 == 12 {
			return election.Stay{}
		}
		return election.HandOver{Force: flags&1 != 0, Wait: flags&2 != 0}
	case 16:
		return election.Sending{}
	case 17:
		return election.AwaitChecks{Until: s.instant(now)}
	case 18:
		return election.Restore{Kept: election.Kept{
			YieldUntil: s.instant(now), Said: s.priority(), FailUntil: s.instant(now), FailWait: time.Duration(s.instant(now)),
		}}
	case 19:
		flags := s.byte()
		return election.Reach{Impaired: flags&3 != 0, Mute: flags&3 == 3}
	default:
		return election.Tick{}
	}
}

// For any events in any order, Step does not panic, returns valid actions, returns the same actions twice, and
// has a later deadline after a Tick.
func FuzzStep(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{1, 1, 0, 0, 14, 12, 3, 14, 0, 3, 3, 7, 0, 0, 0, 0, 0, 1})
	f.Add([]byte{255, 0, 1, 0, 0, 0, 0, 15, 4, 0, 2, 15, 3, 8, 0, 0, 1, 255, 255, 0, 15, 11})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := &script{b: b}
		cfg := s.config()
		m, twin := election.New(cfg, 0, 7), election.New(cfg, 0, 7)
		now := election.Instant(0)
		if s.byte()&1 != 0 {
			now = election.Instant(time.Hour)
			from := election.Adopted{
				State: election.State(s.byte() % 4), Generation: 7, Lease: s.instant(now), SendUntil: s.instant(now),
				Priority: s.priority(), LastSent: s.instant(now), Demotion: int(s.byte()), Yielded: s.byte()&7 == 0,
			}
			var out []election.Action
			m, out = election.Adopt(cfg, now, from, nil)
			twin, _ = election.Adopt(cfg, now, from, nil)
			checkAdopted(t, m.View(), from, now, out)
		}
		for len(s.b) > 0 {
			if d, ok := m.Deadline(); ok && s.byte()&1 == 0 {
				now = max(now, d)
			} else {
				now = s.instant(now)
			}
			if now > election.Never/4 {
				return
			}
			ev := s.event(m, now)
			before := m.View()
			out := m.Step(now, ev, nil)
			again := twin.Step(now, ev, nil)
			if diff := cmp.Diff(out, again, cmpopts.EquateComparable(netip.Addr{})); diff != "" || m.View() != twin.View() {
				t.Fatalf("%T: the same calls return different actions:\n%s", ev, diff)
			}
			checkAnswers(t, ev, before, m.View(), out)
			if _, tick := ev.(election.Tick); tick {
				checkProgress(t, m, twin, now)
			}
		}
	})
}

func checkProgress(t *testing.T, m, twin *election.Machine, now election.Instant) {
	t.Helper()
	at, ok := m.Deadline()
	if !ok || at > now {
		return
	}
	// The machine's time may be ahead of a now that went back: tick again at its own time.
	m.Step(at, election.Tick{}, nil)
	twin.Step(at, election.Tick{}, nil)
	if again, ok := m.Deadline(); ok && again <= at {
		t.Fatalf("at %v: deadline %v does not move: %+v", now, time.Duration(at), m.View())
	}
}

// checkAnswers checks the order of the actions of one Step.
func checkAnswers(t *testing.T, ev election.Event, before, after election.View, out []election.Action) {
	t.Helper()
	fail := func(why string) { t.Fatalf("%T in %+v: %s: %#v", ev, before, why, out) }
	state, generation, sends, changes := before.State, before.Generation, 0, 0
	fenced := before.State
	for _, a := range out {
		switch a := a.(type) {
		case election.SetRole:
			if a.Generation < generation ||
				a.State == election.Master && a.Lease == 0 && a.Generation == generation && before.Lease != 0 {
				fail("role goes back")
			}
			generation, fenced = a.Generation, a.State
		case election.AddVIPs, election.SendAdvert, election.Announce, election.RenewVIPs:
			if fenced != election.Master {
				fail("speaks without the role")
			}
			if _, ok := a.(election.SendAdvert); ok {
				sends++
			}
		case election.RemoveVIPs:
			if fenced == election.Master {
				fail("addresses go before the role")
			}
		case election.Transition:
			if a.From != state || a.To == a.From || fenced != a.To || a.Reason.String() == "invalid" || a.Lag < 0 {
				fail("transition does not fit")
			}
			state = a.To
			changes++
		case election.Released:
			if state != election.Init {
				fail("released in another state")
			}
		case election.SetPriority:
			if fenced == election.Init {
				fail("priority while in INIT")
			}
		}
	}
	checkHandover(t, ev, before, after, out)
	if sends > 1 || changes > 1 || state != after.State || generation > after.Generation {
		fail("too many actions, or they contradict the view")
	}
	for _, a := range out {
		send, ok := a.(election.SendAdvert)
		if ok && (send.Goodbye && send.Beat > 0 || send.Beat > election.MaxBeat+time.Microsecond) {
			fail("states a beat that it must not")
		}
	}
	if after.Expired && sends > 0 {
		fail("sends under an expired lease")
	}
}

// checkHandover checks that each HandOver has one result, at once or when it ends.
func checkHandover(t *testing.T, ev election.Event, before, after election.View, out []election.Action) {
	t.Helper()
	want, got := 0, 0
	_, asked := ev.(election.HandOver)
	if before.HandingOver && !after.HandingOver || asked && !after.HandingOver {
		want = 1
	}
	for _, a := range out {
		if h, ok := a.(election.HandoverResult); ok {
			got++
			lost := after.State != election.Master
			if h.Outcome == election.HandedOver && (!lost || !before.HandingOver) || h.Outcome == election.NotTaken && lost ||
				h.Outcome == election.GivenUp && after.State != election.Backup || h.Took < 0 {
				t.Fatalf("%T in %+v: %+v, and then %+v", ev, before, h, after)
			}
		}
	}
	if got != want || after.HandingOver && after.State != election.Master {
		t.Fatalf("%T in %+v: want %d answers, got %d: %#v", ev, before, want, got, out)
	}
}

// checkAdopted checks that a valid lease is continued and that anything else is withdrawn first.
func checkAdopted(t *testing.T, v election.View, from election.Adopted, now election.Instant, out []election.Action) {
	t.Helper()
	alive := from.State == election.Master && now < from.Lease && !from.Yielded
	if alive != (v.State == election.Master) || v.Generation != from.Generation ||
		alive && (len(out) > 0 || v.Next > now || v.Lease != from.Lease) {
		t.Fatalf("adopted %+v: %+v, %#v", from, v, out)
	}
	if role, ok := append(out, nil)[0].(election.SetRole); !alive && (!ok || role.State != election.Backup) {
		t.Fatalf("adopted %+v: the role does not come first: %#v", from, out)
	}
}
