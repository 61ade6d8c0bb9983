// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"log/slog"
	"time"

	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/events"
	"vipd/agent/hooks"
	"vipd/agent/metrics"
	"vipd/agent/record"
	"vipd/agent/state"
	"vipd/agent/view"
	"vipd/loader"
)

// env is what groups and interfaces need of the node around them.
type env struct {
	log   *slog.Logger
	cfg   *config.Config
	clock *clock.Clock
	system
	journal
	groups   groupSet
	outbox   outbox
	hops     hops
	ledger   ledger // the node's demotion
	run      uint8  // distinguishes this process from others of the node, in hellos
	disabled bool   // by the operator
	stopping bool   // a graceful stop is under way
	stale    stale
}

// stale notes what a step has changed for others than its group. The loop looks after it at the end of the round.
type stale struct {
	memory     bool             // what the next process is to know
	ledger     bool             // the machines do not know its sum yet
	statusLine bool             // what systemd shows
	reach      bool             // what can be reached may have changed
	idle       bool             // a group may enter the election, or leave the node
	lookAt     election.Instant // when all groups are looked at without another reason
	routes     chan struct{}    // holds a token when a group has changed its state
}

// orNow replaces an unknown time by the present one.
func (e *env) orNow(t time.Time) time.Time {
	if t.IsZero() {
		return e.clock.TimeOfDay()
	}
	return t
}

// journal is where the node reports what happens.
type journal struct {
	history  *state.History
	recorder *record.Recorder
	stream   *events.Stream
	hooks    *hooks.Runner
	metrics  *metrics.Metrics
}

func (e *env) electionConfig(g *config.Group) election.Config { return view.ElectionConfig(e.cfg, g) }

func (e *env) xdpMode() loader.Mode { return loader.Mode(e.cfg.XDP.Mode) }

// leaving reports whether the group is in INIT, or on its way there, on purpose.
func (e *env) leaving(g *group) bool { return e.disabled || g.lifecycle.removed || e.stopping }
