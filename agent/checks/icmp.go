// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"vipd/agent/netio"
	"vipd/agent/wire"
)

// Echo messages of RFC 792 and RFC 4443.
const (
	echoRequest4 = 8
	echoReply4   = 0
	echoRequest6 = 128
	echoReply6   = 129
	echoSize     = 8
)

// icmpProbe passes if an address answers an echo request, which is sent from the named interface, if
// any.
func icmpProbe(target, ifname string) Probe {
	var runs uint16 // a probe is never called concurrently
	return func(ctx context.Context) error {
		runs++
		dst, err := netip.ParseAddr(target)
		if err != nil {
			return err
		}
		family, protocol := unix.AF_INET6, unix.IPPROTO_ICMPV6
		if dst.Is4() {
			family, protocol = unix.AF_INET, unix.IPPROTO_ICMP
		}
		f, closeSocket, err := netio.OpenRaw(ctx, family, protocol)
		if err != nil {
			return err
		}
		defer closeSocket()
		if err := connectTo(f, dst, ifname); err != nil {
			return err
		}
		question := echoRequest(dst, uint16(os.Getpid()), runs)
		return exchange(f, question, func(answer []byte) bool { return echoAnswers(dst, question, answer) })
	}
}

// connectTo restricts the socket to answers and errors of one address.
func connectTo(f *os.File, dst netip.Addr, ifname string) error {
	return netio.OnSocket(f, func(fd int) error {
		if ifname != "" {
			if err := unix.BindToDevice(fd, ifname); err != nil {
				return fmt.Errorf("use interface %s: %w", ifname, err)
			}
		}
		if dst.Is4() {
			return unix.Connect(fd, &unix.SockaddrInet4{Addr: dst.As4()})
		}
		return unix.Connect(fd, &unix.SockaddrInet6{Addr: dst.As16()})
	})
}

// echoRequest returns an echo request. The kernel fills in the checksum for IPv6.
func echoRequest(dst netip.Addr, id, seq uint16) []byte {
	b := make([]byte, echoSize, echoSize+16)
	b[0] = echoRequest6
	if dst.Is4() {
		b[0] = echoRequest4
	}
	binary.BigEndian.PutUint16(b[4:], id)
	binary.BigEndian.PutUint16(b[6:], seq)
	b = append(b, "vipd check"...)
	if dst.Is4() {
		binary.BigEndian.PutUint16(b[2:], wire.Checksum(b))
	}
	return b
}

// echoAnswers reports whether a packet answers the question. Raw IPv4 sockets also return the IP
// header.
func echoAnswers(dst netip.Addr, question, answer []byte) bool {
	reply := byte(echoReply6)
	if dst.Is4() {
		reply = echoReply4
		if len(answer) < 20 {
			return false
		}
		header := int(answer[0]&0x0f) * 4
		if header < 20 || len(answer) < header {
			return false
		}
		answer = answer[header:]
	}
	return len(answer) >= echoSize && answer[0] == reply && answer[1] == 0 && bytes.Equal(answer[4:], question[4:])
}
