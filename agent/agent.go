// SPDX-License-Identifier: Apache-2.0

// Package agent is vipd's daemon: it wires the loop that owns the elections to the data plane, the host and the
// operator.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"vipd/agent/checks"
	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/events"
	"vipd/agent/hooks"
	"vipd/agent/loop"
	"vipd/agent/metrics"
	"vipd/agent/netio"
	"vipd/agent/operator"
	"vipd/agent/ordinary"
	"vipd/agent/programs"
	"vipd/agent/record"
	"vipd/agent/sdnotify"
	"vipd/agent/state"
	"vipd/agent/state/durable"
	"vipd/agent/state/keep"
	"vipd/agent/state/proven"
	"vipd/agent/state/sequence"
	"vipd/agent/web"
	"vipd/loader"
)

// Options are what the daemon is started with.
type Options struct {
	// Config is the checked configuration.
	Config *config.Config
	// Load reads the configuration again for a reload; nil when it came from
	// flags, and then a reload is refused.
	Load func() (*config.Config, []config.Problem, error)
	Log  *slog.Logger
	// Notify reports to systemd; nil without a supervisor.
	Notify *sdnotify.Notifier
	// Next is the program that is started when this one leaves.
	Next Program
	// Programs is how the operator's programs are run.
	Programs programs.Host
	// ForceClsact attaches the egress program as kernels before 6.6 must.
	ForceClsact bool
}

// Agent is a running daemon.
type Agent struct {
	opts     Options
	log      *slog.Logger
	clock    *clock.Clock
	loop     *loop.Loop
	operator *operator.Operator
	metrics  *metrics.Metrics
	checks   *checks.Runner
	hooks    *hooks.Runner
	history  *state.History
	recorder *record.Recorder
	peers    *proven.Store
	programs *programs.Watch
	reload   chan struct{}
	leave    chan struct{}
	checked  atomic.Bool // the config, for the leave that is asked for
}

// New prepares a daemon; nothing on the host is touched before Run.
func New(opts Options) *Agent {
	return &Agent{
		opts:     opts,
		log:      opts.Log,
		clock:    clock.New(),
		history:  state.NewHistory(opts.Log),
		programs: programs.NewWatch(opts.Programs),
		reload:   make(chan struct{}, 1),
		leave:    make(chan struct{}, 1),
	}
}

// Reload asks for a reload, as SIGHUP does. Requests do not pile up.
func (a *Agent) Reload() { poke(a.reload) }

// Leave ends the daemon without goodbye: pins and addresses stay for the next
// one, and expire by their lease if there is none.
func (a *Agent) Leave() { poke(a.leave) }

