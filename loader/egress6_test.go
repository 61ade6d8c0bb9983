// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"net/netip"
	"testing"
	"time"
)

func TestEgress6(t *testing.T) {
	const ll = "fe80::100"
	h := newHarness(t, append(dualVIPs(), ll)...)
	llVIP, host := netip.MustParseAddr(ll), netip.MustParseAddr("2001:db8::9")
	allNodes, allRouters := netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ff02::2")
	group, groupMAC := solicitedNode(peerAddr6)
	fromVIP := func(next uint8, n int) []byte {
		return packet6{srcMAC: nicMAC, dstMAC: peerMAC, src: vip6, dst: peerAddr6, hops: 64, next: next, payload: make([]byte, n)}.bytes()
	}
	ip := map[string][]byte{
		"packet": fromVIP(6, 64), "fragment": fromVIP(44, 64), "echo": fromVIP(58, 64), "no payload": fromVIP(59, 0),
		"short icmp": fromVIP(58, 7), "behind hop-by-hop": fromVIP(0, 40), "not an advert": fromVIP(112, 36),
	}
	// Each as the host's stack sends it (real MAC) and as it has to leave.
	speech := func(mac [6]byte) map[string][]byte {
		option := func(typ uint8) []byte { return llOption(typ, mac) }
		prefixInfo := append([]byte{3, 4}, make([]byte, 30)...)
		return map[string][]byte{
			"solicitation from a VIP":  nd{dstMAC: groupMAC, srcMAC: mac, src: vip6, dst: group, typ: 135, target: peerAddr6, options: option(1)}.bytes(),
			"without option":           nd{dstMAC: peerMAC, srcMAC: mac, src: vip6, dst: peerAddr6, typ: 135, target: peerAddr6}.bytes(),
			"with a nonce first":       nd{dstMAC: groupMAC, srcMAC: mac, src: vip6, dst: group, typ: 135, target: peerAddr6, options: append([]byte{14, 1, 1, 2, 3, 4, 5, 6}, option(1)...)}.bytes(),
			"advertisement of a VIP":   nd{dstMAC: peerMAC, srcMAC: mac, src: vip6, dst: peerAddr6, typ: 136, flags: 0x60000000, target: vip6, options: option(2)}.bytes(),
			"announcement":             nd{dstMAC: carpGroup6MAC, srcMAC: mac, src: vip6, dst: allNodes, typ: 136, flags: 0x20000000, target: vip6, options: option(2)}.bytes(),
			"of it, from another":      nd{dstMAC: peerMAC, srcMAC: mac, src: ownAddr6, dst: peerAddr6, typ: 136, flags: 0x60000000, target: vip6, options: option(2)}.bytes(),
			"of another, from a VIP":   nd{dstMAC: peerMAC, srcMAC: mac, src: vip6, dst: peerAddr6, typ: 136, flags: 0x60000000, target: ownAddr6, options: option(2)}.bytes(),
			"router solicitation":      nd{dstMAC: carpGroup6MAC, srcMAC: mac, src: llVIP, dst: allRouters, typ: 133, options: option(1)}.bytes(),
			"bare router solicitation": nd{dstMAC: carpGroup6MAC, srcMAC: mac, src: llVIP, dst: allRouters, typ: 133}.bytes(),
			// Two words between header and options, where others have the target.
			"router advertisement": nd{dstMAC: carpGroup6MAC, srcMAC: mac, src: llVIP, dst: allNodes, typ: 134, flags: 64 << 24, options: append(append(make([]byte, 8), prefixInfo...), option(1)...)}.bytes(),
		}
	}
	pass := want{verdict: tcUnspec}
	untouched := func(state string) {
		t.Helper()
		dst, mac := solicitedNode(vip6)
		for name, f := range map[string][]byte{
			"host's packet":            packet6{srcMAC: nicMAC, dstMAC: peerMAC, src: host, dst: peerAddr6, hops: 64, next: 6, payload: make([]byte, 64)}.bytes(),
			"host's solicitation":      nd{dstMAC: groupMAC, srcMAC: nicMAC, src: ownAddr6, dst: group, typ: 135, target: peerAddr6, options: llOption(1, nicMAC)}.bytes(),
			"host asks for the VIP":    nd{dstMAC: mac, srcMAC: nicMAC, src: ownAddr6, dst: dst, typ: 135, target: vip6, options: llOption(1, nicMAC)}.bytes(),
			"host probes for the VIP":  nd{dstMAC: mac, srcMAC: nicMAC, src: netip.IPv6Unspecified(), dst: dst, typ: 135, target: vip6}.bytes(),
			"host's advertisement":     nd{dstMAC: peerMAC, srcMAC: nicMAC, src: ownAddr6, dst: peerAddr6, typ: 136, target: ownAddr6, options: llOption(2, nicMAC)}.bytes(),
			"host's router discovery":  nd{dstMAC: carpGroup6MAC, srcMAC: nicMAC, src: ownAddr6, dst: allRouters, typ: 133, options: llOption(1, nicMAC)}.bytes(),
			"packet to the VIP":        packet6{srcMAC: nicMAC, dstMAC: vmac(1), src: host, dst: vip6, hops: 64, next: 6, payload: make([]byte, 64)}.bytes(),
			"tagged":                   append(eth(peerMAC, nicMAC, 0x8100), fromVIP(6, 64)[10:]...),
			"forwarded from elsewhere": packet6{srcMAC: nicMAC, dstMAC: peerMAC, src: netip.MustParseAddr("2001:db8:1::1"), dst: peerAddr6, hops: 63, next: 17, payload: make([]byte, 9)}.bytes(),
		} {
			h.expectEgress(state+": "+name, f, pass)
		}
	}
	silent := func(state string) {
		t.Helper()
		for name, f := range ip {
			h.expectEgress(state+": "+name, f, want{verdict: tcShot, counts: count("drop_egress_not_answering_ip")})
		}
		for name, f := range speech(nicMAC) {
			h.expectEgress(state+": "+name, f, want{verdict: tcShot, counts: count("drop_egress_not_answering_nd")})
		}
		untouched(state)
	}
	silent("init")
	h.g.SetRole(Role{State: RoleBackup, Generation: 1})
	silent("backup")
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, SendUntil: bootNow() + 60e9})
	silent("promoted, not yet leased")
	h.master(2)
	for name, f := range ip {
		h.expectEgress("master: "+name, f, pass)
	}
	leaves := speech(vmac(1))
	for name, f := range speech(nicMAC) {
		h.expectEgress("master: "+name, f, want{verdict: tcUnspec, frame: leaves[name]})
	}
	for name, f := range leaves {
		h.expectEgress("master, virtual already: "+name, f, pass)
	}
	malformed := nd{dstMAC: groupMAC, srcMAC: nicMAC, src: vip6, dst: group, typ: 135, target: peerAddr6, options: []byte{1, 0, 0, 0, 0, 0, 0, 0}}
	mended := malformed
	mended.srcMAC = vmac(1)
	h.expectEgress("master: malformed option", malformed.bytes(), want{verdict: tcUnspec, frame: mended.bytes()})
	untouched("master")
	h.run(frame6(dualAdvertOf(h, 0, 1))) // superior
	silent("yielded")
	h.master(3)
	h.g.SetRole(Role{State: RoleMaster, Generation: 3, Lease: bootNow() - 1})
	silent("lease over")
}

