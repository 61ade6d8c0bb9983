// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"fmt"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// Caller is the user who opened a connection, as the kernel reports it (SO_PEERCRED).
type Caller struct {
	UID, GID uint32
	PID      int32
}

// mayWrite reports whether the caller is root or the daemon's own user. Others may read.
func (c Caller) mayWrite() bool {
	return c.UID == 0 || int(c.UID) == os.Geteuid()
}

// nobody is the caller of a connection without credentials; it may only read.
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
