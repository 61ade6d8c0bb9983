// SPDX-License-Identifier: Apache-2.0

// Package loop is the one goroutine that owns the election machines, the groups and interfaces around them, and all
// that they have on the host and in the data plane.
//
// Events go in (the kernel's ring, netlink, timers, commands), each machine decides, and its actions are carried out
// in order (step.go). Others see the node by [Loop.View] and change it by [Loop.Do].
package loop

import (
	"log/slog"
	"math"
	"net/netip"
	"time"

	"vipd/agent/checks"
	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/events"
	"vipd/agent/hooks"
	"vipd/agent/hostcheck"
	"vipd/agent/metrics"
	"vipd/agent/netio"
	"vipd/agent/record"
	"vipd/agent/sdnotify"
	"vipd/agent/state"
	"vipd/agent/state/keep"
	"vipd/agent/state/proven"
	"vipd/agent/state/sequence"
	"vipd/loader"
)

// Options are what a Loop works with.
type Options struct {
	Config   *config.Config
	Log      *slog.Logger
	Clock    *clock.Clock
	Host     Host
	Plane    Plane
	Outlets  Outlets
	Sequence *sequence.Numbers // of adverts
	Checks   *checks.Runner
	History  *state.History
	Recorder *record.Recorder
	Events   *events.Stream
	Hooks    *hooks.Runner
	Metrics  *metrics.Metrics
	Notify   *sdnotify.Notifier // nil without a supervisor
	Before   Before
}

// Outlets is how frames leave: one by one on an interface, or many on any interfaces at once (netio.Sender).
type Outlets struct {
	On      func(ifindex int) (Sender, error)
	SendAll func([]netio.Frame)
	// Solicited has the host receive solicitations for VIPs that are not addresses.
	Solicited Solicited
}

// Before is what the operator and earlier processes left to hold the node back.
type Before struct {
	Disabled         bool
	Maintenance      bool
	MaintenanceSince time.Time
	Memory           keep.Memory
	Store            *keep.Store   // for the next process; nil if there is none
	Peers            *proven.Store // that have proven themselves; nil: none are kept
}

// New makes a Loop without groups.
func New(o Options) *Loop {
	l := &Loop{
		env: &env{
			log:   o.Log,
			cfg:   o.Config,
			clock: o.Clock,
			system: system{
				host: o.Host, plane: o.Plane, openSender: o.Outlets.On, sendAll: o.Outlets.SendAll, sequence: o.Sequence,
				peers: o.Before.Peers, solicited: o.Outlets.Solicited,
				links: netio.NewLinks(nil), addresses: hostcheck.NewTable(nil), inheriting: o.Plane.Pending(),
			},
			journal: journal{
				history: o.History, recorder: o.Recorder, stream: o.Events, hooks: o.Hooks, metrics: o.Metrics,
			},
			groups:   newGroupSet(),
			hops:     hops{},
			run:      runOf(o.Clock.Now()),
			disabled: o.Before.Disabled,
			stale:    stale{routes: make(chan struct{}, 1)},
		},
		inbox:       newInbox(),
		adoption:    adoption{pinned: map[place]loader.PinnedGroup{}, local: map[home][]netip.Prefix{}},
		exchange:    exchange{over: make(chan struct{})},
		upkeep:      newUpkeep(),
		supervision: supervision{notify: o.Notify},
	}
	l.handicap = handicap{env: l.env, checks: o.Checks, memory: memory{store: o.Before.Store}, publish: l.publish}
	l.interfaceSet = interfaceSet{
		env: l.env, handicap: &l.handicap, interfaces: map[string]*iface{}, publish: l.publish,
	}
	l.supervision.env = l.env
	if !l.inheriting {
		close(l.exchange.over)
	}
	if o.Before.Maintenance {
		since := l.orNow(o.Before.MaintenanceSince)
		l.ledger.set(demotionMaintenance, maintenanceValue, maintenanceReason, since)
	}
	l.restore(o.Before.Memory)
	return l
}

// runOf returns the [wire.Hello.Run] of a process that starts then: another one than that of the process before, unless
// that started 255 s earlier, or a multiple of that.
func runOf(start election.Instant) uint8 {
	return uint8(1 + start/election.Instant(time.Second)%math.MaxUint8)
}

// Begin makes the groups of the config, in INIT or as an earlier vipd left them.
func (l *Loop) Begin() (err error) {
	if l.alarm, err = netio.NewAlarm(); err != nil {
		return err
	}
	l.readPinned()
	l.readLinks()
	l.readAddresses()
	for i := range l.cfg.Groups {
		if err := l.addGroup(&l.cfg.Groups[i]); err != nil {
			return err
		}
	}
	l.groups.arrange(l.cfg.Groups)
	l.limitRounds()
	return nil
}

// Publish makes the node visible, between Begin and Run. The warnings are shown with it.
func (l *Loop) Publish(warnings []string) {
	l.warnings = warnings
	l.beat.Store(int64(l.clock.Now()))
	l.publish()
}
