// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"math"
	"strings"
	"testing"
	"time"

	"vipd/agent/election"
)

func TestInterval(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		p    election.Priority
		want time.Duration
	}{
		{election.Priority{AdvBase: 1}, time.Second},
		{election.Priority{AdvBase: 1, AdvSkew: 100}, 1390625 * time.Microsecond},
		{election.Priority{AdvBase: 1, AdvSkew: 240}, 1937500 * time.Microsecond},
		{election.Priority{AdvBase: 1, AdvSkew: 254}, 1992187 * time.Microsecond}, // cut, as the BSDs do
		{election.Priority{AdvSkew: 1}, 3906 * time.Microsecond},
		{election.Priority{}, 3906 * time.Microsecond}, // OpenBSD's floor
		{election.GoodbyePriority(), 255996093 * time.Microsecond},
	} {
		if got := tc.p.Interval(); got != tc.want {
			t.Errorf("%+v: want %v, got %v", tc.p, tc.want, got)
		}
	}
}

func TestSuperior(t *testing.T) {
	t.Parallel()
	p := func(base, skew, demote uint8) election.Priority {
		return election.Priority{AdvBase: base, AdvSkew: skew, Demote: demote}
	}
	for _, tc := range []struct {
		name         string
		theirs, mine election.Priority
		plain, aware bool
	}{
		{"better", p(1, 0, 0), p(1, 1, 0), true, true},
		{"equal", p(1, 5, 0), p(1, 5, 0), true, true},
		{"worse", p(1, 2, 0), p(1, 1, 0), false, false},
		{"base over skew", p(1, 254, 0), p(2, 0, 0), true, true},
		{"better but more demoted", p(1, 0, 2), p(1, 1, 1), true, false},
		{"worse but less demoted", p(1, 9, 0), p(1, 1, 1), false, true},
		{"equal and equally demoted", p(1, 5, 3), p(1, 5, 3), true, true},
		{"goodbye against the slowest", p(255, 255, 0), p(255, 255, 255), false, false},
		{"just not a goodbye", p(255, 254, 0), p(255, 255, 255), true, true},
	} {
		if got := election.Superior(tc.theirs, tc.mine, false); got != tc.plain {
			t.Errorf("%s: want %v, got %v", tc.name, tc.plain, got)
		}
		if got := election.Superior(tc.theirs, tc.mine, true); got != tc.aware {
			t.Errorf("%s, aware: want %v, got %v", tc.name, tc.aware, got)
		}
	}
}

func TestInstant(t *testing.T) {
	t.Parallel()
	const now = election.Instant(5)
	if got := now.Add(3).Sub(now); got != 3 {
		t.Errorf("want 3, got %d", got)
	}
	if got := election.Never.Add(1); got != election.Never {
		t.Errorf("beyond the end of time: got %d", got)
	}
	if got := election.Instant(math.MinInt64).Add(-1); got != math.MinInt64 {
		t.Errorf("before the beginning: got %d", got)
	}
	if got := election.Never.Sub(-1); got != math.MaxInt64 {
		t.Errorf("too long: got %d", got)
	}
	if got := election.Instant(math.MinInt64).Sub(1); got != math.MinInt64 {
		t.Errorf("too long back: got %d", got)
	}
}

