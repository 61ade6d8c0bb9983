// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"vipd/agent/control"
	"vipd/agent/control/api"
	"vipd/agent/netio"
)

// serve runs the loop and everything around it until the loop ends. It returns
// true when the next vipd is to find the data plane as it is.
func (a *Agent) serve(ctx context.Context) (keep bool, err error) {
	a.readPinned()
	for _, cfg := range a.cfg.Groups {
		if err := a.addGroup(cfg); err != nil {
			return false, err
		}
	}
	a.arrange()
	server := control.New(backend{a}, control.Options{
		Socket: a.cfg.Control.Socket, Group: a.cfg.Control.Group, Log: a.log,
	})
	if err := server.Listen(); err != nil {
		return false, err
	}
	a.warnings = server.Warnings()
	a.beat.Store(a.clock())
	a.publish()
	// The helpers outlive ctx: during a graceful stop status still answers.
	around, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	links := netio.NewWatcher(a.log)
	var tasks errgroup.Group
	tasks.Go(func() error { return links.Run(around) })
	tasks.Go(func() error { return server.Run(around) })
	page := a.newPage() // made here: from now on the config is the loop's
	tasks.Go(func() error { return page.serve(around) })
	tasks.Go(func() error { return a.watchReload(around) })
	tasks.Go(func() error { return a.watchRises(around) })
	tasks.Go(func() error { return a.watchPrograms(around) })
	tasks.Go(func() error { a.recorder.Run(around, a.plane); return nil })
	a.checks.Reconcile(a.cfg.Checks)
	a.log.Info("vipd started", "version", api.Version, "node", a.cfg.Node.Name,
		"groups", len(a.order), "config", a.cfg.Source)
	keep = a.loop(ctx, links)
	end()
	err = tasks.Wait()
	if keep {
		a.hooks.Close(hookLeave)
		a.log.Info("leaving without goodbye, the next vipd takes over what is pinned")
		return true, err
	}
	err = errors.Join(err, a.tearDown())
	a.hooks.Close(hookStop)
	a.log.Info("vipd stopped")
	return false, err
}

// tearDown takes what is left of us off the host. The groups are in INIT by
// now, unless the time of a graceful stop ran out.
func (a *Agent) tearDown() error {
	for _, g := range a.order {
		g.unplug(a, stopReason)
	}
	for _, p := range a.ports {
		p.close(a, stopReason)
	}
	return nil
}

func (a *Agent) watchReload(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-a.reload:
			if _, err := a.applyReload(ctx); err != nil {
				a.log.Error("reload refused, the running config stays", "err", err)
			}
		}
	}
}

// Cleanup is `vipd --cleanup`: it removes what a dead daemon left, and refuses
// while one is running.
func Cleanup(opts Options) (err error) {
	cfg := opts.Config
	lock, err := lockDir(cfg.Node.RuntimeDir)
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
	return ignoreMissing(os.Remove(filepath.Clean(cfg.Control.Socket)))
}
