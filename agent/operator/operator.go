// SPDX-License-Identifier: Apache-2.0

// Package operator answers questions about the node and carries out the operator's
// commands. It reads what the loop published ([view]) and what the kernel counts; what
// a command changes is changed by the loop ([Loop.Do]).
package operator

import (
	"context"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"vipd/agent/checks"
	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/events"
	"vipd/agent/netio"
	"vipd/agent/programs"
	"vipd/agent/record"
	"vipd/agent/state"
	"vipd/agent/state/keep"
	"vipd/agent/state/proven"
	"vipd/agent/view"
	"vipd/loader"
)

// Loop is the goroutine that owns the machines.
type Loop interface {
	// View returns the node as it was published last.
	View() *view.Node
	// Do has the loop run fn and returns when it has. The error is that of ctx, or
	// [view.ErrStopping] if the loop has ended.
	Do(ctx context.Context, fn func(Commands)) error
	// Await returns when holds does, which the loop checks after everything it does, or
	// with the same errors.
	Await(ctx context.Context, holds func(Commands) bool) error
	// Ended is closed when the loop has ended.
	Ended() <-chan struct{}
	// LastRound is when the loop's last round began.
	LastRound() election.Instant
	// Ending reports whether a graceful stop has begun.
	Ending() bool
	// Lag returns how often the loop was recently run too late, and the worst of it.
	Lag(now election.Instant) (count int, worst time.Duration, at election.Instant)
}

// Commands are what a command may do in the loop.
type Commands interface {
	// Stopping reports whether a graceful stop has begun.
	Stopping() bool
	// SetDisabled releases all groups, or starts them again.
	SetDisabled(off bool) (changed bool)
	// Released reports whether every group is in INIT, or the node enabled again.
	Released() bool
	// SetMaintenance enters or leaves maintenance mode.
	SetMaintenance(on bool, since time.Time) (changed bool)
	// Stay ends the handovers of maintenance mode that still wait for a peer.
	Stay()
	// HandOver begins the handover of a group; false if there is no such group.
	HandOver(group string, how election.HandOver) (h view.Handover, found bool)
	// HandOverAll begins that of every group that is MASTER.
	HandOverAll(how election.HandOver) []view.Handover
	// AddDemotion adds or replaces a demotion of the operator, up to end if that is not 0.
	AddDemotion(d api.Demotion, end election.Instant) (api.DemotionChange, error)
	// RemoveDemotions removes those that match.
	RemoveDemotions(matches func(api.Demotion) bool) api.DemotionChange
	// ForgetPeer has the kernel forget that a source is a vipd node, in the groups of these names.
	ForgetPeer(addr netip.Addr, groups []string) error
	// SwitchTo applies the difference between the running config and another one.
	SwitchTo(next *config.Config, warnings []config.Problem, force bool) (api.Reload, error)
}

// Plane reads the counters of the data plane.
type Plane interface {
	InterfaceStats(ifindex int) (map[string]uint64, error)
	// Readings reads all groups at once. The function returns nil for a group that is not
	// among them.
	Readings(now int64) (func(view.Plane) *loader.Reading, error)
	// Room is how many groups and addresses the tables hold.
	Room() config.Size
}

// Host reads the interfaces, addresses and routes of this host.
type Host interface {
	Link(name string) (netio.Link, error)
	LinkAt(ifindex int) (netio.Link, error)
	AllLinks() ([]netio.Link, error)
	AllAddresses() ([]netio.Address, error)
	Routes(keep func(netio.Route) bool) ([]netio.Route, error)
}

// Intent is where the operator's intent is stored before it is acted on.
type Intent struct {
	Maintenance, Disable state.Switch
	// Kept has what the next process restores.
	Kept *keep.Store
	// Peers have proven themselves to be vipd nodes.
	Peers *proven.Store
}

// Source is where the config comes from.
type Source struct {
	// Load reads the config file again. Nil if there is none: then there is no reload.
	Load func() (*config.Config, []config.Problem, error)
	// Parse reads the text of a config that is not in force.
	Parse func(file *api.ConfigFile) (*config.Config, []config.Problem, error)
	// Reloading notifies the supervisor that a reload begins; the function it returns, that
	// it has ended.
	Reloading func() (ended func())
}

// Successor is the vipd that follows a restart.
type Successor struct {
	// Check reports why it would not start with the running config's file.
	Check func(ctx context.Context, running *config.Config) error
	// Leave ends this process without goodbye, after [Successor.Check].
	Leave func()
}

// Options are what an Operator works with.
type Options struct {
	Loop      Loop
	Clock     *clock.Clock
	Plane     Plane
	Host      Host
	Checks    *checks.Runner
	Hooks     interface{ Waiting() map[string]int }
	Programs  *programs.Watch
	Recorder  *record.Recorder
	History   *state.History
	Events    *events.Stream
	Intent    *Intent
	Source    *Source
	Successor Successor
	RealTime  bool // the daemon has real-time priority
	Log       *slog.Logger
}

// Operator implements control.Backend, web.Backend and metrics.Source. Its methods may be
// called by several goroutines at once.
type Operator struct {
	opts  Options
	loop  Loop
	clock *clock.Clock
	log   *slog.Logger
	// intent serialises the changes of the operator's intent, which goes to the disk
	// outside the loop, so that a slow disk delays no election.
	intent sync.Mutex
	rises  rises
	routes lostRoutes
	// doctor holds a token during an examination: two would watch each other.
	doctor chan struct{}
}

// New returns an Operator.
func New(opts Options) *Operator {
	return &Operator{
		opts: opts, loop: opts.Loop, clock: opts.Clock, log: opts.Log, doctor: make(chan struct{}, 1),
		routes: lostRoutes{known: map[*view.Live]*routeMemory{}},
	}
}

func noSuchGroup(name string) error {
	return api.Errorf(api.CodeNoSuchGroup, "there is no group %q; `vipctl status` lists them", name)
}
