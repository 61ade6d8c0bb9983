// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"vipd/agent/config"
	"vipd/agent/control"
	"vipd/agent/control/api"
	"vipd/agent/loop"
	"vipd/agent/netio"
	"vipd/agent/ordinary"
	"vipd/agent/state"
	"vipd/agent/state/durable"
	"vipd/loader"
)

// hookStop is how long a graceful stop waits for hooks: the addresses are on another node by then, and the hooks that
// report it are worth a while. hookLeave is the same for a restart, in which the lease runs.
const (
	hookStop  = 10 * time.Second
	hookLeave = 300 * time.Millisecond
)

// serve runs the loop and everything around it until the loop ends. It returns true when the next vipd is to find the
// data plane as it is.
func (a *Agent) serve(ctx context.Context, plane dataplane) (keep bool, err error) {
	if err := a.loop.Begin(); err != nil {
		return false, err
	}
	cfg := a.opts.Config
	server := control.New(a.operator, control.Options{
		Socket: cfg.Control.Socket, Group: cfg.Control.Group, Gate: ordinary.NewGate(ordinary.ControlShare),
		Dropped: a.metrics.CountDroppedStream, Log: a.log,
	})
	if err := server.Listen(); err != nil {
		return false, err
	}
	a.loop.Publish(server.Warnings())
	a.peers.Start()
	// The helpers outlive ctx: during a graceful stop status still answers.
	around, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	links := netio.NewWatcher(a.log)
	var tasks errgroup.Group
	tasks.Go(func() error { return links.Run(around) })
	exchanged := func() bool {
		select {
		case <-a.loop.Exchanged():
			return true
		case <-around.Done():
			return false
		}
	}
	if plane.Pending() {
		tasks.Go(func() error { a.loop.WatchExchange(around); return nil })
	}
	tasks.Go(func() error {
		if exchanged() { // the start does not wait for it
			a.operator.WarnOfHost(cfg)
		}
		return nil
	})
	// Clients wait in the queue of the socket until they see what they may rely on.
	tasks.Go(func() error { exchanged(); return server.Run(around) })
	page := a.newPage()
	tasks.Go(func() error {
		if !exchanged() {
			return nil
		}
		return page.serve(around)
	})
	tasks.Go(func() error { return a.watchReload(around) })
	tasks.Go(func() error { a.operator.WatchCounters(around); return nil })
	tasks.Go(func() error { a.operator.WatchRoutes(around, a.loop.StateChanges()); return nil })
	tasks.Go(func() error { return a.loop.WatchPrograms(around) })
	tasks.Go(func() error { a.loop.WatchMemberships(around); return nil })
	tasks.Go(func() error { a.recorder.Run(around, plane); return nil })
	tasks.Go(func() error {
		a.programs.Run(around, a.log, func() *config.Config { return a.loop.View().Config })
		return nil
	})
	a.checks.Reconcile(cfg.Checks)
	a.log.Info("vipd started", "version", api.Version, "node", cfg.Node.Name,
		"groups", len(cfg.Groups), "config", cfg.Source)
	var taskErr error
	ended := make(chan struct{})
	go func() {
		taskErr = tasks.Wait()
		close(ended)
	}()
	go a.watchLeave(around, end, ended)
	if a.loop.Run(ctx, links) {
		return true, nil
	}
	end()
	a.peers.Refresh() // TakeDown has the kernel forget them
	a.loop.TakeDown()
	<-ended
	a.hooks.Close(hookStop)
	a.log.Info("vipd stopped")
	return false, taskErr
}

func (a *Agent) watchReload(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.reload:
			if _, err := a.operator.Reload(ctx, false); err != nil {
				a.log.Error("reload refused, the running config stays", "err", err)
			}
		}
	}
}

// CanTakeOver returns why a vipd with these options could not continue in the roles of the running one, but would start
// clean, or nil. It changes nothing.
func CanTakeOver(opts Options) error { return loader.CanAdopt(New(opts).loaderOptions()) }

// Cleanup is `vipd --cleanup`: it removes what a dead daemon left, and refuses
// while one is running.
func Cleanup(opts Options) (err error) {
	cfg := opts.Config
	lock, err := state.LockDir(cfg.Node.RuntimeDir, opts.Log)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	host, err := netio.NewHost()
	if err != nil {
		return err
	}
	defer host.Close()
	a := New(opts)
	if err := clearLeft(host, a.loaderOptions(), opts.Log); err != nil {
		return err
	}
	return durable.IgnoreMissing(os.Remove(filepath.Clean(cfg.Control.Socket)))
}

// clearLeft removes what a daemon that died without cleaning up left on the
// host and in the kernel. Nothing there is no error.
func clearLeft(host *netio.Host, opts loader.Options, log *slog.Logger) error {
	left, err := loader.LeftBehind(opts.Dir)
	if err != nil {
		log.Warn("not everything that a dead vipd left could be read", "err", err)
	}
	loop.TakeOff(host, left, loop.KeepNone, log)
	report, err := loader.Cleanup(opts)
	if err != nil {
		return err
	}
	if !report.Empty() {
		log.Info("removed what a dead vipd left", "found", fmt.Sprintf("%+v", report))
	}
	return nil
}
