// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"

	"golang.org/x/sys/unix"
)

// Restart is the answer to POST /v1/restart.
type Restart struct {
	// PID is that of the daemon that exits.
	PID int `json:"pid"`
}

// TakeOver is what `vipd --takes-over` prints. It is not part of the control API: the installed vipd, which may be
// another than the running one, says it of itself.
type TakeOver struct {
	TakesOver bool `json:"takes_over"`
	// Why is why it could not continue in the roles of the running vipd.
	Why string `json:"why,omitempty"`
}

// Restart makes the daemon leave without a goodbye, with addresses and pins in place for the next one. It returns
// before the daemon has left. The supervisor starts the next one.
func (c *Client) Restart(ctx context.Context) (Restart, error) {
	return call[Restart](ctx, c, http.MethodPost, "/v1/restart")
}

// DaemonPID returns the process that listens on the socket, as reported by the kernel; 0 if it is in another pid
// namespace.
func (c *Client) DaemonPID(ctx context.Context) (int, error) {
	conn, err := (&net.Dialer{Timeout: defaultTimeout}).DialContext(ctx, "unix", c.socket())
	if err != nil {
		return 0, c.explain(err)
	}
	defer conn.Close()
	u, ok := conn.(*net.UnixConn)
	if !ok {
		return 0, errors.New("not a unix socket")
	}
	raw, err := u.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("read peer credentials: %w", err)
	}
	var cred *unix.Ucred
	var credErr error
	err = raw.Control(func(fd uintptr) {
		cred, credErr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	})
	if err = errors.Join(err, credErr); err != nil {
		return 0, fmt.Errorf("read peer credentials: %w", err)
	}
	return int(cred.Pid), nil
}
