// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"

	"vipd/loader/tables"
)

func TestEgress(t *testing.T) {
	h := NewHarness(t)
	vip := netip.MustParseAddr("192.0.2.1")
	fromVIP := Packet{
		SrcMAC:  NICMAC,
		DstMAC:  PeerMAC,
		Src:     vip,
		Dst:     PeerAddr,
		TTL:     64,
		Proto:   1,
		Payload: make([]byte, 64),
	}
	fragment := fromVIP
	fragment.frag = 0x2001
	options := fromVIP
	options.options = make([]byte, 8)
	request := ARP{DstMAC: BroadcastMAC, SrcMAC: NICMAC, Op: 1, SHA: NICMAC, SIP: "192.0.2.1", TIP: "192.0.2.2"}
	reply := ARP{DstMAC: PeerMAC, SrcMAC: NICMAC, Op: 2, SHA: NICMAC, SIP: "192.0.2.1", THA: PeerMAC, TIP: "192.0.2.2"}
	garp := ARP{DstMAC: BroadcastMAC, SrcMAC: VMAC(1), Op: 1, SHA: VMAC(1), SIP: "192.0.2.1", TIP: "192.0.2.1"}
	virtual := func(a ARP) []byte {
		a.SrcMAC, a.SHA = VMAC(1), VMAC(1)
		return a.Bytes()
	}
	ip := map[string][]byte{"packet": fromVIP.Bytes(), "fragment": fragment.Bytes(), "options": options.Bytes()}
	arps := map[string]ARP{"request": request, "reply": reply, "announcement": garp}
	pass := Want{Verdict: TCUnspec}

	untouched := func(state string) {
		t.Helper()
		host := fromVIP
		host.Src = ownAddr
		h.expectEgress(state+": host's packet", host.Bytes(), pass)
		hostARP := request
		hostARP.SIP = ownAddr.String()
		h.expectEgress(state+": host's arp", hostARP.Bytes(), pass)
		probe := request
		probe.SIP, probe.TIP = "0.0.0.0", "192.0.2.1"
		h.expectEgress(state+": probe", probe.Bytes(), pass)
		h.expectEgress(state+": ipv6", append(eth(PeerMAC, NICMAC, 0x86dd), make([]byte, 60)...), pass)
		h.expectEgress(state+": tagged", append(eth(PeerMAC, NICMAC, 0x8100), fromVIP.Bytes()[10:]...), pass)
	}
	silent := func(state string) {
		t.Helper()
		for name, f := range ip {
			h.expectEgress(state+": "+name, f, Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_ip")})
		}
		for name, a := range arps {
			h.expectEgress(state+": "+name, a.Bytes(), Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_arp")})
		}
		untouched(state)
	}
	silent("init")
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	silent("backup")
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: BootNow() + 60e9})
	silent("promoted, not yet leased")
	h.Master(2)
	for name, f := range ip {
		h.expectEgress("master: "+name, f, pass)
	}
	for name, a := range arps {
		h.expectEgress("master: "+name, a.Bytes(), Want{Verdict: TCUnspec, Frame: virtual(a)})
	}
	untouched("master")
	h.Run(FrameOf(Advert(0, 1, 0, 7))) // superior
	silent("yielded")
	h.Master(3)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 3, Lease: BootNow() - 1})
	silent("lease over")
}

