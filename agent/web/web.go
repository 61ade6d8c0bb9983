// SPDX-License-Identifier: Apache-2.0

// Package web serves the status page, the widget and the view of several nodes, live by
// server-sent events, and takes the operator's verbs from the page where the config allows it.
//
// Every fragment of HTML is made here, once for all who look; the script in the browser only
// puts changed fragments in place. Without the script the same pages refresh as a whole.
package web

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"vipd/agent/control/api"
)

// Backend is what the page asks of the agent: the methods of the control API of the same
// names, so that one implementation serves both.
type Backend interface {
	Status(ctx context.Context) (api.Status, error)
	History(ctx context.Context, group string, n int) (api.History, error)
	Why(ctx context.Context, name string) (api.Why, error)
	Incidents(ctx context.Context) (api.Incidents, error)
	Incident(ctx context.Context, id uint64) (api.Incident, error)
	Events(ctx context.Context) (first api.Event, events <-chan api.Event, forget func())

	SetEnabled(ctx context.Context, enabled bool) (api.Change, error)
	SetMaintenance(ctx context.Context, on bool) (api.Change, error)
	EnterMaintenance(ctx context.Context, force bool) (api.Change, error)
	Yield(ctx context.Context, name string, force bool) (api.Handover, error)
	RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error)
	ResetDemotions(ctx context.Context) (api.DemotionChange, error)
}

// Options of [New]. The zero value is a page to read, for requests to localhost.
type Options struct {
	// Controls lets the page change the node.
	Controls bool
	// Token is what a browser must present before its first change; empty asks for none,
	// which only a listener that knows its callers may do.
	Token []byte
	// Callers knows who connects; nil for a listener that does not.
	Callers Callers
	// Hosts are the names that a request may be addressed to, besides localhost and the
	// address it came in by.
	Hosts []string
	// WidgetOrigins may frame the widget.
	WidgetOrigins []string
	// Nodes are the base URLs of other nodes' pages, without a slash at the end.
	Nodes []string
	// Metrics serves /metrics; nil leaves it out.
	Metrics http.Handler
	// Alive returns an error while the election does not run. Nil is always alive.
	Alive func(ctx context.Context) error
	// Refused counts a refused request by one of [RefusedReasons], Pressed a control by
	// one of [Actions] and how it ended: ok, failed. Both may be nil.
	Refused func(reason string)
	Pressed func(action, outcome string)
	Log     *slog.Logger
}

// Callers is a listener that knows whose connection is whose, as a unix socket does.
type Callers interface {
	// MayWrite says whether the connection's owner may change the node. Who may not reads.
	MayWrite(c net.Conn) bool
	// Follow is told when the server begins and ceases to wait for a request.
	Follow(c net.Conn, state http.ConnState)
	// Await is called before the body of a request is read, and its result afterwards:
	// false means that the connection was ended, and the request must do nothing.
	Await(c net.Conn) (arrived func() bool)
}

// Limits of the listener. The election shares the machine with whoever opens connections here.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 4 << 10
	maxURLBytes    = 2 << 10
	// maxStreams is how many pages are live at once; others refresh as a whole.
	maxStreams = 64
	// maxPages are made at once, and pageWait is how long one more waits for its turn.
	maxPages = 2
	pageWait = 3 * time.Second
)

// Server is the page. Make it with [New].
type Server struct {
	opts     Options
	backend  Backend
	log      *slog.Logger
	hub      *hub
	nodes    *nodes
	sessions *sessions
	logins   *limiter
	assets   *assets
	pages    *pages
	cross    *http.CrossOriginProtection
	turns    chan struct{} // a place for each page that is made
	streams  chan struct{} // a place for each live page
	stopping chan struct{}
}

// New makes a server that does nothing yet.
func New(b Backend, opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Alive == nil {
		opts.Alive = func(context.Context) error { return nil }
	}
	if opts.Refused == nil {
		opts.Refused = func(string) {}
	}
	if opts.Pressed == nil {
		opts.Pressed = func(string, string) {}
	}
	a := loadAssets()
	return &Server{
		opts: opts, backend: b, log: opts.Log,
		hub: newHub(b, opts.Alive, opts.Log), nodes: newNodes(opts.Nodes), sessions: newSessions(), logins: newLimiter(),
		assets: a, pages: parsePages(a), cross: http.NewCrossOriginProtection(),
		turns: make(chan struct{}, maxPages), streams: make(chan struct{}, maxStreams), stopping: make(chan struct{}),
	}
}

// Run serves on l until ctx ends, and closes l. The page remembers counters from its start.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.Handler(), ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return withConn(ctx, c)
		},
	}
	if s.opts.Callers != nil {
		srv.ConnState = func(c net.Conn, state http.ConnState) { s.opts.Callers.Follow(accepted(c), state) }
	}
	around, end := context.WithCancel(ctx)
	defer end()
	var tasks sync.WaitGroup
	tasks.Go(func() { s.hub.run(around) })
	tasks.Go(func() {
		<-around.Done()
		close(s.stopping)
		if err := srv.Close(); err != nil {
			s.log.Debug("close http listener", "err", err)
		}
	})
	err := srv.Serve(newLimitListener(l, s.opts.Refused))
	end()
	tasks.Wait()
	s.nodes.wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Handler serves everything, without a listener and its limits.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	if s.opts.Metrics != nil {
		mux.Handle("GET /metrics", s.opts.Metrics)
	}
	mux.HandleFunc("GET /healthz", s.healthz)
	page := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.guard(h)) }
	page("GET /{$}", s.statusPage)
	page("GET /group", s.groupPage)
	page("GET /incident", s.incident)
	page("GET /nodes", s.nodesPage)
	page("GET /widget", s.widgetPage)
	page("GET /events", s.events)
	page("GET /api/status", s.apiStatus)
	page("GET /assets/{name}", s.assets.serve)
	page("GET /login", s.loginPage)
	page("POST /login", s.login)
	page("POST /logout", s.logout)
	page("GET /confirm", s.confirmPage)
	page("POST /do", s.do)
	page("/", s.notFound)
	return mux
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.refuse(w, refusedMethod, http.StatusMethodNotAllowed, r.Method+" is not for this page.")
		return
	}
	s.plain(w, http.StatusNotFound, "There is no such page. / is the status page.")
}
