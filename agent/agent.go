// SPDX-License-Identifier: Apache-2.0

// Package agent is vipd's daemon: it wires the election to the data plane, the
// host and the operator.
//
// One goroutine, the loop, owns every election machine and everything they act
// on. The rest (control socket, metrics, signals, netlink) talks to it through
// channels and reads published, immutable views.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"vipd/agent/checks"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hooks"
	"vipd/agent/metrics"
	"vipd/agent/netio"
	"vipd/agent/record"
	"vipd/agent/sdnotify"
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
	// Notify tells systemd; nil when nobody supervises.
	Notify *sdnotify.Notifier
	// ForceClsact attaches the egress program as kernels before 6.6 must.
	ForceClsact bool
}

// Agent is a running daemon.
type Agent struct {
	opts Options
	log  *slog.Logger
	ctx  context.Context // of Run, for logging and for commands

	cfg             *config.Config
	host            hostNet
	plane           dataplane
	openSender      func(ifindex int) (frameSender, error)
	clock           func() int64     // CLOCK_BOOTTIME; the only one that anything is decided by
	timeOfDay       func() time.Time // for people and for files alone: it may be set at any moment
	metrics         *metrics.Metrics
	checks          *checks.Runner
	hooks           *hooks.Runner
	supervision     supervision
	firstGeneration uint64

	ports  map[string]*port
	groups map[string]*group
	order  []*group // as in the config

	byPlace map[place]*group
	pinned  map[place]loader.PinnedGroup // adopted and not yet claimed
	events  []loader.Event               // reused by catchUp
	waiters []waiter

	ledger      ledger
	ledgerStale bool // changed from within a step; the machines do not know yet
	sequence    *sequence
	maintenance switchFile
	disable     switchFile
	disabled    bool
	stopping    bool
	warnings    []string // about what works, but not as somebody may have meant

	intent   intent
	commands chan command
	reload   chan struct{}
	leave    chan struct{}
	done     chan struct{} // closed when the loop has ended

	beat     atomic.Int64 // CLOCK_BOOTTIME at the loop's last round
	history  *history
	recorder *record.Recorder
	stream   stream
	late     lateness
	upkeep   upkeep
	risen    risen
	doctor   chan struct{} // holds a token while nobody is being examined

	wall wallClock
	node atomic.Pointer[nodeView]
}

// nodeView is what readers outside the loop may see of the node.
type nodeView struct {
	cfg         *config.Config
	enabled     bool
	maintenance bool
	ledger      ledger
	groups      []*group
	ports       []portView
	warnings    []string
}

type portView struct {
	name    string
	mode    string
	parent  string // whose program serves it
	lost    map[string]uint64
	ifindex int
}