func TestEgressAdvert(t *testing.T) {
	h := NewHarness(t)
	own := func(c carp) Packet { return Packet{Src: ownAddr, Payload: c.bytes()} }
	ordinary, goodbye := own(Advert(1, 0, 0, 7)).Bytes(), own(Advert(255, 255, 0, 7)).Bytes()
	pass := Want{Verdict: TCUnspec}
	drop := Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_advert")}
	now := BootNow()
	for i, tc := range []struct {
		name string
		role tables.Role
		may  bool
	}{
		{"init", tables.Role{State: tables.RoleInit}, false},
		{"backup", tables.Role{State: tables.RoleBackup}, false},
		{"backup with a lease", tables.Role{State: tables.RoleBackup, Lease: now + 60e9}, false},
		{"just promoted", tables.Role{State: tables.RoleMaster, SendUntil: now + 60e9}, true},
		{"leased", tables.Role{State: tables.RoleMaster, Lease: now + 60e9}, true},
		{"lease over", tables.Role{State: tables.RoleMaster, Lease: now - 1, SendUntil: now - 1}, false},
		{"lease over, may send", tables.Role{State: tables.RoleMaster, Lease: now - 1, SendUntil: now + 60e9}, true},
	} {
		tc.role.Generation = uint64(i + 1)
		h.Group.SetRole(tc.role)
		w := drop
		if tc.may {
			w = pass
		}
		h.expectEgress(tc.name, ordinary, w)
		h.expectEgress(
			tc.name+", options",
			Packet{Src: ownAddr, options: make([]byte, 4), Payload: Advert(1, 0, 0, 7).bytes()}.Bytes(),
			w,
		)
		h.expectEgress(tc.name+", goodbye", goodbye, pass)
	}
	h.Master(100)
	h.Run(FrameOf(Advert(0, 1, 0, 7)))
	h.expectEgress("yielded", ordinary, drop)
	h.expectEgress("yielded, goodbye", goodbye, pass)
	for _, c := range []carp{Advert(255, 254, 0, 7), Advert(254, 255, 0, 7), Advert(1, 255, 0, 7)} {
		h.expectEgress("yielded, almost a goodbye", own(c).Bytes(), drop)
	}

	for name, f := range map[string][]byte{
		"vrrp 2":                       Packet{Src: ownAddr, Payload: vrrp2(1, 1)}.Bytes(),
		"vrrp 2, as long as an advert": Packet{Src: ownAddr, Payload: vrrp2(1, 5)}.Bytes(),
		"vrrp 3, as long as an advert": Packet{Src: ownAddr, Payload: vrrp3(1, 7, ownAddr, carpGroup)}.Bytes(),
		"vrrp 3":                       Packet{Src: ownAddr, Payload: vrrp3(1, 1, ownAddr, carpGroup)}.Bytes(),
		"forwarded":                    Packet{Src: PeerAddr, TTL: 254, Payload: Advert(1, 0, 0, 7).bytes()}.Bytes(),
		"other vhid":                   own(carp{vhid: 2, base: 1}).Bytes(),
	} {
		h.expectEgress(name, f, pass)
	}
	// A test run wants a whole IP header behind the type of IPv4.
	for n := 34; n < len(ordinary); n++ {
		h.expectEgress("truncated", ordinary[:n], pass)
	}
	vipARP := ARP{DstMAC: BroadcastMAC, SrcMAC: NICMAC, Op: 1, SHA: NICMAC, SIP: "192.0.2.1", TIP: "192.0.2.2"}.Bytes()
	for n := 15; n < len(vipARP); n++ {
		w := pass
		if n >= 32 { // the sender is there, and the NIC fills the rest up
			w = Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_arp")}
		}
		h.expectEgress("truncated arp", vipARP[:n], w)
	}
}

// TestEgressOddARP: whatever hardware type and lengths ARP from a VIP has, it leaves as the virtual MAC or not at all.
func TestEgressOddARP(t *testing.T) {
	h := NewHarness(t)
	pass := Want{Verdict: TCUnspec}
	fenced := Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_arp")}
	for _, op := range []uint16{1, 2, 8} {
		with := func(sip string, sha [6]byte, change func([]byte)) []byte {
			b := ARP{DstMAC: BroadcastMAC, SrcMAC: sha, Op: op, SHA: sha, SIP: sip, TIP: "192.0.2.2"}.Bytes()
			change(b)
			return b
		}
		usual := map[string]func([]byte){
			"hardware 6":  func(b []byte) { b[15] = 6 },
			"hardware 0":  func(b []byte) { b[15] = 0 },
			"hardware 24": func(b []byte) { b[15] = 24 },
		}
		odd := map[string]func([]byte){
			"no protocol length": func(b []byte) { b[19] = 0 }, "protocol length 16": func(b []byte) { b[19] = 16 },
			"hardware length 0, sender where it always is": func(b []byte) { b[18] = 0 },
			"hardware length 8":                            func(b []byte) { b[18] = 8; copy(b[30:34], []byte{192, 0, 2, 1}) },
			"hardware length 4":                            func(b []byte) { b[18] = 4; copy(b[26:30], []byte{192, 0, 2, 1}) },
		}
		h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: uint64(op)})
		for name, change := range usual {
			h.expectEgress("backup: "+name, with("192.0.2.1", NICMAC, change), fenced)
			h.expectEgress("backup, own address: "+name, with("192.0.2.9", NICMAC, change), pass)
		}
		for name, change := range odd {
			h.expectEgress("backup: "+name, with("192.0.2.1", NICMAC, change), fenced)
		}
		h.expectEgress("backup: not of IPv4", with("192.0.2.1", NICMAC, func(b []byte) { b[16] = 0x86 }), pass)
		h.Master(uint64(op) + 100)
		for name, change := range usual {
			w := pass
			w.Frame = with("192.0.2.1", VMAC(1), change)
			h.expectEgress("master: "+name, with("192.0.2.1", NICMAC, change), w)
		}
		for name, change := range odd {
			h.expectEgress("master: "+name, with("192.0.2.1", NICMAC, change), fenced)
		}
	}
}