// dualAdvertOf is an advert over whatever addresses the harness' group has.
func dualAdvertOf(h *harness, base, skew uint8) carp {
	addrs := make([]netip.Addr, 0, len(h.g.vips))
	for a := range h.g.vips {
		addrs = append(addrs, a)
	}
	return carp{vhid: 1, base: base, skew: skew, counter: 7, digest: digest(goldenKey, prefix(1, addrs), 7)}
}

func TestEgressAdvert6(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	own := func(c carp) []byte { return packet6{src: ownAddr6, payload: c.bytes()}.bytes() }
	ordinary, goodbye := own(dualAdvert(1, 0, 0, 7)), own(dualAdvert(255, 255, 0, 7))
	pass := want{verdict: tcUnspec}
	drop := want{verdict: tcShot, counts: count("drop_egress_not_answering_advert")}
	now := bootNow()
	for i, tc := range []struct {
		name string
		role Role
		may  bool
	}{
		{"init", Role{State: RoleInit}, false},
		{"backup", Role{State: RoleBackup}, false},
		{"just promoted", Role{State: RoleMaster, SendUntil: now + 60e9}, true},
		{"leased", Role{State: RoleMaster, Lease: now + 60e9}, true},
		{"lease over", Role{State: RoleMaster, Lease: now - 1, SendUntil: now - 1}, false},
	} {
		tc.role.Generation = uint64(i + 1)
		h.g.SetRole(tc.role)
		w := drop
		if tc.may {
			w = pass
		}
		h.expectEgress(tc.name, ordinary, w)
		h.expectEgress(tc.name+", goodbye", goodbye, pass)
	}
	for name, f := range map[string][]byte{
		"vrrp 3":     packet6{src: ownAddr6, payload: vrrp3v6(1, 1, ownAddr6, carpGroup6)}.bytes(),
		"forwarded":  packet6{src: peerAddr6, hops: 254, payload: dualAdvert(1, 0, 0, 7).bytes()}.bytes(),
		"other vhid": own(carp{vhid: 2, base: 1}),
		// The same 36 bytes under another protocol are none.
		"udp over IPv6": packet6{src: ownAddr6, next: 17, payload: dualAdvert(1, 0, 0, 7).bytes()}.bytes(),
		"udp over IPv4": packet{src: ownAddr, proto: 17, payload: dualAdvert(1, 0, 0, 7).bytes()}.bytes(),
	} {
		h.expectEgress(name, f, pass)
	}
	for n := 54; n < len(ordinary); n++ { // a test run wants a whole IP header
		h.expectEgress("truncated", ordinary[:n], pass)
	}
	h.master(100)
	ask := nd{dstMAC: peerMAC, srcMAC: nicMAC, src: ownAddr6, dst: peerAddr6, typ: 136, target: vip6, options: llOption(2, nicMAC)}.bytes()
	for n := 54; n < 78; n++ {
		h.expectEgress("truncated", ask[:n], pass)
	}
}

// TestEgress6OnTheWire: what the program did to a frame is right on the other end.
func TestEgress6OnTheWire(t *testing.T) {
	ours, peer := pair(t, "loader-eg6wire")
	d := openTest(t, Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	s := goldenSpec(dualVIPs()...)
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
	far, near := packetSocket(t, peer), packetSocket(t, ours)
	group, groupMAC := solicitedNode(peerAddr6)
	ask := nd{dstMAC: groupMAC, srcMAC: nicMAC, src: vip6, dst: group, typ: 135, target: peerAddr6, options: llOption(1, nicMAC)}
	near.send(ask.bytes())
	ask.srcMAC, ask.options = vmac(1), llOption(1, vmac(1))
	isOurs := func(f []byte) bool {
		return len(f) >= 86 && f[20] == 58 && f[54] == 135 && bytes.Equal(f[22:38], vip6.AsSlice())
	}
	if f := far.receive(isOurs, 5*time.Second); !bytes.Equal(f, ask.bytes()) {
		t.Errorf("left as\n%x, want\n%x", f, ask.bytes())
	}
}
