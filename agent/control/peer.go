// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Caller is who opened a connection, as the kernel saw it then (SO_PEERCRED).
type Caller struct {
	UID, GID uint32
	PID      int32
}

// mayWrite is root and the daemon's own user. Whoever else can open the socket reads.
func (c Caller) mayWrite() bool {
	return c.UID == 0 || int(c.UID) == os.Geteuid()
}

// nobody may read only; it stands for a connection without credentials.
func nobody() Caller { return Caller{UID: ^uint32(0), GID: ^uint32(0)} }

type callerKey struct{}

func withCaller(ctx context.Context, c Caller) context.Context {
	return context.WithValue(ctx, callerKey{}, c)
}

func callerOf(ctx context.Context) Caller {
	if c, ok := ctx.Value(callerKey{}).(Caller); ok {
		return c
	}
	return nobody()
}

func peerCaller(c *net.UnixConn) (Caller, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nobody(), fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err == nil {
		err = credErr
	}
	if err != nil {
		return nobody(), fmt.Errorf("read peer credentials: %w", err)
	}
	return Caller{UID: cred.Uid, GID: cred.Gid, PID: cred.Pid}, nil
}
