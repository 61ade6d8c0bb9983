// SPDX-License-Identifier: Apache-2.0

package control

import (
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// refuseTimeout is the time for a client over the limit to read its refusal. maxRefusing are
	// refused at once; further ones are disconnected.
	refuseTimeout = time.Second
	maxRefusing   = 16
)

// refusal is the answer to a client over the limit, whatever it requests.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"error":{"code":"busy","message":"too many clients on the control socket: end some of them and try again"}}` + "\n"

// listener accepts connections up to a limit, with the user of each.
type listener struct {
	*net.UnixListener
	path string
	file *os.File

	refusing chan struct{} // one element per refusal in progress
	refusals sync.WaitGroup

	mu               sync.Mutex
	readers, writers int
	waiting          []*peerConn // connections whose clients the server waits for, the longest first
}

func newListener(l *net.UnixListener, path string) *listener {
	return &listener{UnixListener: l, path: path, refusing: make(chan struct{}, maxRefusing)}
}

// Accept returns the next connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		caller, err := peerCaller(c)
		if err != nil { // an unknown user may read
			caller = nobody()
		}
		release, ok := l.admit(caller.mayWrite())
		if !ok && caller.mayWrite() && l.evict() {
			release, ok = l.admit(true)
		}
		if ok {
			return &peerConn{UnixConn: c, caller: caller, release: release}, nil
		}
		l.refuse(c)
	}
}

// refuse answers with the refusal and closes. It waits for the request, since an earlier answer
// confuses HTTP clients, and reads to the end: closing a unix socket with unread bytes resets it, and
// the refusal is lost.
func (l *listener) refuse(c *net.UnixConn) {
	select {
	case l.refusing <- struct{}{}:
	default:
		_ = c.Close() // nothing depends on it
		return
	}
	l.refusals.Go(func() {
		defer func() { <-l.refusing }()
		defer func() { _ = c.Close() }() // nothing depends on it
		if c.SetDeadline(time.Now().Add(refuseTimeout)) != nil {
			return
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			return
		}
		if _, err := c.Write([]byte(refusal)); err != nil || c.CloseWrite() != nil {
			return
		}
		_, _ = io.Copy(io.Discard, io.LimitReader(c, maxBodyBytes)) // until EOF, deadline or limit
	})
}

// Close ends Accept and waits for the refusals.
func (l *listener) Close() error {
	err := l.UnixListener.Close()
	l.refusals.Wait()
	return err
}

// admit counts a connection if there is room. Users who may write have reservedClients more places.
func (l *listener) admit(writer bool) (release func(), ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	count, limit := &l.readers, maxClients
	if writer {
		count, limit = &l.writers, maxClients+reservedClients
	}
	if l.readers+l.writers >= limit {
		return nil, false
	}
	*count++
	return sync.OnceFunc(func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		*count--
	}), true
}

type peerConn struct {
	*net.UnixConn
	caller  Caller
	release func()
	evicted atomic.Bool // no further request may begin
}

// Close releases the connection's place.
func (c *peerConn) Close() error {
	c.release()
	return c.UnixConn.Close()
}
