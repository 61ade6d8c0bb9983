// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/tests/lab"

	"golang.org/x/sys/unix"
)

// attempt is one way to make a host send something whose source is a VIP.
type attempt struct {
	name string
	do   func(t *testing.T, h *lab.Host, port *lab.Port)
}

// Nothing whose source is a VIP leaves a BACKUP, whatever makes it: programs that bind the address or write packets and
// frames of their own, and the stack itself, which answers when the address was put on the interface. Of the MASTER all
// of that leaves, or the silence would prove nothing.
func TestNothingFromTheVIPLeavesABackup(t *testing.T) {
	t.Parallel()
	for _, egress := range []string{"tcx", "clsact"} {
		t.Run(egress, func(t *testing.T) {
			t.Parallel()
			p := newPairWith(t, []string{"/24", "/64"}, dualStack(0), dualStack(10))
			if egress == "clsact" {
				p.a.Env, p.b.Env = []string{"VIPD_EGRESS=clsact"}, []string{"VIPD_EGRESS=clsact"}
			}
			fromA, fromB := p.portA.Sniff(), p.portB.Sniff()
			p.startNaturally()
			// Each host knows the client first: later its stack might ask for it from the VIP, in vain.
			for n, own := range map[*lab.Node][2]netip.Addr{p.a: {addrA, addrA6}, p.b: {addrB, addrB6}} {
				p.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
					sendUDP(t, n.Host, own[0], addrClient)
					sendUDP6(t, n.Host, own[1], addrClient6)
					return n.Neighbour("eth0", addrClient) != "" &&
						n.Neighbour("eth0", addrClient6) != "", n.Name + " resolves the client"
				})
			}
			p.b.MustRun(toolTimeout, "ip", "route", "add", "local", vip.String(), "dev", "eth0")
			p.b.MustRun(toolTimeout, "ip", "-6", "route", "add", "local", vip6.String(), "dev", "eth0")
			p.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
				return len(fromA.Frames().FromHost().UnsolicitedNA(vip6)) == 3,
					"the MASTER has announced itself three times and sends no more unsolicited frames"
			})
			speaking := func(s *lab.Sniffer) lab.Frames {
				isAdvert := func(f lab.Frame) bool { _, ok := f.Advert(); return ok }
				all := s.Frames().FromHost()
				return slices.Concat(all.Speaking(vip, vmac), all.Speaking(vip6, vmac)).
					Where(func(f lab.Frame) bool { return !isAdvert(f) })
			}
			for _, try := range attempts(p) {
				before := len(speaking(fromA))
				p.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
					try.do(t, p.a.Host, p.portA)
					time.Sleep(5 * time.Millisecond)
					return len(speaking(fromA)) > before, "the MASTER lets out what is sent by " + try.name +
						": the test proves nothing"
				})
				for range 3 {
					try.do(t, p.b.Host, p.portB)
				}
				time.Sleep(20 * time.Millisecond)
				if spoken := speaking(fromB); len(spoken) > 0 {
					t.Fatalf("%s: a BACKUP spoke for the VIP:\n%v", try.name, spoken)
				}
			}
			m := p.b.Metrics()
			for _, reason := range []string{"egress_not_answering_arp", "egress_not_answering_ip", "egress_not_answering_nd"} {
				if n := metric(m, `vipd_frames_dropped_total{interface="eth0",reason="`+reason+`",vhid="1"}`); n < 3 {
					t.Errorf("%s counted %v times", reason, n)
				}
			}
		})
	}
}

