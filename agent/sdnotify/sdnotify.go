// SPDX-License-Identifier: Apache-2.0

// Package sdnotify reports the daemon's state to systemd (sd_notify(3)). It never blocks: the election
// loop itself feeds the watchdog, so that systemd restarts a hung loop, and a hung systemd must not
// block the loop. go-systemd's daemon.SdNotify can block when the socket's buffer is full.
package sdnotify

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// States to send.
const (
	Ready    = "READY=1"
	Stopping = "STOPPING=1"
	Alive    = "WATCHDOG=1"
)

// Status returns the state that sets the line in `systemctl status`.
func Status(text string) string {
	return "STATUS=" + strings.ReplaceAll(text, "\n", " ")
}

// Reloading returns the state that begins a reload; [Ready] ends it.
func Reloading() string {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return "RELOADING=1"
	}
	return "RELOADING=1\nMONOTONIC_USEC=" + strconv.FormatInt(ts.Nano()/1000, 10)
}

// Notifier sends states to systemd. A nil Notifier is a no-op.
type Notifier struct {
	fd       int
	to       unix.Sockaddr
	watchdog time.Duration
}

// FromEnvironment reads $NOTIFY_SOCKET, $WATCHDOG_USEC and $WATCHDOG_PID. It returns nil if there is no
// $NOTIFY_SOCKET.
func FromEnvironment(getenv func(string) string) (*Notifier, error) {
	path := getenv("NOTIFY_SOCKET")
	if path == "" {
		return nil, nil //nolint:nilnil // a nil Notifier is a no-op
	}
	if path[0] != '/' && path[0] != '@' {
		return nil, fmt.Errorf("NOTIFY_SOCKET=%q is neither an absolute path nor an abstract name", path)
	}
	n := &Notifier{to: &unix.SockaddrUnix{Name: path}} // x/sys turns @ into the NUL of abstract names
	if usec := getenv("WATCHDOG_USEC"); usec != "" {
		u, err := strconv.ParseInt(usec, 10, 64)
		if err != nil || u <= 0 {
			return nil, fmt.Errorf("WATCHDOG_USEC=%q is not a positive number", usec)
		}
		if pid := getenv("WATCHDOG_PID"); pid == "" || pid == strconv.Itoa(os.Getpid()) {
			n.watchdog = time.Duration(u) * time.Microsecond
		}
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("cannot open a socket for systemd: %w", err)
	}
	n.fd = fd
	return n, nil
}

// Watchdog returns the longest time between two [Alive]; 0 without a watchdog.
func (n *Notifier) Watchdog() time.Duration {
	if n == nil {
		return 0
	}
	return n.watchdog
}

// Send sends states. It does not wait: EAGAIN means that systemd does not read.
func (n *Notifier) Send(states ...string) error {
	if n == nil {
		return nil
	}
	err := unix.Sendto(n.fd, []byte(strings.Join(states, "\n")), unix.MSG_NOSIGNAL|unix.MSG_DONTWAIT, n.to)
	if err != nil {
		return fmt.Errorf("cannot notify systemd: %w", err)
	}
	return nil
}

// Close closes the socket. Send must not be called afterwards.
func (n *Notifier) Close() error {
	if n == nil {
		return nil
	}
	return unix.Close(n.fd)
}
