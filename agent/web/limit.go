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
)

// Connections at once, in all and from one address. One client that opens them all, or
// never ends a request, leaves room for the others.
const (
	maxConns      = 256
	maxConnsOfOne = 64
	// refusalTime is what a refused client has to read why.
	refusalTime = 100 * time.Millisecond
)

const tooMany = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" +
	"Too many connections. Close some and try again.\n"

// limitListener accepts so many connections and refuses the others at once.
type limitListener struct {
	net.Listener
	refused func(reason string)

	mu    sync.Mutex
	total int
	of    map[netip.Addr]int
}

func newLimitListener(l net.Listener, refused func(string)) *limitListener {
	return &limitListener{Listener: l, refused: refused, of: map[netip.Addr]int{}}
}

// Accept returns the next connection within the limits.
func (l *limitListener) Accept() (net.Conn, error) {
	for {
		c, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remoteAddr(c)
		if l.admit(from) {
			return &limitConn{Conn: c, release: sync.OnceFunc(func() { l.release(from) }), refused: l.refused}, nil
		}
		l.refused(refusedClients)
		// The few bytes fit into any send buffer: this does not wait for the client.
		if c.SetDeadline(moment().Add(refusalTime)) == nil {
			_, _ = c.Write([]byte(tooMany)) // who does not take it is refused all the same
		}
		_ = c.Close() // nothing of ours hangs on it
	}
}

// remoteAddr is the zero address for a unix socket, where all callers count as one each.
func remoteAddr(c net.Conn) netip.Addr {
	at, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

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

// limitConn gives its place back, and sees what net/http refuses without asking a handler.
type limitConn struct {
	net.Conn
	release func()
	refused func(reason string)

	mu       sync.Mutex
	answered bool
}

// Close gives the place back.
func (c *limitConn) Close() error {
	c.release()
	return c.Conn.Close()
}

// Read counts who does not finish the first request in time.
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

// Write counts the answers that net/http gives by itself (server.go, conn.serve).
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
