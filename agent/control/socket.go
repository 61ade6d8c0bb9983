// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net"
	"net/http"
)

// Socket is a unix socket for another server with what the control socket has: its file
// mode and group, its limits, and the credentials of whoever connects.
type Socket struct{ listener *listener }

// ListenSocket makes the socket. Warnings are as those of [Server.Warnings].
func ListenSocket(path, group string) (*Socket, []string, error) {
	l, warnings, err := listen(path, group)
	if err != nil {
		return nil, nil, err
	}
	return &Socket{l}, warnings, nil
}

// Accept implements [net.Listener].
func (s *Socket) Accept() (net.Conn, error) { return s.listener.Accept() }

// Addr implements [net.Listener].
func (s *Socket) Addr() net.Addr { return s.listener.Addr() }

// Close ends Accept and takes the file away if it is still ours. Closing again is no error.
func (s *Socket) Close() error {
	err := s.listener.Close()
	if err != nil {
		return err
	}
	return s.listener.remove()
}

// MayWrite says whether a connection that Accept returned is from somebody who may change
// the node: root or the daemon's own user.
func (s *Socket) MayWrite(c net.Conn) bool {
	pc, ok := c.(*peerConn)
	return ok && pc.caller.mayWrite()
}

// Follow is for [http.Server.ConnState]: where every place is taken, one who may write gets
// that of the client that has had the server wait longest.
func (s *Socket) Follow(c net.Conn, state http.ConnState) { s.listener.follow(c, state) }

// Await is to be called before a request's body is read, and its result afterwards: when
// that is false, somebody else has the place and the request must do nothing.
func (s *Socket) Await(c net.Conn) (arrived func() bool) {
	pc, ok := c.(*peerConn)
	if !ok {
		return func() bool { return true }
	}
	return s.listener.await(pc)
}
