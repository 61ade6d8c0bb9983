// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"slices"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// published is what readers see of the node.
type published struct {
	beat     atomic.Int64 // CLOCK_BOOTTIME at the loop's last round
	node     atomic.Pointer[view.Node]
	ending   atomic.Bool // a graceful stop has begun
	warnings []string    // about what works, but perhaps not as intended
}

// View returns the node as it was published last.
func (l *Loop) View() *view.Node { return l.node.Load() }

// LastRound returns when the last round began.
func (l *Loop) LastRound() election.Instant { return election.Instant(l.beat.Load()) }

// Ending reports whether a graceful stop has begun.
func (l *Loop) Ending() bool { return l.ending.Load() }

// Lag returns how often the loop was recently run too late, and the worst of it.
func (l *Loop) Lag(now election.Instant) (count int, worst time.Duration, at election.Instant) {
	count, lag := l.lags.lately(now)
	return count, lag.by, lag.at
}

// StateChanges holds a token when a group has changed its state.
func (l *Loop) StateChanges() <-chan struct{} { return l.stale.routes }

// publish makes the node's present state visible to readers.
func (l *Loop) publish() {
	v := &view.Node{
		Config: l.cfg, Enabled: !l.disabled, Demotions: l.ledger.view(), Awaited: l.awaited.names,
		Groups: make([]*view.Live, 0, len(l.groups.order)), Warnings: l.warnings,
	}
	_, v.Maintenance = l.ledger.find(demotionMaintenance)
	for name, p := range l.interfaces {
		shown := view.Interface{Name: name, Lost: p.lostCounts(), Fallbacks: p.fallbackCounts()}
		if p.serves != nil {
			p = p.serves
		}
		if p.opened {
			shown.Mode, shown.Parent, shown.Index = string(p.att.Mode), p.att.Parent, p.link.Index
		}
		v.Interfaces = append(v.Interfaces, shown)
	}
	for _, g := range l.groups.order {
		g.publish()
		v.Groups = append(v.Groups, g.shown.Live())
	}
	l.stale.statusLine = true
	l.tellChanges(l.node.Swap(v), v)
	l.metrics.Outdate()
}

// tellChanges tells clients what changed from one view of the node to the next.
func (l *Loop) tellChanges(before, after *view.Node) {
	if before == nil {
		return
	}
	now := l.clock.Today()
	if before.Enabled != after.Enabled || before.Maintenance != after.Maintenance {
		l.stream.Tell(api.Event{
			Time:     now,
			Event:    api.EventSwitch,
			Switches: &api.Switches{Enabled: after.Enabled, Maintenance: after.Maintenance},
		})
	}
	list := after.Demotions.List()
	if slices.Equal(before.Demotions.List(), list) {
		return
	}
	if list == nil {
		list = []api.Demotion{}
	}
	l.stream.Tell(api.Event{
		Time:      now,
		Event:     api.EventDemotion,
		Demotions: &api.Demotions{Demotion: after.Demotions.Total(), Demotions: list},
	})
}
