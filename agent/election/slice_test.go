// SPDX-License-Identifier: Apache-2.0

package election_test

import (
	"slices"
	"testing"

	"vipd/agent/election"
)

// owner is a machine that is MASTER and advertised at the time that it returns.
func owner(t *testing.T, cfg election.Config) (*election.Machine, election.Instant) {
	t.Helper()
	m := election.New(cfg, 0, 0)
	out := m.Step(0, election.Up{Reason: election.ReasonStartup}, nil)
	at, _ := m.Deadline()
	out = m.Step(at, election.Tick{}, out)
	m.Step(at, election.Sent{T0: at, OK: true}, out)
	if v := m.View(); v.State != election.Master || v.Waiting != election.WaitAdvert {
		t.Fatalf("%s, waiting for %s", v.State, v.Waiting)
	}
	return m, at
}

func advertises(actions []election.Action) bool {
	return slices.ContainsFunc(actions, func(a election.Action) bool {
		_, is := a.(election.SendAdvert)
		return is
	})
}

// TestSlice: a regular advert may leave a slice early and no more. The slice is small against the interval, and the
// lease runs from the advert as ever. A retry does not come early.
func TestSlice(t *testing.T) {
	t.Parallel()
	for _, cfg := range []election.Config{
		{AdvBase: 1}, {AdvBase: 1, AdvSkew: 200}, {AdvBase: 20}, {AdvSkew: 1}, {AdvSkew: 100}, {AdvBase: 2, DeadRatio: 1.2},
	} {
		interval := election.Priority{AdvBase: cfg.AdvBase, AdvSkew: cfg.AdvSkew}.Interval()
		m, at := owner(t, cfg)
		slice := m.Slice()
		if slice <= 0 || slice > interval/100 || slice > election.MaxSlice {
			t.Errorf("%+v: slice %v of an interval of %v", cfg, slice, interval)
		}
		due, _ := m.Deadline()
		early := due.Add(-slice)
		if advertises(m.Step(early-1, election.Tick{}, nil)) {
			t.Errorf("%+v: advertised more than a slice early", cfg)
		}
		if !advertises(m.Step(early, election.Tick{}, nil)) {
			t.Errorf("%+v: did not advertise a slice early", cfg)
		}
		m.Step(early, election.Sent{T0: early, OK: true}, nil)
		if lease := m.View().Lease; lease.Sub(early) != cfg.Lease() {
			t.Errorf("%+v: lease of %v from the advert on, want %v", cfg, lease.Sub(early), cfg.Lease())
		}
		if next, _ := m.Deadline(); next.Sub(early) != due.Sub(at) {
			t.Errorf("%+v: the next one %v later, want %v", cfg, next.Sub(early), due.Sub(at))
		}

		due, _ = m.Deadline()
		m.Step(due, election.Tick{}, nil)
		m.Step(due, election.Sent{T0: due}, nil)
		if retry, _ := m.Deadline(); m.Slice() != 0 || advertises(m.Step(retry-1, election.Tick{}, nil)) {
			t.Errorf("%+v: a retry came early", cfg)
		}
	}
}

// TestSliceOfBackup: silence counts at its time.
func TestSliceOfBackup(t *testing.T) {
	t.Parallel()
	m := election.New(election.Config{AdvBase: 1}, 0, 0)
	m.Step(0, election.Up{Reason: election.ReasonStartup}, nil)
	due, _ := m.Deadline()
	if m.Slice() != 0 || advertises(m.Step(due-1, election.Tick{}, nil)) ||
		!advertises(m.Step(due, election.Tick{}, nil)) {
		t.Error("a claim did not come at its time")
	}
}
