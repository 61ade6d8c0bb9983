// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// silentLoop has a view and runs nothing.
type silentLoop struct {
	node      *view.Node
	lastRound election.Instant
	ending    bool
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

func (l *silentLoop) Ending() bool { return l.ending }

func (*silentLoop) Lag(election.Instant) (int, time.Duration, election.Instant) { return 0, 0, 0 }

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
		p.Publish(&view.Group{Config: &config.Group{AdvBase: base}})
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
