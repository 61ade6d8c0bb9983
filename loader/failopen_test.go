// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// TestFailOpen: what is not ours passes untouched and uncounted, whatever its shape,
// while the group answers and while it does not; also in several buffers.
func TestFailOpen(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	big := func(n int) []byte { return make([]byte, n) }
	udp := func(o packet) []byte {
		o.srcMAC, o.dst, o.ttl, o.proto = peerMAC, ownAddr, 64, 17
		if o.dstMAC == ([6]byte{}) {
			o.dstMAC = nicMAC
		}
		return o.bytes()
	}
	frames := map[string][]byte{
		"ordinary":              udp(packet{payload: big(64)}),
		"options":               udp(packet{payload: big(64), options: big(40)}),
		"first fragment":        udp(packet{payload: big(64), frag: 0x2000}),
		"later fragment":        udp(packet{payload: big(64), frag: 0x0100}),
		"fragment of an advert": packet{payload: advert(1, 0, 0, 7).bytes(), frag: 0x2000}.bytes(),
		"destination options":   packet6{dstMAC: nicMAC, dst: ownAddr6, next: 60, payload: append([]byte{58, 0, 5, 2, 0, 0, 1, 0}, big(24)...)}.bytes(),
		"unknown type":          append(eth(nicMAC, peerMAC, 0x88b5), big(50)...),
		"length, no type":       append(eth(nicMAC, peerMAC, 38), big(38)...),
		"header alone":          eth(nicMAC, peerMAC, 0x0800),
		"multicast":             packet{dst: carpGroup, dstMAC: carpGroupMAC, proto: 17, payload: big(20)}.bytes(),
		"lldp":                  append(eth([6]byte{1, 0x80, 0xc2, 0, 0, 0x0e}, peerMAC, 0x88cc), big(60)...),
	}
	jumbo := features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil
	if jumbo {
		frames["jumbo"] = udp(packet{payload: big(8960)})
		frames["jumbo, tagged"] = withTags(udp(packet{payload: big(8960)}), 0x8100<<16|7)
	}
	for _, state := range []string{"backup", "master"} {
		for name, f := range frames {
			h.expect(state+": "+name, f, want{verdict: xdpPass})
		}
		h.master(1)
	}
	if !jumbo {
		t.Skip("no frames in several buffers before Linux 5.18")
	}
	f := udp(packet{dstMAC: vmac(1), payload: big(8960)})
	h.expect("jumbo to the virtual MAC", f, want{
		verdict: xdpPass, frame: slices.Concat(nicMAC[:], f[6:]), counts: map[string]uint64{"packets": 1, "bytes": uint64(len(f))},
	})
	// An advert whose tail is padded beyond the first buffer is judged by its own length.
	padded := append(frameOf(dualAdvert(1, 200, 0, 7)), big(6000)...)
	h.g.SetSentPriority(Priority{})
	h.expect("advert, padded", padded, want{verdict: xdpPass, counts: count("received"), events: 1})
	asked := append(arpFor("192.0.2.1").bytes(), big(6000)...)
	reply := append(arpReply(arpFor("192.0.2.1").bytes()), big(6000)...)
	h.expect("request, padded", asked, want{verdict: xdpTX, frame: reply, counts: count("arp_requests", "arp_replies")})
}
