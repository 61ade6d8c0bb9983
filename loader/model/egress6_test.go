// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"net/netip"
	"testing"
	"time"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/tables"
)

func TestEgress6(t *testing.T) {
	const ll = "fe80::100"
	h := NewHarness(t, append(DualVIPs(), ll)...)
	llVIP, host := netip.MustParseAddr(ll), netip.MustParseAddr("2001:db8::9")
	allNodes, allRouters := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2")
	group, groupMAC := solicitedNode(PeerAddr6)
	fromVIP := func(next uint8, n int) []byte {
		return Packet6{
			SrcMAC:  NICMAC,
			DstMAC:  PeerMAC,
			Src:     VIP6,
			Dst:     PeerAddr6,
			Hops:    64,
			Next:    next,
			Payload: make([]byte, n),
		}.Bytes()
	}
	ip := map[string][]byte{
		"packet": fromVIP(6, 64), "fragment": fromVIP(44, 64), "echo": fromVIP(58, 64), "no payload": fromVIP(59, 0),
		"short icmp": fromVIP(58, 7), "behind hop-by-hop": fromVIP(0, 40), "not an advert": fromVIP(112, 36),
	}
	// Each as the host's stack sends it (real MAC) and as it has to leave.
	speech := func(mac [6]byte) map[string][]byte {
		option := func(typ uint8) []byte { return LLOption(typ, mac) }
		prefixInfo := append([]byte{3, 4}, make([]byte, 30)...)
		return map[string][]byte{
			"solicitation from a VIP": ND{
				DstMAC:  groupMAC,
				SrcMAC:  mac,
				Src:     VIP6,
				Dst:     group,
				Type:    135,
				Target:  PeerAddr6,
				Options: option(1),
			}.Bytes(),
			"without option": ND{
				DstMAC: PeerMAC,
				SrcMAC: mac,
				Src:    VIP6,
				Dst:    PeerAddr6,
				Type:   135,
				Target: PeerAddr6,
			}.Bytes(),
			"with a nonce first": ND{
				DstMAC:  groupMAC,
				SrcMAC:  mac,
				Src:     VIP6,
				Dst:     group,
				Type:    135,
				Target:  PeerAddr6,
				Options: append([]byte{14, 1, 1, 2, 3, 4, 5, 6}, option(1)...),
			}.Bytes(),
			"advertisement of a VIP": ND{
				DstMAC:  PeerMAC,
				SrcMAC:  mac,
				Src:     VIP6,
				Dst:     PeerAddr6,
				Type:    136,
				flags:   0x60000000,
				Target:  VIP6,
				Options: option(2),
			}.Bytes(),
			"announcement": ND{
				DstMAC:  carpGroup6MAC,
				SrcMAC:  mac,
				Src:     VIP6,
				Dst:     allNodes,
				Type:    136,
				flags:   0x20000000,
				Target:  VIP6,
				Options: option(2),
			}.Bytes(),
			"of it, from another": ND{
				DstMAC:  PeerMAC,
				SrcMAC:  mac,
				Src:     ownAddr6,
				Dst:     PeerAddr6,
				Type:    136,
				flags:   0x60000000,
				Target:  VIP6,
				Options: option(2),
			}.Bytes(),
			"of another, from a VIP": ND{
				DstMAC:  PeerMAC,
				SrcMAC:  mac,
				Src:     VIP6,
				Dst:     PeerAddr6,
				Type:    136,
				flags:   0x60000000,
				Target:  ownAddr6,
				Options: option(2),
			}.Bytes(),
			"router solicitation": ND{
				DstMAC:  carpGroup6MAC,
				SrcMAC:  mac,
				Src:     llVIP,
				Dst:     allRouters,
				Type:    133,
				Options: option(1),
			}.Bytes(),
			"bare router solicitation": ND{DstMAC: carpGroup6MAC, SrcMAC: mac, Src: llVIP, Dst: allRouters, Type: 133}.Bytes(),
			// Two words between header and options, where others have the target.
			"router advertisement": ND{
				DstMAC:  carpGroup6MAC,
				SrcMAC:  mac,
				Src:     llVIP,
				Dst:     allNodes,
				Type:    134,
				flags:   64 << 24,
				Options: append(append(make([]byte, 8), prefixInfo...), option(1)...),
			}.Bytes(),
		}
	}
	pass := Want{Verdict: TCUnspec}
	untouched := func(state string) {
		t.Helper()
		dst, mac := solicitedNode(VIP6)
		for name, f := range map[string][]byte{
			"host's packet": Packet6{
				SrcMAC: NICMAC, DstMAC: PeerMAC, Src: host, Dst: PeerAddr6, Hops: 64, Next: 6, Payload: make([]byte, 64),
			}.Bytes(),
			"host's solicitation": ND{
				DstMAC: groupMAC, SrcMAC: NICMAC, Src: ownAddr6, Dst: group, Type: 135, Target: PeerAddr6,
				Options: LLOption(1, NICMAC),
			}.Bytes(),
			"host asks for the VIP": ND{
				DstMAC: mac, SrcMAC: NICMAC, Src: ownAddr6, Dst: dst, Type: 135, Target: VIP6, Options: LLOption(1, NICMAC),
			}.Bytes(),
			"host probes for the VIP": ND{
				DstMAC: mac,
				SrcMAC: NICMAC,
				Src:    netip.IPv6Unspecified(),
				Dst:    dst,
				Type:   135,
				Target: VIP6,
			}.Bytes(),
			"host's advertisement": ND{
				DstMAC: PeerMAC, SrcMAC: NICMAC, Src: ownAddr6, Dst: PeerAddr6, Type: 136, Target: ownAddr6,
				Options: LLOption(2, NICMAC),
			}.Bytes(),
			"host's router discovery": ND{
				DstMAC:  carpGroup6MAC,
				SrcMAC:  NICMAC,
				Src:     ownAddr6,
				Dst:     allRouters,
				Type:    133,
				Options: LLOption(1, NICMAC),
			}.Bytes(),
			"packet to the VIP": Packet6{
				SrcMAC: NICMAC, DstMAC: VMAC(1), Src: host, Dst: VIP6, Hops: 64, Next: 6, Payload: make([]byte, 64),
			}.Bytes(),
			"tagged": append(eth(PeerMAC, NICMAC, 0x8100), fromVIP(6, 64)[10:]...),
			"forwarded from elsewhere": Packet6{
				SrcMAC:  NICMAC,
				DstMAC:  PeerMAC,
				Src:     netip.MustParseAddr("2001:db8:1::1"),
				Dst:     PeerAddr6,
				Hops:    63,
				Next:    17,
				Payload: make([]byte, 9),
			}.Bytes(),
		} {
			h.expectEgress(state+": "+name, f, pass)
		}
	}
	silent := func(state string) {
		t.Helper()
		for name, f := range ip {
			h.expectEgress(state+": "+name, f, Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_ip")})
		}
		for name, f := range speech(NICMAC) {
			h.expectEgress(state+": "+name, f, Want{Verdict: tcShot, Counts: count("drop_egress_not_answering_nd")})
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
	leaves := speech(VMAC(1))
	for name, f := range speech(NICMAC) {
		h.expectEgress("master: "+name, f, Want{Verdict: TCUnspec, Frame: leaves[name]})
	}
	for name, f := range leaves {
		h.expectEgress("master, virtual already: "+name, f, pass)
	}
	malformed := ND{
		DstMAC:  groupMAC,
		SrcMAC:  NICMAC,
		Src:     VIP6,
		Dst:     group,
		Type:    135,
		Target:  PeerAddr6,
		Options: []byte{1, 0, 0, 0, 0, 0, 0, 0},
	}
	mended := malformed
	mended.SrcMAC = VMAC(1)
	h.expectEgress("master: malformed option", malformed.Bytes(), Want{Verdict: TCUnspec, Frame: mended.Bytes()})
	untouched("master")
	h.Run(frame6(dualAdvertOf(h, 0, 1))) // superior
	silent("yielded")
	h.Master(3)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 3, Lease: BootNow() - 1})
	silent("lease over")
}

// dualAdvertOf is an advert over whatever addresses the harness' group has.
func dualAdvertOf(h *Harness, base, skew uint8) carp {
	var addrs []netip.Addr
	for _, vip := range kerneltest.Must(h.Group.VIPStats()) {
		addrs = append(addrs, vip.Addr)
	}
	return carp{vhid: 1, base: base, skew: skew, counter: 7, digest: digest(goldenKey, prefix(1, addrs), 7)}
}

func TestEgressAdvert6(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	own := func(c carp) []byte { return Packet6{Src: ownAddr6, Payload: c.bytes()}.Bytes() }
	ordinary, goodbye := own(DualAdvert(1, 0, 0, 7)), own(DualAdvert(255, 255, 0, 7))
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
		{"just promoted", tables.Role{State: tables.RoleMaster, SendUntil: now + 60e9}, true},
		{"leased", tables.Role{State: tables.RoleMaster, Lease: now + 60e9}, true},
		{"lease over", tables.Role{State: tables.RoleMaster, Lease: now - 1, SendUntil: now - 1}, false},
	} {
		tc.role.Generation = uint64(i + 1)
		h.Group.SetRole(tc.role)
		w := drop
		if tc.may {
			w = pass
		}
		h.expectEgress(tc.name, ordinary, w)
		h.expectEgress(tc.name+", goodbye", goodbye, pass)
	}
	for name, f := range map[string][]byte{
		"vrrp 3":     Packet6{Src: ownAddr6, Payload: vrrp3v6(1, 1, ownAddr6, carpGroup6)}.Bytes(),
		"forwarded":  Packet6{Src: PeerAddr6, Hops: 254, Payload: DualAdvert(1, 0, 0, 7).bytes()}.Bytes(),
		"other vhid": own(carp{vhid: 2, base: 1}),
		// The same 36 bytes under another protocol are none.
		"udp over IPv6": Packet6{Src: ownAddr6, Next: 17, Payload: DualAdvert(1, 0, 0, 7).bytes()}.Bytes(),
		"udp over IPv4": Packet{Src: ownAddr, Proto: 17, Payload: DualAdvert(1, 0, 0, 7).bytes()}.Bytes(),
	} {
		h.expectEgress(name, f, pass)
	}
	for n := 54; n < len(ordinary); n++ { // a test run wants a whole IP header
		h.expectEgress("truncated", ordinary[:n], pass)
	}
	h.Master(100)
	ask := ND{
		DstMAC:  PeerMAC,
		SrcMAC:  NICMAC,
		Src:     ownAddr6,
		Dst:     PeerAddr6,
		Type:    136,
		Target:  VIP6,
		Options: LLOption(2, NICMAC),
	}.Bytes()
	for n := 54; n < 78; n++ {
		h.expectEgress("truncated", ask[:n], pass)
	}
}

