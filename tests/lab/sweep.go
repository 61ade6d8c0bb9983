// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// sweepPart is how many questions are sent before answers are read: a veth takes a thousand frames at once.
	sweepPart = 128
	// sweepAgain is when a question is asked again that was not answered.
	sweepAgain = 20 * time.Millisecond
)

// Sweep sends a frame for each of many addresses from the port, again and again until all have answered or the time is
// over. It returns when the first answer of each address came, by the kernel's stamp. answers returns the address that
// a frame answers for.
func (p *Port) Sweep(
	questions map[netip.Addr][]byte, answers func(Frame) (netip.Addr, bool), timeout time.Duration,
) map[netip.Addr]time.Time {
	l := p.Host.lab
	l.Helper()
	fd, err := p.Host.packetSocket(p.IfName, unix.ETH_P_ALL)
	l.check(err, "listen at %s", p.Name)
	defer unix.Close(fd)
	i := p.Injector()
	defer i.close()
	answered := make(map[netip.Addr]time.Time, len(questions))
	buf, oob := make([]byte, 2048), make([]byte, 256)
	read := func() {
		for {
			n, oobn, _, from, err := unix.Recvmsg(fd, buf, oob, unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if ll, ok := from.(*unix.SockaddrLinklayer); !ok || ll.Pkttype == unix.PACKET_OUTGOING {
				continue
			}
			f := Frame{At: stamp(oob[:oobn]), Data: buf[:n]}
			addr, ok := answers(f)
			if _, asked := questions[addr]; !ok || !asked {
				continue
			}
			if _, had := answered[addr]; !had {
				answered[addr] = f.At
			}
		}
	}
	for end := time.Now().Add(timeout); len(answered) < len(questions) && time.Now().Before(end); {
		again, n := time.Now().Add(sweepAgain), 0
		for addr, question := range questions {
			if _, has := answered[addr]; has {
				continue
			}
			i.Send(question)
			if n++; n%sweepPart == 0 {
				time.Sleep(time.Millisecond)
				read()
			}
		}
		for time.Now().Before(again) && len(answered) < len(questions) {
			time.Sleep(time.Millisecond)
			read()
		}
	}
	return answered
}

// EchoRequest builds an ICMP echo request, of the family of the target.
func EchoRequest(srcMAC, dstMAC [6]byte, src, dst netip.Addr) []byte {
	echo := []byte{8, 0, 0, 0, 0x76, 0x31, 0, 1, 1, 2, 3, 4}
	b := append(dstMAC[:], srcMAC[:]...)
	if dst.Is4() {
		binary.BigEndian.PutUint16(echo[2:], Checksum(echo))
		ip := []byte{0x45, 0, 0, byte(20 + len(echo)), 0, 0, 0, 0, 64, 1, 0, 0}
		ip = append(append(ip, src.AsSlice()...), dst.AsSlice()...)
		binary.BigEndian.PutUint16(ip[10:], Checksum(ip))
		b = binary.BigEndian.AppendUint16(b, unix.ETH_P_IP)
		return append(append(b, ip...), echo...)
	}
	echo[0] = 128
	return append(b, ipv6(src, dst, 64, echo)...)
}

// IsEchoReply returns the address from which an echo reply comes.
func IsEchoReply(f Frame) (netip.Addr, bool) {
	src, _, proto, _, payload, ok := f.IP()
	if !ok || len(payload) < 1 {
		return netip.Addr{}, false
	}
	return src, proto == unix.IPPROTO_ICMP && payload[0] == 0 || proto == ProtoICMPv6 && payload[0] == 129
}

// NeighbourSolicitation builds a solicitation to the solicited-node group of the target.
func NeighbourSolicitation(srcMAC [6]byte, src, target netip.Addr) []byte {
	of := target.As16()
	group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: of[13], 14: of[14], 15: of[15]})
	ns := append([]byte{NDSolicitation, 0, 0, 0, 0, 0, 0, 0}, of[:]...)
	ns = append(append(ns, 1, 1), srcMAC[:]...)
	b := append([]byte{0x33, 0x33, 0xff, of[13], of[14], of[15]}, srcMAC[:]...)
	return append(b, ipv6(src, group, 255, ns)...)
}

// IsAnswer returns the address that an ARP reply, or a neighbour advertisement that was asked for, is about.
func IsAnswer(f Frame) (netip.Addr, bool) {
	if a, ok := f.ARP(); ok {
		return a.SenderIP, a.Op == 2
	}
	n, ok := f.ND()
	return n.Target, ok && n.Type == NDAdvertisement && n.Solicited
}

// ipv6 builds the EtherType and a packet with an ICMPv6 message, whose checksum it fills in.
func ipv6(src, dst netip.Addr, hops byte, message []byte) []byte {
	pseudo := append(append([]byte{}, src.AsSlice()...), dst.AsSlice()...)
	pseudo = append(pseudo, 0, 0, 0, byte(len(message)), 0, 0, 0, ProtoICMPv6)
	binary.BigEndian.PutUint16(message[2:], Checksum(append(pseudo, message...)))
	b := binary.BigEndian.AppendUint16(nil, unix.ETH_P_IPV6)
	b = append(b, 0x60, 0, 0, 0, 0, byte(len(message)), ProtoICMPv6, hops)
	b = append(append(b, src.AsSlice()...), dst.AsSlice()...)
	return append(b, message...)
}
