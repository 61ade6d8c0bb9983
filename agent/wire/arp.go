// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
)

// ARP operations.
const (
	ARPRequest uint16 = 1
	ARPReply   uint16 = 2
)

// ARPFrameSize is the length of an ARP frame for IPv4 over Ethernet, without padding.
const ARPFrameSize = etherSize + arpSize

const (
	arpSize         = 28
	arpEthernet     = 1
	arpHardwareSize = 6
	arpProtocolSize = 4
)

// ARP is an ARP message for IPv4 over Ethernet (RFC 826).
type ARP struct {
	Op        uint16
	SenderMAC [6]byte
	SenderIP  netip.Addr
	TargetMAC [6]byte
	TargetIP  netip.Addr
}

// Gratuitous reports whether sender and target address are the same.
func (a ARP) Gratuitous() bool { return a.SenderIP == a.TargetIP }

// ARPFrame is an ARP message with the Ethernet addresses of its frame.
type ARPFrame struct {
	SrcMAC, DstMAC [6]byte
	ARP
}

// AppendARP appends an Ethernet frame with a. Error: ErrFamily if an address is not IPv4.
func AppendARP(b []byte, a ARP, srcMAC, dstMAC [6]byte) ([]byte, error) {
	senderIP, targetIP := a.SenderIP.Unmap(), a.TargetIP.Unmap()
	if !senderIP.Is4() || !targetIP.Is4() {
		return b, fmt.Errorf("build arp for %v and %v: %w, ipv4 only", a.SenderIP, a.TargetIP, ErrFamily)
	}
	b = appendEther(b, dstMAC, srcMAC, etherTypeARP)
	b = binary.BigEndian.AppendUint16(b, arpEthernet)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv4)
	b = append(b, arpHardwareSize, arpProtocolSize)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(b, a.SenderMAC[:]...)
	b = append(b, senderIP.AsSlice()...)
	b = append(b, a.TargetMAC[:]...)
	return append(b, targetIP.AsSlice()...), nil
}

// ParseARP parses an untagged frame, with or without padding. Errors: ErrShort, ErrProtocol (another
// EtherType, or not IPv4 over Ethernet).
func ParseARP(frame []byte) (ARPFrame, error) {
	if len(frame) < ARPFrameSize {
		return ARPFrame{}, fmt.Errorf("parse arp frame of %d bytes: %w", len(frame), ErrShort)
	}
	if t := binary.BigEndian.Uint16(frame[12:]); t != etherTypeARP {
		return ARPFrame{}, fmt.Errorf("parse arp frame of type %#04x: %w", t, ErrProtocol)
	}
	b := frame[etherSize:]
	if binary.BigEndian.Uint16(b) != arpEthernet || binary.BigEndian.Uint16(b[2:]) != etherTypeIPv4 ||
		b[4] != arpHardwareSize || b[5] != arpProtocolSize {
		return ARPFrame{}, fmt.Errorf("parse arp for other than ipv4 over ethernet: %w", ErrProtocol)
	}
	return ARPFrame{
		DstMAC: [6]byte(frame[:6]),
		SrcMAC: [6]byte(frame[6:12]),
		ARP: ARP{
			Op:        binary.BigEndian.Uint16(b[6:]),
			SenderMAC: [6]byte(b[8:14]),
			SenderIP:  netip.AddrFrom4([4]byte(b[14:18])),
			TargetMAC: [6]byte(b[18:24]),
			TargetIP:  netip.AddrFrom4([4]byte(b[24:28])),
		},
	}, nil
}

// GratuitousARP returns the frame that announces an IPv4 VIP, or nil if the VIP is not IPv4: a broadcast
// request with the virtual MAC as sender and, unlike FreeBSD's, also as Ethernet source, so that switches
// learn its port at once. The target MAC is zero.
func GratuitousARP(vhid uint8, vip netip.Addr) []byte {
	mac := VirtualMAC(vhid)
	a := ARP{Op: ARPRequest, SenderMAC: mac, SenderIP: vip, TargetIP: vip}
	frame, err := AppendARP(make([]byte, 0, ARPFrameSize), a, mac, Broadcast)
	if err != nil {
		return nil
	}
	return frame
}