func attempts(p *pair) []attempt {
	client := p.clientPort.MAC
	toHost := func(build func(mac [6]byte) []byte) func(*testing.T, *lab.Host, *lab.Port) {
		return func(_ *testing.T, _ *lab.Host, port *lab.Port) { p.clientPort.Injector().Send(build(port.MAC)) }
	}
	frame := func(build func(mac [6]byte) []byte) func(*testing.T, *lab.Host, *lab.Port) {
		return func(t *testing.T, h *lab.Host, port *lab.Port) { sendFrame(t, h, port.IfName, 0, build(port.MAC)) }
	}
	disguised := func(build func(mac [6]byte) []byte) func(*testing.T, *lab.Host, *lab.Port) {
		const experimental = 0xb588 // 0x88b5 in network order, on a little-endian machine; any will do
		return func(t *testing.T, h *lab.Host, port *lab.Port) {
			sendFrame(t, h, port.IfName, experimental, build(port.MAC))
		}
	}
	udp := []byte{0x30, 0, 0x30, 1, 0, 9, 0, 0, 1} // no checksum, port 12289 is closed
	return []attempt{
		{"a bound program", func(t *testing.T, h *lab.Host, _ *lab.Port) { sendUDP(t, h, vip, addrClient) }},
		{"a bound program, IPv6", func(t *testing.T, h *lab.Host, _ *lab.Port) { sendUDP6(t, h, vip6, addrClient6) }},
		{"a raw socket", func(t *testing.T, h *lab.Host, _ *lab.Port) {
			sendRaw(t, h, unix.AF_INET, ip4(vip, addrClient, 17, 0, udp), &unix.SockaddrInet4{Addr: addrClient.As4()})
		}},
		{"a raw socket, a fragment", func(t *testing.T, h *lab.Host, _ *lab.Port) {
			sendRaw(t, h, unix.AF_INET, ip4(vip, addrClient, 17, 100, udp), &unix.SockaddrInet4{Addr: addrClient.As4()})
		}},
		{"a raw socket, IPv6", func(t *testing.T, h *lab.Host, _ *lab.Port) {
			sendRaw(t, h, unix.AF_INET6, ip6(vip6, addrClient6, 59, 64, nil), &unix.SockaddrInet6{Addr: addrClient6.As16()})
		}},
		{"a raw socket, a fragment of IPv6", func(t *testing.T, h *lab.Host, _ *lab.Port) {
			sendRaw(t, h, unix.AF_INET6, ip6(vip6, addrClient6, 44, 64, append([]byte{17, 0, 0, 80, 0, 0, 0, 1}, udp...)),
				&unix.SockaddrInet6{Addr: addrClient6.As16()})
		}},
		{
			"a frame",
			frame(func(mac [6]byte) []byte { return ether(client, mac, lab.EtherIPv4, ip4(vip, addrClient, 17, 0, udp)) }),
		},
		{"a frame of IPv6", frame(func(mac [6]byte) []byte {
			return ether(client, mac, lab.EtherIPv6, ip6(vip6, addrClient6, 59, 64, nil))
		})},
		{
			"a frame that is said to be something else",
			disguised(func(mac [6]byte) []byte { return ether(client, mac, lab.EtherIPv4, ip4(vip, addrClient, 17, 0, udp)) }),
		},
		{
			"a frame of IPv6 that is said to be something else",
			disguised(func(mac [6]byte) []byte { return neighbourAdvert(mac, client, vip6, addrClient6) }),
		},
		{
			"ARP that is said to be something else",
			disguised(func(mac [6]byte) []byte { return arpReply(mac, client, vip, addrClient) }),
		},
		{"a request by ARP", frame(func(mac [6]byte) []byte { return lab.ARPRequest(mac, vip, addrClient) })},
		{"an answer by ARP", frame(func(mac [6]byte) []byte { return arpReply(mac, client, vip, addrClient) })},
		{"gratuitous ARP", frame(func(mac [6]byte) []byte { return lab.ARPRequest(mac, vip, vip) })},
		{
			"an advertisement of the VIP",
			frame(func(mac [6]byte) []byte { return neighbourAdvert(mac, client, vip6, addrClient6) }),
		},
		{
			"an advertisement of the VIP from another address",
			frame(func(mac [6]byte) []byte { return neighbourAdvert(mac, client, addrB6, addrClient6) }),
		},
		{"the stack: echo", toHost(func(mac [6]byte) []byte { return echoRequest(client, mac, addrClient, vip) })},
		{
			"the stack: a closed port",
			toHost(func(mac [6]byte) []byte { return ether(mac, client, lab.EtherIPv4, ip4(addrClient, vip, 17, 0, udp)) }),
		},
		{
			"the stack: an unknown protocol",
			toHost(func(mac [6]byte) []byte { return ether(mac, client, lab.EtherIPv4, ip4(addrClient, vip, 200, 0, udp)) }),
		},
		{"the stack: an unknown protocol over IPv6", toHost(func(mac [6]byte) []byte {
			return ether(mac, client, lab.EtherIPv6, ip6(addrClient6, vip6, 200, 64, udp))
		})},
	}
}

