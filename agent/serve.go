// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

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
	listen := a.cfg.HTTP.Listen // read here: from now on the config is the loop's
	tasks.Go(func() error { return a.serveHTTP(around, listen) })
	tasks.Go(func() error { return a.watchReload(around) })
	tasks.Go(func() error { return a.watchRises(around) })
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

// httpRetry is how often a listener that could not be opened is tried again.
const httpRetry = 5 * time.Second

// serveHTTP serves metrics and health. The election does not depend on it: an
// address that is not there yet is tried again, and nothing else waits for it.
func (a *Agent) serveHTTP(ctx context.Context, addr string) error {
	if addr == "" {
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", a.metrics.Handler())
	mux.HandleFunc("GET /healthz", a.healthz)
	srv := &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: 60 * time.Second, MaxHeaderBytes: 16 << 10,
	}
	ln, err := a.listenHTTP(ctx, addr)
	if err != nil {
		return nil //nolint:nilerr // ctx ended while waiting
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		<-ctx.Done()
		if err := srv.Close(); err != nil {
			a.log.Debug("close http listener", "err", err)
		}
	}()
	err = srv.Serve(ln)
	if !errors.Is(err, http.ErrServerClosed) {
		a.log.Error("http server ended", "listen", addr, "err", err)
		<-ctx.Done()
	}
	<-stopped
	return nil
}

func (a *Agent) listenHTTP(ctx context.Context, addr string) (net.Listener, error) {
	said := false
	for {
		ln, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
		if err == nil {
			a.log.Info("http listens", "listen", ln.Addr().String())
			return ln, nil
		}
		if !said {
			a.log.Warn("http not available, trying again until it is; check [http] listen", "listen", addr, "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(httpRetry):
		}
	}
}

// healthz answers 200 while the loop runs.
func (a *Agent) healthz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := a.do(ctx, func() {}); err != nil {
		http.Error(w, "the election loop does not answer: "+err.Error(), http.StatusServiceUnavailable)
		return
	}
	fmt.Fprintln(w, "ok")
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