// TestEgress6OnTheWire: what the program did to a frame is right on the other end.
func TestEgress6OnTheWire(t *testing.T) {
	ours, peer := kerneltest.Pair(t, "loader-eg6wire")
	d := openPlane(t, planeOptions{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", attach.ModeAuto); err != nil {
		t.Fatal(err)
	}
	s := GoldenSpec(DualVIPs()...)
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: BootNow() + 60e9})
	far, near := kerneltest.PacketSocket(t, peer), kerneltest.PacketSocket(t, ours)
	group, groupMAC := solicitedNode(PeerAddr6)
	ask := ND{
		DstMAC:  groupMAC,
		SrcMAC:  NICMAC,
		Src:     VIP6,
		Dst:     group,
		Type:    135,
		Target:  PeerAddr6,
		Options: LLOption(1, NICMAC),
	}
	near.Send(ask.Bytes())
	ask.SrcMAC, ask.Options = VMAC(1), LLOption(1, VMAC(1))
	isOurs := func(f []byte) bool {
		return len(f) >= 86 && f[20] == 58 && f[54] == 135 && bytes.Equal(f[22:38], VIP6.AsSlice())
	}
	if f := far.Receive(isOurs, 5*time.Second); !bytes.Equal(f, ask.Bytes()) {
		t.Errorf("left as\n%x, want\n%x", f, ask.Bytes())
	}
}
