// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
)

const (
	// requestTimeout is how long a client may take to send its request.
	requestTimeout = 5 * time.Second
	// answerTimeout is how long a client may take to read its answer.
	answerTimeout = 5 * time.Second
	// maxClients is more than a daemon has checks and hooks at once.
	maxClients = 512
	// hungDaemon is added to the timeout of a command: the daemon ends the command before, unless
	// the daemon hangs.
	hungDaemon = 500 * time.Millisecond
)

// Options of [New].
type Options struct {
	// Config is the path of the config file.
	Config string
	// Version is this build; a client of another build makes the server end.
	Version string
	// Log receives what is refused; nil discards it.
	Log *slog.Logger
	// Runner runs the allowed commands; nil runs them as child processes.
	Runner command.Runner
}

// Server runs commands for clients of root or of the server's own user.
type Server struct {
	opts    Options
	allowed catalogue
	clients atomic.Int32
	running sync.WaitGroup
}

// New returns a server and reads the config. It is not an error if the config is refused: it is read
// again when it changes.
func New(opts Options) *Server {
	if opts.Log == nil {
		opts.Log = slog.New(slog.DiscardHandler)
	}
	if opts.Runner == nil {
		opts.Runner = command.Local{}
	}
	s := &Server{opts: opts, allowed: catalogue{path: opts.Config, log: opts.Log}}
	s.allowed.mu.Lock()
	s.allowed.refresh()
	s.allowed.mu.Unlock()
	return s
}

// Run serves until ctx ends or a client of another version connects. Then it kills the running
// commands and closes the listener.
func (s *Server) Run(ctx context.Context, l *net.UnixListener) error {
	ctx, end := context.WithCancel(ctx)
	defer s.running.Wait()
	defer end()
	l.SetUnlinkOnClose(false) // the socket belongs to systemd, which keeps it
	context.AfterFunc(ctx, func() { _ = l.Close() })
	for {
		conn, err := l.AcceptUnix()
		switch {
		case ctx.Err() != nil:
			if err == nil {
				_ = conn.Close()
			}
			return nil
		case errors.Is(err, unix.EMFILE) || errors.Is(err, unix.ENFILE) || errors.Is(err, unix.ECONNABORTED):
			s.opts.Log.Warn("cannot accept a request", "err", err)
			time.Sleep(50 * time.Millisecond) // until a descriptor is free
			continue
		case err != nil:
			return fmt.Errorf("accept: %w", err)
		}
		s.running.Go(func() { s.serve(ctx, conn, end) })
	}
}

// serve answers one request.
func (s *Server) serve(ctx context.Context, conn *net.UnixConn, end func()) {
	defer func() { _ = conn.Close() }()
	defer s.clients.Add(-1)
	if s.clients.Add(1) > maxClients {
		s.answer(conn, answer{Unable: "too many commands are running"})
		return
	}
	if err := checkPeer(conn); err != nil {
		s.opts.Log.Warn("request refused", "err", err)
		return
	}
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	var req request
	if err := messages(conn).Decode(&req); err != nil {
		s.opts.Log.Debug("cannot read the request", "err", err)
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	switch {
	case req.Version != "" && req.Version != s.opts.Version:
		s.opts.Log.Info("the client has another version; ending so that its helper can start",
			"version", s.opts.Version, "asked_by", req.Version)
		s.answer(conn, answer{Stale: true})
		end()
	case req.Job != nil:
		if a := s.run(ctx, conn, req.Job); ctx.Err() == nil { // otherwise the next helper runs it
			s.answer(conn, a)
		}
	case req.Examine != "":
		if err := s.allowed.names(req.Examine); err != nil {
			s.answer(conn, answer{Unable: err.Error()})
			return
		}
		s.answer(conn, answer{Faults: command.Examine(req.Examine)})
	default:
		s.answer(conn, answer{Unable: "the request is empty"})
	}
}

func (s *Server) answer(conn *net.UnixConn, a answer) {
	_ = conn.SetWriteDeadline(time.Now().Add(answerTimeout))
	if err := send(conn, a); err != nil {
		s.opts.Log.Debug("cannot send the answer", "err", err)
	}
}

// run runs a job of the config until its time is up or the client disconnects.
func (s *Server) run(ctx context.Context, conn *net.UnixConn, job *command.Job) answer {
	refuse := func(why string) answer {
		s.opts.Log.Warn("command refused", "kind", job.Kind, "name", job.Name, "why", why)
		return answer{Unable: why}
	}
	known, err := s.allowed.find(job.Kind, job.Name, job.Argv)
	if err != nil {
		return refuse(err.Error())
	}
	if why := jobFault(job); why != "" {
		return refuse(why)
	}
	for _, f := range command.Examine(known.argv[0]) {
		if f.Unsafe {
			return refuse(f.Text)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, known.timeout+hungDaemon)
	defer cancel()
	go func() { // the client sends nothing more; a read ends when it disconnects
		_, _ = io.Copy(io.Discard, conn)
		cancel()
	}()
	s.answer(conn, answer{Begun: true})
	return toAnswer(s.opts.Runner.Run(ctx, command.Job{
		Kind: job.Kind, Name: job.Name, Argv: known.argv, Args: job.Args, Env: job.Env, Tail: job.Tail,
	}))
}

// checkPeer returns an error unless the client is root or the user that the server runs as.
func checkPeer(conn *net.UnixConn) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	var cred *unix.Ucred
	var credErr error
	if err := raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	}); err != nil {
		return err
	}
	if credErr != nil {
		return fmt.Errorf("cannot read the client's credentials: %w", credErr)
	}
	if cred.Uid != 0 && cred.Uid != uint32(os.Geteuid()) {
		return fmt.Errorf("user %d (process %d) is not allowed to run commands", cred.Uid, cred.Pid)
	}
	return nil
}

// jobFault checks that environment and arguments are those of a check or a hook, so that the daemon
// cannot influence the command otherwise.
func jobFault(job *command.Job) string {
	for _, e := range job.Env {
		name, value, ok := strings.Cut(e, "=")
		if !ok || !strings.HasPrefix(name, "VIPD_") || strings.Trim(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_") != "" {
			return fmt.Sprintf("%.40q is not a variable for commands", name)
		}
		if strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return name + " contains a character that is not printable"
		}
	}
	states := []string{"INIT", "BACKUP", "MASTER"}
	switch {
	case job.Kind == command.Check && len(job.Args) > 0:
		return "a check takes no further arguments"
	case job.Kind == command.Hook && (len(job.Args) != 3 || job.Args[0] != job.Name ||
		!slices.Contains(states, job.Args[1]) || !slices.Contains(states, job.Args[2])):
		return "a hook takes its group and two states"
	}
	return ""
}
