// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"os"
	"sync"
	"time"

	"vipd/agent/ordinary"
)

const (
	// maxConns and maxConnsOfOne limit the open connections, in total and per address, so that
	// one client cannot take every place.
	maxConns      = 256
	maxConnsOfOne = 64
	// refusalTime is how long writing the answer to a refused client may take.
	refusalTime = 100 * time.Millisecond
	tooMany     = "HTTP/1.1 503 Service Unavailable\r\n" +
		"Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
		"Too many connections. Close some and try again.\n"
)

// limitListener refuses connections beyond the limits at once.
type limitListener struct {
	net.Listener
	refused func(reason string)
	gate    *ordinary.Gate

	mu    sync.Mutex
	total int
	of    map[netip.Addr]int
}

func newLimitListener(l net.Listener, gate *ordinary.Gate, refused func(string)) *limitListener {
	return &limitListener{Listener: l, gate: gate, refused: refused, of: map[netip.Addr]int{}}
}

// Accept returns the next connection within the limits.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		l.gate.Accepted()
		from := addrOf(c.RemoteAddr().String())
		if l.admit(from) {
			release := sync.OnceFunc(func() { l.release(from) })
			return &limitConn{Conn: c, release: release, refused: l.refused}, nil
		}
		l.refused(refusedClients)
		// The few bytes fit into any send buffer: this does not wait for the client.
		if c.SetDeadline(moment().Add(refusalTime)) == nil {
			_, _ = c.Write([]byte(tooMany)) // the client is refused whether it reads this or not
		}
		_ = c.Close() // nothing was read or promised
	}
}

// admit takes a place for a connection. Callers of a unix socket have no address and count
// towards the total alone.
func (l *limitListener) admit(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.total >= maxConns || from.IsValid() && l.of[from] >= maxConnsOfOne {
		return false
	}
	l.total++
	l.of[from]++
	return true
}

func (l *limitListener) release(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.total--
	if l.of[from]--; l.of[from] == 0 {
		delete(l.of, from)
	}
}

// limitConn gives its place back when it is closed, and counts the requests that net/http
// refuses without calling a handler.
type limitConn struct {
	net.Conn
	release func()
	refused func(reason string)

	mu       sync.Mutex
	answered bool
}

// Close closes the connection and gives its place back.
func (c *limitConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// Read reads from the connection and counts a client that does not finish its first request in time.
func (c *limitConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		c.mu.Lock()
		first := !c.answered
		c.answered = true
		c.mu.Unlock()
		if first {
			c.refused(refusedSlow)
		}
	}
	return n, err
}

// Write writes to the connection and counts the refusals that net/http sends by itself
// (server.go, conn.serve).
func (c *limitConn) Write(b []byte) (int, error) {
	c.mu.Lock()
	c.answered = true
	c.mu.Unlock()
	switch {
	case bytes.HasPrefix(b, []byte("HTTP/1.1 431 ")):
		c.refused(refusedLarge)
	case bytes.HasPrefix(b, []byte("HTTP/1.1 400 ")):
		c.refused(refusedBad)
	}
	return c.Conn.Write(b)
}