func poke(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, which is a graceful stop: goodbye on the wire, addresses off, programs detached. The error
// says what kept it from starting or from cleaning up.
func (a *Agent) Run(ctx context.Context) (err error) {
	cfg := a.opts.Config
	if err := os.MkdirAll(cfg.Node.StateDir, 0o750); err != nil {
		return fmt.Errorf("create state_dir: %w", err)
	}
	lock, err := state.LockDir(cfg.Node.RuntimeDir, a.log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := loader.CheckClock(netio.BootNow); errors.Is(err, loader.ErrClock) {
		return err // any other reason is explained below, when the programs are loaded
	}
	a.sweep()
	intent, before, err := a.readIntent()
	if err != nil {
		return err
	}
	defer before.Store.Close(memoryClose)
	numbers := sequence.Open(sequence.Options{
		Note:        filepath.Join(cfg.Node.RuntimeDir, noteName(cfg.Node)),
		Reservation: filepath.Join(cfg.Node.StateDir, "sequence"),
		Now:         a.clock.TimeOfDay(), Boot: netio.BootNow, Log: a.log,
	})
	defer numbers.Close()
	a.history.Open(filepath.Join(cfg.Node.StateDir, "history"))
	keep := false // the data plane, for the next vipd
	defer func() {
		if !keep { // else what waited was written before the loop ended
			a.history.Close(stopPatience)
		}
	}()
	host, err := netio.NewHost()
	if err != nil {
		return err
	}
	defer host.Close()
	sender, err := netio.NewSender()
	if err != nil {
		return err
	}
	defer func() {
		if !keep { // the end of the process does it as well
			err = errors.Join(err, sender.Close())
		}
	}()
	plane, err := a.openPlane(host)
	if err != nil {
		return err
	}
	defer func() {
		if keep {
			err = errors.Join(err, plane.Close())
			return
		}
		err = errors.Join(err, plane.Remove())
	}()
	a.peers = a.openPeers(plane)
	before.Peers, intent.Peers = a.peers, a.peers
	a.wire(parts{intent, before, numbers, host, sender, plane})
	defer func() {
		if keep {
			a.peers.Leave()
			return
		}
		a.peers.Close(stopPatience)
		a.checks.Close()
	}()
	keep, err = a.serve(ctx, plane)
	return err
}

// openPeers reads which vipd nodes were heard before this start.
func (a *Agent) openPeers(plane dataplane) *proven.Store {
	boot, err := keep.BootID()
	if err != nil {
		a.log.Warn("when vipd nodes were heard before this start is not known: this boot cannot be told from others",
			"err", err)
	}
	return proven.Open(proven.Options{
		Path: filepath.Join(a.opts.Config.Node.StateDir, "peers"), Boot: boot, Log: a.log,
		Now:    func() int64 { return int64(a.clock.Now()) },
		Memory: func() time.Duration { return a.loop.View().Config.Carp.PeerMemory },
		Read:   func() ([]proven.Peer, error) { return a.peersOf(plane) },
		Expire: a.expirePeers,
	})
}

// noteName is the file with the sequence numbers in runtime_dir. That in state_dir has another content.
func noteName(n config.Node) string {
	if n.RuntimeDir == n.StateDir {
		return "sequence.boot"
	}
	return "sequence"
}

// sweep removes what a killed vipd was writing.
func (a *Agent) sweep() {
	node := &a.opts.Config.Node
	if err := errors.Join(
		durable.Sweep(node.StateDir, "maintenance", "sequence", "history", "peers"),
		durable.Sweep(node.RuntimeDir, "disabled", memoryFile, state.LockName),
	); err != nil {
		a.log.Warn("cannot remove temporary files left by a killed vipd", "err", err)
	}
}

// parts are what Run has opened, and closes again.
type parts struct {
	intent  *operator.Intent
	before  loop.Before
	numbers *sequence.Numbers
	host    *netio.Host
	sender  *netio.Sender
	plane   dataplane
}

// wire makes the loop, the operator, and what both work with.
func (a *Agent) wire(p parts) {
	a.metrics = metrics.New(snapshots{a}, metrics.Options{
		Version:        api.Version,
		GoVersion:      runtime.Version(),
		RefusedReasons: web.RefusedReasons(),
		Actions:        web.Actions(),
		Log:            a.log,
	})
	commands := a.opts.Programs.Runner
	a.checks = checks.New(checks.Options{
		Log: a.log, Now: a.clock.TimeOfDay, Verdicts: loop.Verdicts(p.before.Memory), Commands: commands,
	})
	a.hooks = hooks.New(hooks.Options{
		Report: func(r hooks.Result) { a.loop.HookEnded(r) }, Log: a.log, Commands: commands,
	})
	a.recorder = record.New(a.recordOptions())
	followers := &events.Stream{}
	a.loop = loop.New(loop.Options{
		Config: a.opts.Config, Log: a.log, Clock: a.clock, Host: p.host, Plane: p.plane,
		Outlets: loop.Outlets{
			On:      func(ifindex int) (loop.Sender, error) { return p.sender.On(ifindex), nil },
			SendAll: p.sender.SendAll, Solicited: netio.NewSolicited(a.log),
		},
		Sequence: p.numbers, Checks: a.checks, History: a.history, Recorder: a.recorder, Events: followers,
		Hooks: a.hooks, Metrics: a.metrics, Notify: a.opts.Notify, Before: p.before,
	})
	a.operator = a.newOperator(p, followers)
}

// openPlane loads the data plane. What an earlier vipd left pinned goes on where it can (agent/loop/adopt.go).
func (a *Agent) openPlane(host *netio.Host) (dataplane, error) {
	opts := a.loaderOptions()
	opts.Adopt, opts.Defer = true, true
	opts.Evacuate = func(left []loader.LeftVIP) { loop.TakeOff(host, left, loop.KeepNone, a.log) }
	p, err := loader.Open(opts)
	return dataplane{p}, err
}

func (a *Agent) loaderOptions() loader.Options {
	need := a.opts.Config.Size()
	return loader.Options{
		Dir: a.opts.Config.Node.BPFDir, Log: a.log, ForceClsact: a.opts.ForceClsact,
		Groups: need.Groups, VIPs: need.Addresses, Aside: aside,
	}
}

const (
	// memoryFile is in runtime_dir.
	memoryFile = "memory.json"
	// memoryClose bounds what a hung disk adds to the end of the process.
	memoryClose = 50 * time.Millisecond
)

// readIntent restores the operator's intent, and what else held the node back, from the disk.
func (a *Agent) readIntent() (*operator.Intent, loop.Before, error) {
	node := &a.opts.Config.Node
	in := &operator.Intent{
		Maintenance: state.NewSwitch(filepath.Join(node.StateDir, "maintenance")),
		Disable:     state.NewSwitch(filepath.Join(node.RuntimeDir, "disabled")),
	}
	var b loop.Before
	var since time.Time
	var err error
	if b.Maintenance, b.MaintenanceSince, err = in.Maintenance.On(); err != nil {
		return nil, b, fmt.Errorf("maintenance mode unknown, not starting: %w", err)
	}
	if b.Maintenance {
		a.log.Info("maintenance mode is on", "since", b.MaintenanceSince)
	}
	if b.Disabled, since, err = in.Disable.On(); err != nil {
		return nil, b, fmt.Errorf("disable switch unknown, not starting: %w", err)
	}
	if b.Disabled {
		a.log.Info("disabled by the operator", "since", since)
	}
	boot, err := keep.BootID()
	if err != nil {
		a.log.Warn("a restart of vipd will forget demotions, verdicts and holds: this boot cannot be told from others",
			"err", err)
		return in, b, nil
	}
	b.Store, b.Memory = keep.Open(filepath.Join(node.RuntimeDir, memoryFile), boot, a.log)
	in.Kept = b.Store
	return in, b, nil
}

// snapshots implements metrics.Source. The metrics exist before the operator does.
type snapshots struct{ a *Agent }

func (s snapshots) Snapshot() metrics.Snapshot { return s.a.operator.Snapshot() }

// operatorLoop implements operator.Loop. Neither package knows the other.
type operatorLoop struct{ *loop.Loop }

func (l operatorLoop) Do(ctx context.Context, fn func(operator.Commands)) error {
	return l.Loop.Do(ctx, func(c loop.Commands) { fn(c) })
}

func (l operatorLoop) Await(ctx context.Context, holds func(operator.Commands) bool) error {
	return l.Loop.Await(ctx, func(c loop.Commands) bool { return holds(c) })
}

func (a *Agent) newOperator(p parts, followers *events.Stream) *operator.Operator {
	return operator.New(operator.Options{
		Loop: operatorLoop{a.loop}, Clock: a.clock, Plane: p.plane, Host: p.host, Checks: a.checks, Hooks: a.hooks,
		Programs: a.programs, Recorder: a.recorder, History: a.history, Events: followers,
		Intent: p.intent, Log: a.log, RealTime: ordinary.RealTime(),
		Source: &operator.Source{
			Load: a.opts.Load,
			Parse: func(f *api.ConfigFile) (*config.Config, []config.Problem, error) {
				return config.Parse(f.Name, f.Text, config.Options{
					Mode: fs.FileMode(f.Mode).Perm(), Examine: a.opts.Programs.Examine,
				})
			},
			Reloading: func() (ended func()) {
				a.tellSystemd(sdnotify.Reloading())
				return func() { a.tellSystemd(sdnotify.Ready) }
			},
		},
		Successor: operator.Successor{
			Check: a.opts.checkNext,
			Leave: func() {
				a.checked.Store(true)
				a.Leave()
			},
		},
	})
}

func (a *Agent) tellSystemd(state string) {
	if err := a.opts.Notify.Send(state); err != nil {
		a.log.Debug("systemd not told", "state", state, "err", err)
	}
}

func (a *Agent) recordOptions() record.Options {
	cfg := a.opts.Config
	o := record.Options{
		Log: a.log, Node: cfg.Node.Name, Version: api.Version,
		Memory: cfg.Record.Memory << 20, Incidents: cfg.Record.Incidents,
		Boot: func() int64 { return int64(a.clock.Now()) }, Wall: a.clock.TimeOfDay,
	}
	if cfg.Record.Save {
		o.Dir = filepath.Join(cfg.Node.StateDir, "incidents")
	}
	return o
}

// aside runs a task of the loader at ordinary priority.
func aside(work func() error) error {
	return ordinary.Aside(context.Background(), func(context.Context) error { return work() })
}
