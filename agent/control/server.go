// SPDX-License-Identifier: Apache-2.0

package control

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
)

// Limits of the server. A client that exceeds one loses its own request and harms
// nobody else's.
const (
	headerTimeout  = 5 * time.Second
	bodyTimeout    = 10 * time.Second
	idleTimeout    = 30 * time.Second
	verbTimeout    = 30 * time.Second
	answerTimeout  = verbTimeout + 15*time.Second
	stopTimeout    = 5 * time.Second
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// maxClients connections at once, and as many as reservedClients more for those
	// who may write, so that a reader cannot lock the operator out. Where these are
	// full as well, one of theirs takes the place of a client that hangs.
	maxClients      = 64
	reservedClients = 16
	// maxStreams run at once, and reservedStreams more of those who may write. A stream ends
	// when its client likes, so at least 24 places are left for requests that end.
	maxStreams      = 48
	reservedStreams = 8
)

// Options of [New].
type Options struct {
	// Socket is the path of the unix socket.
	Socket string
	// Group is the name of the group whose members may read; empty means root only.
	Group string
	// Version is told to clients in a header; empty means [api.Version].
	Version string
	// Log gets warnings and refusals; nil discards them.
	Log *slog.Logger
}

// Server is the control API on its socket.
type Server struct {
	opts     Options
	backend  Backend
	log      *slog.Logger
	http     *http.Server
	ready    chan struct{}
	once     sync.Once
	listener *listener
	warnings []string
	stopping chan struct{} // closed when the server begins to stop; streams end then
	running  atomic.Int32  // streams
}

// New makes a server that does not listen yet.
func New(b Backend, opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	opts.Version = cmp.Or(opts.Version, api.Version)
	s := &Server{opts: opts, backend: b, log: opts.Log, ready: make(chan struct{}), stopping: make(chan struct{})}
	s.http = &http.Server{
		Handler:           s.Handler(),
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       bodyTimeout,
		WriteTimeout:      answerTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(opts.Log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			if pc, ok := c.(*peerConn); ok {
				return withConn(ctx, pc)
			}
			return ctx
		},
	}
	s.http.ConnState = func(c net.Conn, state http.ConnState) { s.listener.follow(c, state) } // made by Listen
	s.http.RegisterOnShutdown(sync.OnceFunc(func() { close(s.stopping) }))
	return s
}

// Listen creates the socket. Call it after the state's lock was taken: a stale socket
// is removed only when nobody answers on it, and then nobody else may be about to.
func (s *Server) Listen() error {
	l, warnings, err := listen(s.opts.Socket, s.opts.Group)
	if err != nil {
		return err
	}
	s.listener, s.warnings = l, warnings
	for _, w := range warnings {
		s.log.Warn("control socket", "warning", w)
	}
	return nil
}

// Warnings are what Listen found worth telling, such as a group that is not there.
func (s *Server) Warnings() []string { return s.warnings }

// Ready is closed when the server accepts.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Server) String() string { return "control socket " + s.opts.Socket }

// Run serves until ctx ends, calling Listen first if that was not done, and returns
// nil for an orderly end. Requests that have begun are given 5 s; the socket is gone
// when Run returns.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	served := make(chan error, 1) // so that the goroutine ends even if nobody reads
	go func() { served <- s.http.Serve(s.listener) }()
	s.once.Do(func() { close(s.ready) })
	select {
	case err := <-served:
		return fmt.Errorf("serve %s: %w", s, err)
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopTimeout)
	defer cancel()
	err := s.http.Shutdown(stop)
	if err != nil {
		err = errors.Join(err, s.http.Close())
	}
	if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
		err = errors.Join(err, serveErr)
	}
	if rmErr := s.listener.remove(); rmErr != nil && !errors.Is(rmErr, os.ErrNotExist) {
		err = errors.Join(err, rmErr)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("control clients were cut off at stop", "err", err)
		return nil
	}
	return err
}
