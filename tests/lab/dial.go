// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// NetNS returns the path of the host's network namespace, for nsenter.
func (h *Host) NetNS() string { return "/run/netns/" + h.lab.name + "-" + h.Name }

// Dial opens TCP connections from the host, all on one thread in its namespace. Those that were opened before an error
// are given back with it.
func (h *Host) Dial(to netip.AddrPort, connections int) ([]net.Conn, error) {
	var out []net.Conn
	err := h.Within(func() error {
		for range connections {
			c, err := dial(to)
			if err != nil {
				return fmt.Errorf("connect from %s to %s: %w", h.Name, to, err)
			}
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// dial uses a plain socket made on this very thread: net would make it on another one.
func dial(to netip.AddrPort) (net.Conn, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "tcp")
	defer file.Close()
	if err := unix.Connect(fd, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}); err != nil {
		return nil, err
	}
	return net.FileConn(file)
}
