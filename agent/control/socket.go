// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net"
	"net/http"
)

// Socket is a unix socket for another server, with the file mode, group, limits and peer credentials of
// the control socket.
type Socket struct{ listener *listener }

// ListenSocket creates the socket and returns warnings as [Server.Warnings] does.
func ListenSocket(path, group string) (*Socket, []string, error) {
	l, warnings, err := pageSocket().listen(path, group)
	if err != nil {
		return nil, nil, err
	}
	return &Socket{l}, warnings, nil
}

// Accept implements [net.Listener].
func (s *Socket) Accept() (net.Conn, error) { return s.listener.Accept() }

// Addr implements [net.Listener].
func (s *Socket) Addr() net.Addr { return s.listener.Addr() }

// Close ends Accept and removes the file if it is still ours. It is not an error to close it again.
func (s *Socket) Close() error {
	err := s.listener.Close()
	if err != nil {
		return err
	}
	return s.listener.remove()
}

// MayWrite reports whether a connection that Accept returned is from a user who may change the node:
// root or the daemon's own user.
func (s *Socket) MayWrite(c net.Conn) bool {
	pc, ok := c.(*peerConn)
	return ok && pc.caller.mayWrite()
}

// Follow is for [http.Server.ConnState]. With it a user who may write replaces a client that hangs if all
// connections are taken.
func (s *Socket) Follow(c net.Conn, state http.ConnState) { s.listener.follow(c, state) }

// Await must be called before a request's body is read, and its result afterwards: if that is false, the
// connection was replaced and the request must do nothing.
func (s *Socket) Await(c net.Conn) (arrived func() bool) {
	pc, ok := c.(*peerConn)
	if !ok {
		return func() bool { return true }
	}
	return s.listener.await(pc)
}
