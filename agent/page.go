// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"log/slog"
	"net"
	"time"

	"vipd/agent/config"
	"vipd/agent/control"
	"vipd/agent/ordinary"
	"vipd/agent/web"
)

// httpRetry is how often a listener that could not be opened is tried again.
const httpRetry = 5 * time.Second

// page is the HTTP listener: status page, metrics and health. The election does not depend
// on it: if its address does not exist yet, it tries again, and nothing else waits for it.
type page struct {
	http  config.HTTP
	group string // of the control socket, and of a unix socket here
	opts  web.Options
	back  web.Backend
	log   *slog.Logger
}

func (a *Agent) newPage() *page {
	h, w := a.opts.Config.HTTP, a.opts.Config.Web
	return &page{
		http: h, group: a.opts.Config.Control.Group, back: a.operator, log: a.log,
		opts: web.Options{
			Controls: h.Controls, Token: h.Token.Bytes(), Hosts: h.Hosts, WidgetOrigins: w.WidgetOrigins, Nodes: w.Nodes,
			Metrics: a.metrics.Handler(), Refused: a.metrics.ObserveHTTPRefused, Pressed: a.metrics.ObserveHTTPControl,
			Gate: ordinary.NewGate(ordinary.PageShare), Alive: a.operator.Alive, Unready: a.operator.Unready,
			Log: a.log,
		},
	}
}

func (p *page) serve(ctx context.Context) error {
	if p.http.Listen == "" {
		return nil
	}
	ln, err := p.listen(ctx)
	if err != nil {
		return nil //nolint:nilerr // ctx ended while waiting
	}
	if s, ok := ln.(*control.Socket); ok { // who may open it is known
		p.opts.Controls, p.opts.Callers = true, s
	}
	if err := web.New(p.back, p.opts).Run(ctx, ln); err != nil {
		p.log.Error("http server ended", "listen", p.http.Listen, "err", err)
	}
	return nil
}

func (p *page) listen(ctx context.Context) (net.Listener, error) {
	said := false
	for {
		ln, err := p.open(ctx)
		if err == nil {
			p.log.Info("serving http", "listen", ln.Addr().String())
			return ln, nil
		}
		if !said {
			p.log.Warn("cannot serve http, retrying until it works; check [http] listen", "listen", p.http.Listen, "err", err)
			said = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(httpRetry):
		}
	}
}

func (p *page) open(ctx context.Context) (net.Listener, error) {
	path, local := p.http.Unix()
	if !local {
		return (&net.ListenConfig{}).Listen(ctx, "tcp", p.http.Listen)
	}
	s, warnings, err := control.ListenSocket(path, p.group)
	if err != nil {
		return nil, err // not the typed nil inside s
	}
	for _, w := range warnings {
		p.log.Warn("http socket", "warning", w)
	}
	return s, nil
}
