// SPDX-License-Identifier: Apache-2.0

package control

import "net"

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
