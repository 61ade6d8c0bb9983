// SPDX-License-Identifier: Apache-2.0

package control

import (
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

	"vipd/agent/ordinary"
)

// Limits of the server. A client that exceeds one loses its own request and affects no other's.
const (
	headerTimeout = 5 * time.Second
	bodyTimeout   = 10 * time.Second
	idleTimeout   = 30 * time.Second
	verbTimeout   = 30 * time.Second
	answerTimeout = verbTimeout + 15*time.Second
	// stopTimeout is for answers that are being sent. Clients without an answer are disconnected:
	// the end of the daemon waits for no client.
	stopTimeout    = 20 * time.Millisecond
	maxHeaderBytes = 16 << 10
	maxBodyBytes   = 64 << 10
	// maxClients connections are served at once, and reservedClients more of users who may write,
	// so that readers cannot lock the operator out. If these are taken as well, a new connection
	// of such a user replaces that of a client that hangs, see evict.
	maxClients      = 64
	reservedClients = 16
	// maxStreams run at once, and reservedStreams more of users who may write. A client decides
	// when its stream ends; at least 24 connections remain for requests.
	maxStreams      = 48
	reservedStreams = 8
)

// Options of [New].
type Options struct {
	// Socket is the path of the unix socket.
	Socket string
	// Group is the group whose members may read; empty means that only root may.
	Group string
	// Gate limits the processor time of reads, and makes the threads of clients ordinary ones. Nil does neither.
	Gate *ordinary.Gate
	// Dropped is called when a stream ends since its client did not read in time. Nil does nothing.
	Dropped func()
	// Log receives warnings and refusals; nil discards them.
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
	stopping chan struct{} // closed when the server begins to stop, which ends streams
	running  atomic.Int32  // number of streams
	patience time.Duration // with a client of a stream that does not read
}

// New returns a server that does not listen yet.
func New(b Backend, opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Dropped == nil {
		opts.Dropped = func() {}
	}
	s := &Server{
		opts: opts, backend: b, log: opts.Log, ready: make(chan struct{}), stopping: make(chan struct{}),
		patience: eventTimeout,
	}
	s.http = &http.Server{
		Handler:           s.inTurn(s.Handler()),
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

// Listen creates the socket. The caller must hold the lock of the state: a socket on which no process
// answers is removed, so no other vipd may be about to listen on it.
func (s *Server) Listen() error {
	l, warnings, err := controlSocket().listen(s.opts.Socket, s.opts.Group)
	if err != nil {
		return err
	}
	s.listener, s.warnings = l, warnings
	for _, w := range warnings {
		s.log.Warn("control socket", "warning", w)
	}
	return nil
}

// Warnings returns the warnings of Listen, such as a group that does not exist.
func (s *Server) Warnings() []string { return s.warnings }

// Ready returns a channel that is closed when the server accepts connections.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// String names the task.
func (s *Server) String() string { return "control socket " + s.opts.Socket }

// Run serves until ctx ends, and returns nil then. It calls Listen if that was not done. Answers that
// are being sent have stopTimeout, then clients are disconnected. The socket is removed when Run
// returns.
func (s *Server) Run(ctx context.Context) error {
	if s.listener == nil {
		if err := s.Listen(); err != nil {
			return err
		}
	}
	served := make(chan error, 1) // the goroutine ends even if the error is not read
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
		s.log.Warn("control clients were disconnected at stop", "err", err)
		return nil
	}
	return err
}
