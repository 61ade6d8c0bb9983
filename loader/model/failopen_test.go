// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"

	"vipd/loader/tables"
)

// TestFailOpen: what is not ours passes untouched and uncounted, whatever its shape,
// while the group answers and while it does not; also in several buffers.
func TestFailOpen(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	big := func(n int) []byte { return make([]byte, n) }
	udp := func(o Packet) []byte {
		o.SrcMAC, o.Dst, o.TTL, o.Proto = PeerMAC, ownAddr, 64, 17
		if o.DstMAC == ([6]byte{}) {
			o.DstMAC = NICMAC
		}
		return o.Bytes()
	}
	frames := map[string][]byte{
		"ordinary":              udp(Packet{Payload: big(64)}),
		"options":               udp(Packet{Payload: big(64), options: big(40)}),
		"first fragment":        udp(Packet{Payload: big(64), frag: 0x2000}),
		"later fragment":        udp(Packet{Payload: big(64), frag: 0x0100}),
		"fragment of an advert": Packet{Payload: Advert(1, 0, 0, 7).bytes(), frag: 0x2000}.Bytes(),
		"destination options": Packet6{
			DstMAC:  NICMAC,
			Dst:     ownAddr6,
			Next:    60,
			Payload: append([]byte{58, 0, 5, 2, 0, 0, 1, 0}, big(24)...),
		}.Bytes(),
		"unknown type":    append(eth(NICMAC, PeerMAC, 0x88b5), big(50)...),
		"length, no type": append(eth(NICMAC, PeerMAC, 38), big(38)...),
		"header alone":    eth(NICMAC, PeerMAC, 0x0800),
		"multicast":       Packet{Dst: carpGroup, DstMAC: carpGroupMAC, Proto: 17, Payload: big(20)}.Bytes(),
		"lldp":            append(eth([6]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, PeerMAC, 0x88cc), big(60)...),
	}
	jumbo := features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil
	if jumbo {
		frames["jumbo"] = udp(Packet{Payload: big(8960)})
		frames["jumbo, tagged"] = withTags(udp(Packet{Payload: big(8960)}), 0x8100<<16|7)
	}
	for _, state := range []string{"backup", "master"} {
		for name, f := range frames {
			h.Expect(state+": "+name, f, Want{Verdict: XDPPass})
		}
		h.Master(1)
	}
	if !jumbo {
		t.Skip("no frames in several buffers before Linux 5.18")
	}
	f := udp(Packet{DstMAC: VMAC(1), Payload: big(8960)})
	h.Expect("jumbo to the virtual MAC", f, Want{
		Verdict: XDPPass,
		Frame:   slices.Concat(NICMAC[:], f[6:]),
		Counts:  map[string]uint64{"packets": 1, "bytes": uint64(len(f))},
	})
	// An advert whose tail is padded beyond the first buffer is judged by its own length.
	padded := append(FrameOf(DualAdvert(1, 200, 0, 7)), big(6000)...)
	h.Group.SetSentPriority(tables.Priority{})
	h.Expect("advert, padded", padded, Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	asked := append(ARPFor("192.0.2.1").Bytes(), big(6000)...)
	reply := append(arpReply(ARPFor("192.0.2.1").Bytes()), big(6000)...)
	h.Expect("request, padded", asked, Want{Verdict: XDPTX, Frame: reply, Counts: count("arp_requests", "arp_replies")})
}
