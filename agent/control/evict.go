// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net"
	"net/http"
	"slices"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

// If all connections are taken, a new one of a user who may write replaces the one whose request the
// server has waited for longest: no command waits for the timeouts of clients that hang. The standard
// server has timeouts only, and golang.org/x/net/netutil.LimitListener makes new clients wait, root
// among them (TestHangingClients).

// wait notes that the server waits for the client.
func (l *listener) wait(c *peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !c.evicted.Load() && !slices.Contains(l.waiting, c) {
		l.waiting = append(l.waiting, c)
	}
}

// resume notes that the client has sent its request, or disconnected.
func (l *listener) resume(c *peerConn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.waiting = slices.DeleteFunc(l.waiting, func(w *peerConn) bool { return w == c })
}

// evict closes the connection that the server has waited for longest, and reports whether there is one.
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
	_ = c.Close() // it has no request
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

// await notes that the server waits for the body of a request. The caller calls the result after
// reading the body; false means that the connection was evicted in the meantime, or just when its
// header was complete. Its client sees a failure, so the request must not change anything.
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

// connOf returns nil for a request that did not arrive on the socket.
func connOf(r *http.Request) *peerConn {
	c, _ := r.Context().Value(connKey{}).(*peerConn)
	return c
}

// awaitBody reads the body of a request, and aborts the request if its connection was evicted.
func (s *Server) awaitBody(w http.ResponseWriter, r *http.Request, limit int64) ([]byte, error) {
	c := connOf(r)
	if c == nil {
		return readBody(w, r, limit)
	}
	arrived := func() bool { return !c.evicted.Load() }
	if r.ContentLength != 0 {
		arrived = s.listener.await(c)
	}
	var body []byte
	var err error
	read := func() { body, err = readBody(w, r, limit) }
	if r.ContentLength == 0 {
		read()
	} else if busy := ordinary.Outside(r.Context(), read); busy != nil {
		err = api.Errorf(api.CodeBusy, "not served: %v", busy)
	}
	if !arrived() {
		panic(http.ErrAbortHandler)
	}
	return body, err
}
