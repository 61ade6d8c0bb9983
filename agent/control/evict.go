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
func (l *listener) follow(c net.Conn, state http.ConnState) {
	pc, ok := c.(*peerConn)
	switch {
	case !ok:
	case state == http.StateNew, state == http.StateIdle:
		l.wait(pc)
	default:
		l.resume(pc)
	}
}

// await waits for the body of a request. The result is to be called when it was read, and
// is false if the connection was taken away meanwhile, or at the very moment at which its
// header was complete: its client is told of a failure, and must not have changed anything.
func (l *listener) await(c *peerConn) (arrived func() bool) {
	l.wait(c)
	return func() bool {
		l.resume(c)
		return !c.evicted.Load()
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

// awaitBody reads the body of a request, or ends it.
func (s *Server) awaitBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	c := connOf(r)
	if c == nil {
		return readBody(w, r, limit)
	}
	arrived := func() bool { return !c.evicted.Load() }
	if r.ContentLength != 0 {
		arrived = s.listener.await(c)
	}
	body, err := readBody(w, r, limit)
	if !arrived() {
		panic(http.ErrAbortHandler)
	}
	return body, err
}