// The names are API.
func TestNames(t *testing.T) {
	t.Parallel()
	const want = "startup master_timeout preempt goodbye better_advert equal_advert demoted lease_expired " +
		"link_down link_up interface_missing interface_enslaved attach_failed send_failed config_changed " +
		"disabled enabled stop yield own_address interface_duplicate"
	var names []string
	for _, r := range election.Reasons() {
		names = append(names, r.String())
	}
	if got := strings.Join(names, " "); got != want {
		t.Errorf("reasons:\nwant %s\ngot  %s", want, got)
	}
	if election.Reason(0).String() != "invalid" || election.Reason(200).String() != "invalid" {
		t.Error("an invalid reason has a name")
	}
	if election.Init.String()+election.Backup.String()+election.Master.String() != "INITBACKUPMASTER" ||
		election.State(0).String() != "INVALID" {
		t.Error("state names")
	}
	if election.WaitNone.String() != "nothing" || election.WaitClaimDelay.String() != "claim delay" ||
		election.Wait(99).String() != "invalid" {
		t.Error("wait names")
	}
	names = nil
	for h := election.HoldNone; h <= election.HoldClaimDelay+1; h++ {
		names = append(names, h.String())
	}
	for f := election.FamilyNone; f <= election.IPv6; f++ {
		names = append(names, f.String())
	}
	for o := election.Outcome(0); o <= election.Withdrawn+1; o++ {
		names = append(names, o.String())
	}
	const others = "none startup yield send_failed checks claim_delay invalid  IPv4 IPv6 " +
		"invalid handed_over not_taken given_up not_master withdrawn invalid"
	if got := strings.Join(names, " "); got != others {
		t.Errorf("names: %s", got)
	}
}

// Values that the parser of the configuration refuses do no harm.
func TestConfigIsMadeSafe(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		cfg   election.Config
		down  time.Duration
		lease time.Duration // from the first advert
		sent  election.Priority
	}{
		{"zero", election.Config{}, 3*time.Second + 3906*time.Microsecond + 30649, // the hash among equals
			3*3906*time.Microsecond - time.Millisecond, election.Priority{AdvSkew: 1}},
		{
			"advbase 255",
			election.Config{AdvBase: 255, AdvSkew: 255},
			762*time.Second + 992187*time.Microsecond,
			75438 * time.Second / 100,
			election.Priority{AdvBase: 254, AdvSkew: 240},
		},
		{
			"ratio not a number",
			election.Config{AdvBase: 1, DeadRatio: math.NaN()},
			3 * time.Second,
			2970 * time.Millisecond,
			election.Priority{AdvBase: 1},
		},
		{
			"ratio 9",
			election.Config{AdvBase: 1, DeadRatio: 9},
			3 * time.Second,
			2970 * time.Millisecond,
			election.Priority{AdvBase: 1},
		},
		{
			"ratio 0.5",
			election.Config{AdvBase: 1, DeadRatio: 0.5},
			3 * time.Second,
			990 * time.Millisecond,
			election.Priority{AdvBase: 1},
		},
		{
			"ratio 2.5",
			election.Config{AdvBase: 1, DeadRatio: 2.5},
			3 * time.Second,
			2475 * time.Millisecond,
			election.Priority{AdvBase: 1},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			m := election.New(tc.cfg, 0, 0)
			m.Step(0, election.Up{Reason: election.ReasonStartup}, nil)
			at, ok := m.Deadline()
			if !ok || time.Duration(at) != tc.down {
				t.Fatalf("down time: want %v, got %v", tc.down, time.Duration(at))
			}
			m.Step(at, election.Tick{}, nil)
			m.Step(at, election.Sent{T0: at, OK: true}, nil)
			v := m.View()
			if got := v.Lease.Sub(at); got != tc.lease || v.Compared != tc.sent {
				t.Errorf("want lease %v stating %+v, got %v, %+v", tc.lease, tc.sent, got, v.Compared)
			}
		})
	}
}

// An unknown event changes nothing.
func TestUnknownEvent(t *testing.T) {
	t.Parallel()
	m := election.New(election.Config{AdvBase: 1}, 0, 0)
	before := m.View()
	keep := []election.Action{election.Announce{}}
	if out := m.Step(1, nil, keep); len(out) != 1 || m.View() != before {
		t.Errorf("want nothing, got %v, %+v", out, m.View())
	}
}

func BenchmarkStepAdvert(b *testing.B) {
	m := election.New(election.Config{AdvBase: 1}, 0, 0)
	var out []election.Action
	out = m.Step(0, election.Up{Reason: election.ReasonStartup}, out)
	a := election.Advert{Priority: election.Priority{AdvBase: 1}}
	var ev election.Event
	for b.Loop() {
		a.At++
		ev = a
		out = m.Step(a.At, ev, out[:0])
		out = m.Step(a.At, election.Tick{}, out[:0])
	}
}
