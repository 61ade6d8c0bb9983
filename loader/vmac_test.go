// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"
)

func TestVirtualMAC(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	icmp := packet{dstMAC: vmac(1), srcMAC: peerMAC, ttl: 64, proto: 1, payload: make([]byte, 64)}.bytes()
	v6 := append(eth(vmac(1), peerMAC, 0x86dd), make([]byte, 60)...)
	reply := arpFor("192.0.2.7")
	reply.dstMAC, reply.op = vmac(1), 2
	odd := append(eth(vmac(1), peerMAC, 0x88b5), 1, 2, 3)
	echo6 := packet6{dstMAC: vmac(1), srcMAC: peerMAC, dst: vip6, hops: 64, next: 58, payload: append([]byte{128, 0}, make([]byte, 30)...)}.bytes()
	tcp6 := packet6{dstMAC: vmac(1), srcMAC: peerMAC, dst: vip6, hops: 64, next: 6, payload: make([]byte, 20)}.bytes()
	ask6 := unicastND(netip.MustParseAddr("2001:db8::7")).bytes() // for an address that is no VIP
	na6 := nd{dstMAC: vmac(1), srcMAC: peerMAC, src: peerAddr6, dst: vip6, typ: 136, target: peerAddr6, options: llOption(2, peerMAC)}.bytes()
	fragment6 := packet6{dstMAC: vmac(1), srcMAC: peerMAC, dst: vip6, hops: 64, next: 44, payload: make([]byte, 40)}.bytes()
	forged6 := unicastND(vip6)
	forged6.badSum = true
	frames := map[string][]byte{
		"echo6": echo6, "tcp6": tcp6, "solicitation": ask6, "advertisement": na6, "fragment6": fragment6,
		"bad solicitation": forged6.bytes(), "icmp": icmp, "ipv6": v6, "arp reply": reply.bytes(), "other type": odd,
	}

	for name, f := range frames {
		h.expect("backup: "+name, f, want{verdict: xdpDrop, counts: count("drop_not_answering_mac")})
	}
	h.master(1)
	for name, f := range frames {
		delivered := append(append([]byte(nil), nicMAC[:]...), f[6:]...)
		h.expect("master: "+name, f, want{
			verdict: xdpPass, frame: delivered,
			counts: map[string]uint64{"packets": 1, "bytes": uint64(len(f))},
		})
	}
	for _, whole := range [][]byte{icmp, echo6} {
		for n := 14; n < len(whole); n++ {
			f := whole[:n]
			delivered := append(append([]byte(nil), nicMAC[:]...), f[6:]...)
			h.expect("truncated", f, want{
				verdict: xdpPass, frame: delivered,
				counts: map[string]uint64{"packets": 1, "bytes": uint64(n)},
			})
		}
	}
	for name, mac := range map[string][6]byte{
		"other vhid": vmac(2), "ucarp's": {0, 0, 0x5e, 0, 0, 1}, "vrrp for ipv6": {0, 0, 0x5e, 0, 2, 1}, "NIC": nicMAC,
	} {
		h.expect(name, packet{dstMAC: mac, proto: 1, payload: make([]byte, 8)}.bytes(), want{verdict: xdpPass})
	}
	tagged := withTags(append(eth(vmac(1), peerMAC, 0x0800), make([]byte, 60)...), 0x8100<<16|7)
	h.expect("tagged", tagged, want{verdict: xdpPass})
	// Somebody else's advert, sent to our virtual MAC: still a frame to that.
	other := advert(1, 0, 0, 7)
	other.vhid = 9
	f := packet{dstMAC: vmac(1), dst: ownAddr, payload: other.bytes()}.bytes()
	h.expect("advert of another vhid", f, want{
		verdict: xdpPass, frame: append(append([]byte(nil), nicMAC[:]...), f[6:]...),
		counts: map[string]uint64{"packets": 1, "bytes": uint64(len(f)), "if_bad_vhid": 1},
	})
}
