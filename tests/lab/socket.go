// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

const (
	receiveBuffer = 32 << 20
	receiveWait   = 50 * time.Millisecond // how long a closed socket's reader takes to notice
)

// socketIn opens a socket that belongs to the host's namespace, with kernel receive time stamps and a short receive
// time-out, so that its reader can be told to end.
func (h *Host) socketIn(domain, kind, proto int) (int, error) {
	fd := -1
	err := h.Within(func() error {
		var err error
		if fd, err = unix.Socket(domain, kind|unix.SOCK_CLOEXEC, proto); err != nil {
			return fmt.Errorf("open socket on %s: %w", h.Name, err)
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer); err != nil {
			return fmt.Errorf("set receive buffer: %w", err)
		}
		if err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
			return fmt.Errorf("ask for time stamps: %w", err)
		}
		wait := unix.NsecToTimeval(receiveWait.Nanoseconds())
		if err = unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &wait); err != nil {
			return fmt.Errorf("set receive time-out: %w", err)
		}
		return nil
	})
	if err != nil && fd >= 0 {
		unix.Close(fd)
	}
	return fd, err
}

// packetSocket returns an AF_PACKET socket bound to one interface and EtherType.
func (h *Host) packetSocket(ifname string, etherType uint16) (int, error) {
	h.lab.Helper()
	// Protocol 0 until bound: otherwise frames of every interface are queued first.
	fd, err := h.socketIn(unix.AF_PACKET, unix.SOCK_RAW, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType), Ifindex: h.IfIndex(ifname)}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("bind to %s of %s: %w", ifname, h.Name, err)
	}
	return fd, nil
}

// stamp returns the kernel's receive time out of a message's control data; the time of asking when there is none.
func stamp(oob []byte) time.Time {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err == nil {
		for _, m := range messages {
			if m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SO_TIMESTAMPNS && len(m.Data) >= 16 {
				return time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
			}
		}
	}
	return time.Now().Round(0)
}

func htons(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}
