// SPDX-License-Identifier: Apache-2.0

package control

import (
	"io/fs"
	"net"
	"sync"
	"time"
)

// refusal is told to a client beyond the limit, without reading its request.
const refusal = "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" +
	`{"error":{"code":"busy","message":"too many clients on the control socket: end some of them and try again"}}` + "\n"

// listener accepts up to a limit and knows who each connection is from.
type listener struct {
	*net.UnixListener
	path string
	file fs.FileInfo

	mu               sync.Mutex
	readers, writers int
}

func newListener(l *net.UnixListener, path string) *listener {
	return &listener{UnixListener: l, path: path}
}

// Accept returns the next connection within the limits.
func (l *listener) Accept() (net.Conn, error) {
	for {
		c, err := l.AcceptUnix()
		if err != nil {
			return nil, err
		}
		caller, err := peerCaller(c)
		if err != nil { // then it is nobody, who may read
			caller = nobody()
		}
		if release, ok := l.admit(caller.mayWrite()); ok {
			return &peerConn{UnixConn: c, caller: caller, release: release}, nil
		}
		// A fresh connection's buffer is empty, so the write does not block; the
		// deadline is for the day that is not so.
		if c.SetWriteDeadline(time.Now().Add(100*time.Millisecond)) == nil {
			_, _ = c.Write([]byte(refusal)) // a client that is gone needs no refusal
		}
		_ = c.Close() // nothing of ours hangs on it
	}
}

// admit counts a connection in. Writers fill the common places first and have some
// of their own beyond.
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
}

// Close gives the place back.
func (c *peerConn) Close() error {
	c.release()
	return c.UnixConn.Close()
}
