// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"
)

func TestVirtualMAC(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	icmp := Packet{DstMAC: VMAC(1), SrcMAC: PeerMAC, TTL: 64, Proto: 1, Payload: make([]byte, 64)}.Bytes()
	v6 := append(eth(VMAC(1), PeerMAC, 0x86dd), make([]byte, 60)...)
	reply := ARPFor("192.0.2.7")
	reply.DstMAC, reply.Op = VMAC(1), 2
	odd := append(eth(VMAC(1), PeerMAC, 0x88b5), 1, 2, 3)
	echo6 := Packet6{
		DstMAC:  VMAC(1),
		SrcMAC:  PeerMAC,
		Dst:     VIP6,
		Hops:    64,
		Next:    58,
		Payload: append([]byte{128, 0}, make([]byte, 30)...),
	}.Bytes()
	tcp6 := Packet6{DstMAC: VMAC(1), SrcMAC: PeerMAC, Dst: VIP6, Hops: 64, Next: 6, Payload: make([]byte, 20)}.Bytes()
	ask6 := unicastND(netip.MustParseAddr("2001:db8::7")).Bytes() // for an address that is no VIP
	na6 := ND{
		DstMAC:  VMAC(1),
		SrcMAC:  PeerMAC,
		Src:     PeerAddr6,
		Dst:     VIP6,
		Type:    136,
		Target:  PeerAddr6,
		Options: LLOption(2, PeerMAC),
	}.Bytes()
	fragment6 := Packet6{
		DstMAC:  VMAC(1),
		SrcMAC:  PeerMAC,
		Dst:     VIP6,
		Hops:    64,
		Next:    44,
		Payload: make([]byte, 40),
	}.Bytes()
	forged6 := unicastND(VIP6)
	forged6.badSum = true
	frames := map[string][]byte{
		"echo6": echo6, "tcp6": tcp6, "solicitation": ask6, "advertisement": na6, "fragment6": fragment6,
		"bad solicitation": forged6.Bytes(), "icmp": icmp, "ipv6": v6, "arp reply": reply.Bytes(), "other type": odd,
	}

	for name, f := range frames {
		h.Expect("backup: "+name, f, Want{Verdict: xdpDrop, Counts: count("drop_not_answering_mac")})
	}
	h.Master(1)
	for name, f := range frames {
		delivered := append(append([]byte(nil), NICMAC[:]...), f[6:]...)
		h.Expect("master: "+name, f, Want{
			Verdict: XDPPass, Frame: delivered,
			Counts: map[string]uint64{"packets": 1, "bytes": uint64(len(f))},
		})
	}
	for _, whole := range [][]byte{icmp, echo6} {
		for n := 14; n < len(whole); n++ {
			f := whole[:n]
			delivered := append(append([]byte(nil), NICMAC[:]...), f[6:]...)
			h.Expect("truncated", f, Want{
				Verdict: XDPPass, Frame: delivered,
				Counts: map[string]uint64{"packets": 1, "bytes": uint64(n)},
			})
		}
	}
	for name, mac := range map[string][6]byte{
		"other vhid": VMAC(2), "ucarp's": {0, 0, 0x5e, 0, 0, 1}, "vrrp for ipv6": {0, 0, 0x5e, 0, 2, 1}, "NIC": NICMAC,
	} {
		h.Expect(name, Packet{DstMAC: mac, Proto: 1, Payload: make([]byte, 8)}.Bytes(), Want{Verdict: XDPPass})
	}
	tagged := withTags(append(eth(VMAC(1), PeerMAC, 0x0800), make([]byte, 60)...), 0x8100<<16|7)
	h.Expect("tagged", tagged, Want{Verdict: XDPPass})
	// Somebody else's advert, sent to our virtual MAC: still a frame to that.
	other := Advert(1, 0, 0, 7)
	other.vhid = 9
	f := Packet{DstMAC: VMAC(1), Dst: ownAddr, Payload: other.bytes()}.Bytes()
	h.Expect("advert of another vhid", f, Want{
		Verdict: XDPPass, Frame: append(append([]byte(nil), NICMAC[:]...), f[6:]...),
		Counts: map[string]uint64{"packets": 1, "bytes": uint64(len(f)), "if_bad_vhid": 1},
	})
}