// New prepares a daemon; nothing on the host is touched before Run.
func New(opts Options) *Agent {
	a := &Agent{
		opts:       opts,
		log:        opts.Log,
		cfg:        opts.Config,
		openSender: openSender,
		clock:      netio.BootNow,
		timeOfDay:  timeOfDay,
		ports:      map[string]*port{},
		groups:     map[string]*group{},
		byPlace:    map[place]*group{},
		pinned:     map[place]loader.PinnedGroup{},
		commands:   make(chan command),
		reload:     make(chan struct{}, 1),
		leave:      make(chan struct{}, 1),
		done:       make(chan struct{}),
		history:    newHistory(opts.Log),
		doctor:     make(chan struct{}, 1),
		upkeep:     newUpkeep(),
	}
	a.recorder = record.New(a.recordOptions())
	return a
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

// Run works until ctx ends, which is a graceful stop: goodbye on the wire,
// addresses off, programs detached. The error says what kept it from starting
// or from cleaning up.
func (a *Agent) Run(ctx context.Context) (err error) {
	a.ctx = ctx
	a.supervision.notify = a.opts.Notify
	if err := os.MkdirAll(a.cfg.Node.StateDir, 0o750); err != nil {
		return fmt.Errorf("create state_dir: %w", err)
	}
	lock, err := lockDir(a.cfg.Node.RuntimeDir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()

	if err := errors.Join(sweepTorn(a.cfg.Node.StateDir, "maintenance", "sequence", "history"), sweepTorn(a.cfg.Node.RuntimeDir, "disabled")); err != nil {
		a.log.Warn("what a killed vipd was writing is not removed", "err", err)
	}
	if err := a.readSwitches(); err != nil {
		return err
	}
	a.sequence = openSequence(filepath.Join(a.cfg.Node.StateDir, "sequence"), a.timeOfDay(), a.log)
	defer func() {
		if cerr := a.sequence.close(); cerr != nil {
			a.log.Warn("sequence numbers of sealed adverts not given back", "err", cerr)
		}
	}()
	a.history.open(filepath.Join(a.cfg.Node.StateDir, "history"))
	defer a.history.close()
	host, err := netio.NewHost()
	if err != nil {
		return err
	}
	defer host.Close()
	// What an earlier vipd left pinned goes on where it can (agent/adopt.go).
	opts := a.loaderOptions()
	opts.Adopt, opts.Evacuate = true, func(left []loader.LeftVIP) { takeOff(host, left, nobodys, a.log) }
	plane, err := loader.Open(opts)
	if err != nil {
		return err
	}
	a.host, a.plane = host, kernelPlane{plane}
	keep := false
	defer func() {
		if keep {
			err = errors.Join(err, a.plane.Close())
			return
		}
		err = errors.Join(err, a.plane.Remove())
	}()
	a.metrics = metrics.New(snapshotSource{a}, metrics.Options{
		Version: api.Version, GoVersion: runtime.Version(), RefusedReasons: web.RefusedReasons(), Actions: web.Actions(), Log: a.log,
	})
	a.checks = checks.New(checks.Options{Log: a.log, Now: a.timeOfDay})
	defer a.checks.Close()
	a.hooks = a.newHooks()
	keep, err = a.serve(ctx)
	return err
}

func (a *Agent) loaderOptions() loader.Options {
	return loader.Options{Dir: a.cfg.Node.BPFDir, Log: a.log, ForceClsact: a.opts.ForceClsact}
}

// readSwitches restores the operator's intent from the disk.
func (a *Agent) readSwitches() error {
	a.maintenance = switchFile{filepath.Join(a.cfg.Node.StateDir, "maintenance")}
	a.disable = switchFile{filepath.Join(a.cfg.Node.RuntimeDir, "disabled")}
	on, since, err := a.maintenance.on()
	if err != nil {
		return fmt.Errorf("maintenance mode unknown, not starting: %w", err)
	}
	if on {
		a.ledger.set(demotionMaintenance, maintenanceValue, maintenanceReason, a.orNow(since))
		a.log.Info("maintenance mode is on", "since", since)
	}
	if a.disabled, since, err = a.disable.on(); err != nil {
		return fmt.Errorf("disable switch unknown, not starting: %w", err)
	}
	if a.disabled {
		a.log.Info("disabled by the operator", "since", since)
	}
	return nil
}

// now is the one clock of elections, leases and receive times.
func (a *Agent) now() election.Instant { return election.Instant(a.clock()) }

func (a *Agent) electionConfig(g config.Group) election.Config { return electionConfig(a.cfg, g) }

func electionConfig(cfg *config.Config, g config.Group) election.Config {
	c := election.Config{
		NodeName: cfg.Node.Name, AdvBase: g.AdvBase, AdvSkew: g.AdvSkew,
		Preempt: cfg.Carp.Preempt, DeadRatio: cfg.Carp.DeadRatio, SendDemote: cfg.Carp.SendDemote,
		PreemptDelay: cfg.Carp.PreemptDelay,
		DualStack:    hasFamily(g, families[0]) && hasFamily(g, families[1]),
	}
	if cfg.Carp.MasterDown == config.MasterDownOpenBSD {
		c.MasterDown = election.DownOpenBSD
	}
	return c
}

func (a *Agent) xdpMode() loader.Mode { return loader.Mode(a.cfg.XDP.Mode) }
