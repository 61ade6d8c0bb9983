// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// life is an hour in the life of a node, of which everything that it does is kept. Between two moments the wall
// clock is set by what step says.
type life struct {
	*bench
	step    func(moment int) time.Duration
	moments int
	done    []string
	demoted int // moments with the operator's demotion
}

// then goes on by d and keeps what happened.
func (l *life) then(d time.Duration) {
	l.t.Helper()
	l.set += l.step(l.moments)
	l.moments++
	l.pass(d)
	if _, bgp := l.ledger.find("bgp"); bgp {
		l.demoted++
	}
	v := l.groups.order[0].machine.View()
	since := v.Since.Sub(election.Instant(startTime))
	l.done = append(l.done, fmt.Sprintf("%d: %s (%s), demotion %d, effective %d, %v since the start, lease %d, next %d",
		l.moments, v.State, v.Reason, l.ledger.total(), v.Effective.AdvSkew, since, v.Lease, v.Next))
	l.done = append(l.done, l.drain()...)
	l.checkTimes()
}

// checkTimes holds that what is shown now is told by the clock as it is set now.
func (l *life) checkTimes() {
	l.t.Helper()
	v := l.groups.order[0].machine.View()
	day := func(i election.Instant) time.Time { return startDay.Add(i.Sub(election.Instant(startTime)) + l.set) }
	g := l.status().Groups[0]
	if want := day(v.Since); !g.Since.Equal(want) {
		l.t.Errorf("moment %d: since %v, want %v", l.moments, g.Since, want)
	}
	if v.Heard && !g.Master.LastSeen.Equal(day(v.Master.At)) {
		l.t.Errorf("moment %d: master last seen %v, want %v", l.moments, g.Master.LastSeen, day(v.Master.At))
	}
	if g.State == "MASTER" && g.LeaseRemainingSeconds <= 0 {
		l.t.Errorf("moment %d: lease of %v s", l.moments, g.LeaseRemainingSeconds)
	}
	for _, d := range l.status().Demotions {
		if end, ends := l.ledger.ends[d.Name]; ends && !d.Expires.Equal(day(end)) {
			l.t.Errorf("moment %d: %s expires %v, want %v", l.moments, d.Name, d.Expires, day(end))
		}
	}
}

// live is that hour: preempting a worse master after preempt_delay, a lease kept up, a demotion for ten minutes, a
// better master heard and gone, the link lost and back.
func live(t *testing.T, step func(int) time.Duration) (*life, []api.Transition) {
	t.Helper()
	l := &life{bench: newBench(t), step: step}
	l.cfg.Carp.PreemptDelay = 10 * time.Second
	l.links["eth0"] = fakeLink("eth0")
	l.reloadTo(testGroup("eth0", 1, "192.0.2.100/24"))
	l.obey()
	for range 12 { // a worse master, for longer than the delay
		l.ring = append(l.ring, l.advert("eth0@1", 100))
		l.then(time.Second)
	}
	for range 5 {
		l.then(time.Second)
	}
	ctl := l.operator
	if _, err := ctl.AddDemotion(t.Context(), api.NewDemotion{Name: "bgp", Value: 30, For: 600}); err != nil {
		t.Fatal(err)
	}
	for range 602 {
		l.then(time.Second)
	}
	l.now += second / 2
	l.ring = append(l.ring, l.advert("eth0@1", 0)) // equal: yields
	l.then(0)
	for range 5 {
		l.then(time.Second)
	}
	down := fakeLink("eth0")
	down.Up = false
	l.links["eth0"] = down
	l.syncInterfaces()
	l.then(time.Second)
	l.links["eth0"] = fakeLink("eth0")
	l.syncInterfaces()
	for range 5 {
		l.then(time.Second)
	}
	return l, l.history.Last("", 0).Transitions
}

// The wall clock is set by an hour, forwards and backwards, between any two events: the node does the very same, at the
// very same moments, and tells the time of what it did by the clock as it is.
func TestClockStepsChangeNothing(t *testing.T) {
	t.Parallel()
	want, story := live(t, func(int) time.Duration { return 0 })
	states := []string{}
	for _, tr := range story {
		states = append(states, tr.To)
	}
	// The witness: much happens in that hour, and the demotion ends in it.
	if !slices.Equal(states, []string{"BACKUP", "MASTER", "BACKUP", "MASTER", "INIT", "BACKUP", "MASTER"}) {
		t.Fatalf("the story goes %v", states)
	}
	if want.demoted != 599 {
		t.Errorf("demoted for %d whole seconds after the first, want 599", want.demoted)
	}
	for name, step := range map[string]func(int) time.Duration{
		"forwards":  func(int) time.Duration { return time.Hour },
		"backwards": func(int) time.Duration { return -time.Hour },
		"to and fro": func(i int) time.Duration {
			if i%2 == 0 {
				return time.Hour
			}
			return -time.Hour
		},
		"once": func(i int) time.Duration {
			if i == 100 {
				return -time.Hour
			}
			return 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, retold := live(t, step)
			if diff := cmp.Diff(want.done, got.done); diff != "" {
				t.Errorf("what it did, -without and +with steps:\n%s", diff)
			}
			// Each transition is stamped by the clock of its moment, but their order is that of the events.
			if diff := cmp.Diff(story, retold, cmpopts.IgnoreFields(api.Transition{}, "Time")); diff != "" {
				t.Errorf("history, -without and +with steps:\n%s", diff)
			}
		})
	}
}
