// SPDX-License-Identifier: Apache-2.0

// Package web serves the status page, the widget and the comparison of several nodes, live
// through server-sent events, and the operator's controls where the config allows them.
//
// The server renders every HTML fragment once for all viewers; the script in the browser only
// replaces changed fragments. Without the script the same pages reload as a whole.
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
	"vipd/agent/ordinary"
)

// eventsPath is where the messages of a live page come from.
const eventsPath = "/events"

// Backend is the part of the agent that the page uses. Its methods are those of the control API
// with the same names, so that one implementation serves both.
type Backend interface {
	Status(ctx context.Context) (api.Status, error)
	History(ctx context.Context, group string, n int) (api.History, error)
	Why(ctx context.Context, name string) (api.Why, error)
	Peers(ctx context.Context) (api.Peers, error)
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

// Options of [New]. The zero value serves a read-only page to requests for localhost.
type Options struct {
	// Controls lets the page change the node.
	Controls bool
	// Token must be presented by a browser before its first change. Empty asks for none, which
	// is for a listener that identifies its callers.
	Token []byte
	// Callers identifies the owner of a connection; nil if the listener cannot.
	Callers Callers
	// Hosts are the host names that are accepted in addition to localhost and the address that
	// the request came in on.
	Hosts []string
	// WidgetOrigins may frame the widget.
	WidgetOrigins []string
	// Nodes are the base URLs of other nodes' pages, without a trailing slash.
	Nodes []string
	// Metrics serves /metrics; nil leaves it out.
	Metrics http.Handler
	// Alive returns an error while the election does not run. Nil means always alive.
	Alive func() error
	// Unready returns why the node is not ready, see /readyz. Nil means always ready.
	Unready func() []string
	// Refused counts a refused request by one of [RefusedReasons]; Pressed counts a control by
	// one of [Actions] and its outcome, ok or failed. Both may be nil.
	Refused func(reason string)
	Pressed func(action, outcome string)
	// Gate limits the processor time of the page and gives its threads ordinary priority. Nil
	// does neither.
	Gate *ordinary.Gate
	Log  *slog.Logger
}

// Callers is a listener that identifies the owner of a connection, as a unix socket does.
type Callers interface {
	// MayWrite reports whether the connection's owner may change the node rather than only read.
	MayWrite(c net.Conn) bool
	// Follow is called when the server starts and stops waiting for a request.
	Follow(c net.Conn, state http.ConnState)
	// Await is called before the body of a request is read, and its result afterwards: false
	// means that the connection was closed and that the request must have no effect.
	Await(c net.Conn) (arrived func() bool)
}

// Limits of the listener, which protect the election from its clients.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 10 * time.Second
	writeTimeout   = 30 * time.Second
	idleTimeout    = 30 * time.Second
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 4 << 10
	maxURLBytes    = 2 << 10
	// maxStreams is how many pages are live at once; others reload as a whole.
	maxStreams = 64
	// maxPages are rendered at once; another request waits for its turn for at most pageWait.
	maxPages = 2
	pageWait = 3 * time.Second
)

// Server serves the page. Create it with [New].
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
	turns    chan struct{} // one entry per page that is being rendered
	streams  chan struct{} // one entry per live page
	stopping chan struct{}
}

// New returns a server; [Server.Run] starts it.
func New(b Backend, opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Alive == nil {
		opts.Alive = func() error { return nil }
	}
	if opts.Unready == nil {
		opts.Unready = func() []string { return nil }
	}
	if opts.Refused == nil {
		opts.Refused = func(string) {}
	}
	if opts.Pressed == nil {
		opts.Pressed = func(string, string) {}
	}
	a := loadAssets()
	return &Server{
		opts:     opts,
		backend:  b,
		log:      opts.Log,
		hub:      newHub(b, opts.Alive, opts.Gate, opts.Log),
		nodes:    newNodes(opts.Nodes),
		sessions: newSessions(),
		logins:   newLimiter(),
		assets:   a,
		pages:    parsePages(a),
		cross:    http.NewCrossOriginProtection(),
		turns:    make(chan struct{}, maxPages),
		streams:  make(chan struct{}, maxStreams),
		stopping: make(chan struct{}),
	}
}

// Run serves on l until ctx ends, and closes l. The charts start with this call.
func (s *Server) Run(ctx context.Context, l net.Listener) error {
	srv := &http.Server{
		Handler: s.inTurn(s.Handler()), ReadHeaderTimeout: headerTimeout, ReadTimeout: bodyTimeout,
		WriteTimeout: writeTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog:    slog.NewLogLogger(s.log.Handler(), slog.LevelDebug),
		ConnContext: withConn,
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
			s.log.Debug("cannot close the HTTP listener", "err", err)
		}
	})
	err := srv.Serve(newLimitListener(l, s.opts.Gate, s.opts.Refused))
	end()
	tasks.Wait()
	s.nodes.wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}

// Handler returns the handler of all pages, without the listener and its limits.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	if s.opts.Metrics != nil {
		mux.Handle("GET /metrics", s.opts.Metrics)
	}
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /livez", s.livez)
	mux.HandleFunc("GET /readyz", s.readyz)
	page := func(pattern string, h http.HandlerFunc) { mux.Handle(pattern, s.guard(h)) }
	page("GET /{$}", s.statusPage)
	page("GET /group", s.groupPage)
	page("GET /incident", s.incident)
	page("GET /nodes", s.nodesPage)
	page("GET /widget", s.widgetPage)
	page("GET "+eventsPath, s.events)
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

// inTurn serves each request within the share of the gate. A live page takes a turn for each message.
func (s *Server) inTurn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		serve := s.opts.Gate.Serve
		if r.URL.Path == eventsPath {
			serve = s.opts.Gate.Admit
		}
		serve(w, r, pageWait, next, func(w http.ResponseWriter, err error) {
			s.log.Debug("HTTP request refused", "err", err)
			s.busy(w)
		})
	})
}

func (s *Server) notFound(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		s.refuse(w, refusedMethod, http.StatusMethodNotAllowed, "This page does not accept "+r.Method+".")
		return
	}
	s.plain(w, http.StatusNotFound, "There is no such page. The status page is at /.")
}
