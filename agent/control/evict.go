// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net"
	"net/http"
	"slices"
)

// Where every place is taken, one who may write gets that of the client that has had the
// server wait longest for its request: no command waits for time-outs of clients that hang.

// wait notes that the next word is the client's.
func (l *listener) wait(c *peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.evicted.Load() && !slices.Contains(l.waiting, c) {
		l.waiting = append(l.waiting, c)
	}
}

// resume notes that the client has sent what was waited for, or left.
func (l *listener) resume(c *peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(w *peerConn) bool { return w == c })
}

// evict ends the connection that is waited for longest, and reports whether there was one.
func (l *listener) evict() bool {
	l.mu.Lock()
	if len(l.waiting) == 0 {
		l.mu.Unlock()
		return false
	}
	c := l.waiting[0]
	l.waiting = slices.Delete(l.waiting, 0, 1)
	c.evicted.Store(true)
	l.mu.Unlock()
	_ = c.Close() // no request of it has begun
	return true
}

// follow is the server's [http.Server.ConnState]: a connection becomes active when the
// header of a request is complete, and idle after the answer.
func (s *Server) follow(c net.Conn, state http.ConnState) {
	pc, ok := c.(*peerConn)
	switch {
	case !ok:
	case state == http.StateNew, state == http.StateIdle:
		s.listener.wait(pc)
	default:
		s.listener.resume(pc)
	}
}

type connKey struct{}

func withConn(ctx context.Context, c *peerConn) context.Context {
	return context.WithValue(withCaller(ctx, c.caller), connKey{}, c)
}

// connOf is nil for a request that did not come by the socket.
func connOf(r *http.Request) *peerConn {
	c, _ := r.Context().Value(connKey{}).(*peerConn)
	return c
}

// awaitBody reads the body of a request. A connection that was taken away meanwhile, or
// at the very moment at which its header was complete, begins nothing: its client is told
// of a failure, and must not have changed anything.
func (s *Server) awaitBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	c := connOf(r)
	if c == nil {
		return readBody(w, r, limit)
	}
	if r.ContentLength != 0 {
		s.listener.wait(c)
	}
	body, err := readBody(w, r, limit)
	s.listener.resume(c)
	if c.evicted.Load() {
		panic(http.ErrAbortHandler)
	}
	return body, err
}