func ether(dst, src [6]byte, etherType uint16, packet []byte) []byte {
	return append(binary.BigEndian.AppendUint16(slices.Concat(dst[:], src[:]), etherType), packet...)
}

// ip4 returns an IPv4 packet, a later fragment if offset (in units of eight bytes) is not 0.
func ip4(src, dst netip.Addr, proto uint8, offset uint16, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x45, 0}, uint16(20+len(payload)))
	b = binary.BigEndian.AppendUint16(append(b, 0, 1), offset)
	b = slices.Concat(b, []byte{64, proto, 0, 0}, src.AsSlice(), dst.AsSlice())
	binary.BigEndian.PutUint16(b[10:], lab.Checksum(b))
	return append(b, payload...)
}

func ip6(src, dst netip.Addr, next, hops uint8, payload []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0x60, 0, 0, 0}, uint16(len(payload)))
	return slices.Concat(b, []byte{next, hops}, src.AsSlice(), dst.AsSlice(), payload)
}

func arpReply(mac, to [6]byte, sender, target netip.Addr) []byte {
	return ether(to, mac, lab.EtherARP,
		slices.Concat([]byte{0, 1, 8, 0, 6, 4, 0, 2}, mac[:], sender.AsSlice(), to[:], target.AsSlice()))
}

// neighbourAdvert returns an answer for the IPv6 VIP, from src.
func neighbourAdvert(mac, to [6]byte, src, dst netip.Addr) []byte {
	icmp := slices.Concat([]byte{lab.NDAdvertisement, 0, 0, 0, 0x60, 0, 0, 0}, vip6.AsSlice(), []byte{2, 1}, mac[:])
	pseudo := slices.Concat(src.AsSlice(), dst.AsSlice(), []byte{0, 0, 0, byte(len(icmp)), 0, 0, 0, lab.ProtoICMPv6}, icmp)
	binary.BigEndian.PutUint16(icmp[2:], lab.Checksum(pseudo))
	return ether(to, mac, lab.EtherIPv6, ip6(src, dst, lab.ProtoICMPv6, 255, icmp))
}

// sendRaw makes a program on the host send a packet with a header of its own.
func sendRaw(t *testing.T, h *lab.Host, domain int, packet []byte, to unix.Sockaddr) {
	t.Helper()
	if err := h.Within(func() error {
		fd, err := unix.Socket(domain, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.IPPROTO_RAW)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		_ = unix.Sendto(fd, packet, 0, to) // refused is what we hope for
		return nil
	}); err != nil {
		t.Fatalf("raw socket on %s: %v", h.Name, err)
	}
}

// sendFrame makes a program on the host send a frame of its own. It may say that it is of another type, in network
// order; 0: as the frame says.
func sendFrame(t *testing.T, h *lab.Host, ifname string, etherType uint16, frame []byte) {
	t.Helper()
	ifindex := h.IfIndex(ifname)
	if err := h.Within(func() error {
		fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		// refused is what we hope for
		_ = unix.Sendto(fd, frame, 0, &unix.SockaddrLinklayer{Protocol: etherType, Ifindex: ifindex, Halen: 6})
		return nil
	}); err != nil {
		t.Fatalf("packet socket on %s: %v", h.Name, err)
	}
}
