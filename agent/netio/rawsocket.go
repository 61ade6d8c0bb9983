// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// OpenRaw opens a raw socket whose reads and writes end with the context. The returned function
// closes it.
func OpenRaw(ctx context.Context, family, protocol int) (*os.File, func(), error) {
	fd, err := unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, protocol)
	if err != nil {
		if errors.Is(err, unix.EPERM) {
			return nil, nil, fmt.Errorf("open raw socket: %w; run vipd as root or with CAP_NET_RAW", err)
		}
		return nil, nil, fmt.Errorf("open raw socket: %w", err)
	}
	f := os.NewFile(uintptr(fd), "raw socket")
	stop := context.AfterFunc(ctx, func() {
		_ = f.SetDeadline(time.Unix(1, 0)) // fails only if the file is closed
	})
	return f, func() {
		stop()
		f.Close()
	}, nil
}

// OnSocket runs a system call on the file's descriptor.
func OnSocket(f *os.File, do func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := raw.Control(func(fd uintptr) { inner = do(int(fd)) }); err != nil {
		return err
	}
	return inner
}

// ListenARP binds a packet socket to ARP on an interface. The protocol is set with the interface:
// before, the socket would receive from all interfaces.
func ListenARP(f *os.File, ifindex int) error {
	arp := &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: networkOrder(unix.ETH_P_ARP)}
	return OnSocket(f, func(fd int) error { return unix.Bind(fd, arp) })
}

func networkOrder(v uint16) uint16 { return v<<8 | v>>8 }
