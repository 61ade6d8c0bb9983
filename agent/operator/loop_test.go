// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"testing"
	"time"

	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// silentLoop has a view and runs nothing.
type silentLoop struct {
	node      *view.Node
	lastRound election.Instant
}

func (l *silentLoop) View() *view.Node { return l.node }

func (*silentLoop) Do(ctx context.Context, _ func(Commands)) error {
	<-ctx.Done()
	return ctx.Err()
}

func (*silentLoop) Await(ctx context.Context, _ func(Commands) bool) error {
	<-ctx.Done()
	return ctx.Err()
}

func (*silentLoop) Ended() <-chan struct{} { return nil }

func (l *silentLoop) LastRound() election.Instant { return l.lastRound }

func (*silentLoop) Lag(election.Instant) (int, time.Duration, election.Instant) { return 0, 0, 0 }

// A loop that is known to hang is reported at once.
func TestAliveDoesNotWaitForALoopThatHangs(t *testing.T) {
	t.Parallel()
	now := int64(time.Hour)
	l := &silentLoop{lastRound: election.Instant(now)}
	o := New(Options{Loop: l, Clock: clock.Of(func() int64 { return now }, time.Now)})
	now += int64(loopDead) + 1
	if err := o.Alive(t.Context()); err == nil {
		t.Error("a loop whose last round began two seconds ago is alive")
	}
	l.lastRound = election.Instant(now) // as far as is known it runs: it is asked, and does not answer here
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := o.Alive(ctx); err == nil {
		t.Error("alive, without an answer of the loop")
	}
}

// A handover may take its protocol's time, whatever advbase is: three intervals at least.
func TestHandoverLimitFollowsTheInterval(t *testing.T) {
	t.Parallel()
	for base := range 255 {
		if limit, needs := api.HandoverLimit(base), 3*time.Duration(base+1)*time.Second; limit < needs+10*time.Second {
			t.Errorf("advbase %d: %v for what takes %v", base, limit, needs)
		}
	}
	node := &view.Node{}
	for name, base := range map[string]uint8{"eth0@1": 1, "eth1@2": 60} {
		p := view.NewPublisher(name)
		p.Publish(&view.Group{Config: config.Group{AdvBase: base}})
		node.Groups = append(node.Groups, p.Live())
	}
	o := New(Options{Loop: &silentLoop{node: node}})
	for _, tc := range []struct {
		names []string
		want  time.Duration
	}{
		{nil, api.HandoverLimit(60)},
		{[]string{"eth0@1"}, api.HandoverLimit(1)},
		{[]string{"eth1@2"}, api.HandoverLimit(60)},
		{[]string{"eth9@9"}, api.HandoverLimit(0)},
	} {
		ctx, cancel := o.limit(t.Context(), tc.names...)
		if by, ok := ctx.Deadline(); !ok || time.Until(by) > tc.want || time.Until(by) < tc.want-10*time.Second {
			t.Errorf("%v: %v, want %v", tc.names, time.Until(by), tc.want)
		}
		cancel()
	}
}
