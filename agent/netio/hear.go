// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"vipd/agent/wire"
)

// Hear passes the frames of IP protocol 112 (CARP and VRRP) that arrive on an interface to heard, until ctx ends. It
// sends nothing: the interface's filter lets both multicast groups pass for as long, but no membership is reported.
func Hear(ctx context.Context, link Link, heard func(frame []byte)) error {
	frames, errs := make(chan []byte), make(chan error, 2)
	families := []struct {
		etherType uint16
		protocol  uint32 // offset of the protocol in the frame
		group     netip.Addr
	}{{unix.ETH_P_IP, 23, wire.MulticastV4}, {unix.ETH_P_IPV6, 20, wire.MulticastV6}}
	for _, family := range families {
		f, closeSocket, err := OpenRaw(ctx, unix.AF_PACKET, 0)
		if err != nil {
			return err
		}
		defer closeSocket()
		if err := OnSocket(f, func(fd int) error {
			return tune(fd, link.Index, family.etherType, family.protocol, wire.MulticastMAC(family.group))
		}); err != nil {
			return fmt.Errorf("listen on %s: %w", link.Name, err)
		}
		go func() { errs <- readFrames(ctx, f, frames) }()
	}
	for ended := 0; ended < len(families); {
		select {
		case frame := <-frames:
			heard(frame)
		case err := <-errs:
			if err != nil && ctx.Err() == nil {
				return fmt.Errorf("listen on %s: %w", link.Name, err)
			}
			ended++
		}
	}
	return nil
}

// tune sets the filter before the socket is bound: nothing else is ever queued.
func tune(fd, ifindex int, etherType uint16, protocol uint32, group [6]byte) error {
	const otherHost = 3 // PACKET_OTHERHOST: a frame of a VLAN without a device
	filter := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: packetType},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: otherHost, Jt: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: protocol},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: protocol112, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: 2048},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	program := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &program); err != nil {
		return err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Ifindex: ifindex, Protocol: networkOrder(etherType)}); err != nil {
		return err
	}
	member := unix.PacketMreq{Ifindex: int32(ifindex), Type: unix.PACKET_MR_MULTICAST, Alen: 6}
	copy(member.Address[:], group[:])
	return unix.SetsockoptPacketMreq(fd, unix.SOL_PACKET, unix.PACKET_ADD_MEMBERSHIP, &member)
}

const (
	protocol112 = 112
	packetType  = 0xfffff000 + 4 // SKF_AD_OFF + SKF_AD_PKTTYPE
)

func readFrames(ctx context.Context, f *os.File, frames chan<- []byte) error {
	for {
		buf := make([]byte, 2048)
		n, err := f.Read(buf)
		if err != nil {
			return err
		}
		select {
		case frames <- buf[:n]:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
