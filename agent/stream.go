// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// streamBacklog is how many events a client may be behind before it is dropped: a node
// of many groups that loses a link tells of all of them at once.
const streamBacklog = 2 * 4096

// stream hands events to those who listen. Telling never blocks; a listener whose
// backlog is full is dropped, and told so at the end of what it still gets.
type stream struct {
	mu        sync.Mutex
	listeners []*listener
}

type listener struct{ events chan api.Event }

// listen returns the events from now on. The channel is closed when the listener was
// too slow, and when forget is called.
func (s *stream) listen() (events <-chan api.Event, forget func()) {
	l := &listener{events: make(chan api.Event, streamBacklog+1)}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.listeners = append(s.listeners, l)
	return l.events, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drop(func(other *listener) bool { return other == l })
	}
}

func (s *stream) drop(which func(*listener) bool) {
	s.listeners = slices.DeleteFunc(s.listeners, func(l *listener) bool {
		if !which(l) {
			return false
		}
		close(l.events)
		return true
	})
}

func (s *stream) tell(ev api.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(func(l *listener) bool {
		if len(l.events) < streamBacklog {
			l.events <- ev
			return false
		}
		l.events <- api.Event{Time: ev.Time, Event: api.EventDropped} // its place is kept
		return true
	})
}

// remember notes a transition in the history and tells it to whoever listens.
func (a *Agent) remember(g *group, t election.Transition) {
	wall := a.timeOfDay()
	out := api.Transition{
		Time: a.wall.at(t.At, a.now(), wall), Group: g.name, From: t.From.String(), To: t.To.String(),
		Reason: t.Reason.String(), LagSeconds: t.Lag.Seconds(), Generation: g.machine.View().Generation,
	}
	var causeAt int64
	if c := t.Cause; c != nil {
		causeAt = int64(c.At)
		out.Cause = &api.Cause{
			Address: c.Src.String(), AdvBase: int(c.AdvBase), AdvSkew: int(c.AdvSkew), Demote: int(c.Demote),
		}
	}
	if t.To == election.Init {
		out.Detail = g.detail
	}
	if g.cfg.Hook != "" {
		out.Hook = &api.HookRun{Path: g.cfg.Hook, Outcome: api.HookWaiting, ExitCode: -1}
	}
	id := a.history.add(out)
	a.recorder.Transition(int64(t.At), causeAt, out)
	a.stream.tell(api.Event{Time: out.Time, Event: api.EventTransition, Transition: &out})
	if g.cfg.Hook != "" {
		a.submitHook(g, id, out.From, out.To, out.Reason)
	}
}

// tellNode tells what changed from one view of the node to the next.
func (a *Agent) tellNode(was, is *nodeView) {
	if was == nil {
		return
	}
	now := a.timeOfDay().UTC().Truncate(time.Microsecond)
	if was.enabled != is.enabled || was.maintenance != is.maintenance {
		a.stream.tell(api.Event{Time: now, Event: api.EventSwitch, Switches: &api.Switches{Enabled: is.enabled, Maintenance: is.maintenance}})
	}
	if !slices.Equal(was.ledger.entries, is.ledger.entries) {
		list := is.ledger.list()
		if list == nil {
			list = []api.Demotion{}
		}
		a.stream.tell(api.Event{Time: now, Event: api.EventDemotion, Demotions: &api.Demotions{Demotion: is.ledger.total(), Demotions: list}})
	}
}

// History implements control.Backend. A group that is gone from the config has its
// history still.
func (b backend) History(_ context.Context, group string, n int) (api.History, error) {
	out := b.a.history.last(group, n)
	if group != "" && len(out.Transitions) == 0 {
		if _, err := b.Group(context.Background(), group); err != nil {
			return api.History{}, err
		}
	}
	return out, nil
}

// Events implements control.Backend.
func (b backend) Events(context.Context) (first api.Event, events <-chan api.Event, forget func()) {
	events, forget = b.a.stream.listen()
	return api.Event{
		Time: b.a.timeOfDay().UTC().Truncate(time.Microsecond), Event: api.EventBegin,
		Node: b.a.node.Load().cfg.Node.Name, Version: api.Version,
	}, events, forget
}
