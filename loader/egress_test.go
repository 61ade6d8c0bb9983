// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"
)

func TestEgress(t *testing.T) {
	h := newHarness(t)
	vip := netip.MustParseAddr("192.0.2.1")
	fromVIP := packet{srcMAC: nicMAC, dstMAC: peerMAC, src: vip, dst: peerAddr, ttl: 64, proto: 1, payload: make([]byte, 64)}
	fragment := fromVIP
	fragment.frag = 0x2001
	options := fromVIP
	options.options = make([]byte, 8)
	request := arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}
	reply := arp{dstMAC: peerMAC, srcMAC: nicMAC, op: 2, sha: nicMAC, sip: "192.0.2.1", tha: peerMAC, tip: "192.0.2.2"}
	garp := arp{dstMAC: broadcastMAC, srcMAC: vmac(1), op: 1, sha: vmac(1), sip: "192.0.2.1", tip: "192.0.2.1"}
	virtual := func(a arp) []byte {
		a.srcMAC, a.sha = vmac(1), vmac(1)
		return a.bytes()
	}
	ip := map[string][]byte{"packet": fromVIP.bytes(), "fragment": fragment.bytes(), "options": options.bytes()}
	arps := map[string]arp{"request": request, "reply": reply, "announcement": garp}
	pass := want{verdict: tcUnspec}

	untouched := func(state string) {
		t.Helper()
		host := fromVIP
		host.src = ownAddr
		h.expectEgress(state+": host's packet", host.bytes(), pass)
		hostARP := request
		hostARP.sip = ownAddr.String()
		h.expectEgress(state+": host's arp", hostARP.bytes(), pass)
		probe := request
		probe.sip, probe.tip = "0.0.0.0", "192.0.2.1"
		h.expectEgress(state+": probe", probe.bytes(), pass)
		h.expectEgress(state+": ipv6", append(eth(peerMAC, nicMAC, 0x86dd), make([]byte, 60)...), pass)
		h.expectEgress(state+": tagged", append(eth(peerMAC, nicMAC, 0x8100), fromVIP.bytes()[10:]...), pass)
	}
	silent := func(state string) {
		t.Helper()
		for name, f := range ip {
			h.expectEgress(state+": "+name, f, want{verdict: tcShot, counts: count("drop_egress_not_answering_ip")})
		}
		for name, a := range arps {
			h.expectEgress(state+": "+name, a.bytes(), want{verdict: tcShot, counts: count("drop_egress_not_answering_arp")})
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
	for name, a := range arps {
		h.expectEgress("master: "+name, a.bytes(), want{verdict: tcUnspec, frame: virtual(a)})
	}
	untouched("master")
	h.run(frameOf(advert(0, 1, 0, 7))) // superior
	silent("yielded")
	h.master(3)
	h.g.SetRole(Role{State: RoleMaster, Generation: 3, Lease: bootNow() - 1})
	silent("lease over")
}

func TestEgressAdvert(t *testing.T) {
	h := newHarness(t)
	own := func(c carp) packet { return packet{src: ownAddr, payload: c.bytes()} }
	ordinary, goodbye := own(advert(1, 0, 0, 7)).bytes(), own(advert(255, 255, 0, 7)).bytes()
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
		{"backup with a lease", Role{State: RoleBackup, Lease: now + 60e9}, false},
		{"just promoted", Role{State: RoleMaster, SendUntil: now + 60e9}, true},
		{"leased", Role{State: RoleMaster, Lease: now + 60e9}, true},
		{"lease over", Role{State: RoleMaster, Lease: now - 1, SendUntil: now - 1}, false},
		{"lease over, may send", Role{State: RoleMaster, Lease: now - 1, SendUntil: now + 60e9}, true},
	} {
		tc.role.Generation = uint64(i + 1)
		h.g.SetRole(tc.role)
		w := drop
		if tc.may {
			w = pass
		}
		h.expectEgress(tc.name, ordinary, w)
		h.expectEgress(tc.name+", options", packet{src: ownAddr, options: make([]byte, 4), payload: advert(1, 0, 0, 7).bytes()}.bytes(), w)
		h.expectEgress(tc.name+", goodbye", goodbye, pass)
	}
	h.master(100)
	h.run(frameOf(advert(0, 1, 0, 7)))
	h.expectEgress("yielded", ordinary, drop)
	h.expectEgress("yielded, goodbye", goodbye, pass)
	for _, c := range []carp{advert(255, 254, 0, 7), advert(254, 255, 0, 7), advert(1, 255, 0, 7)} {
		h.expectEgress("yielded, almost a goodbye", own(c).bytes(), drop)
	}

	for name, f := range map[string][]byte{
		"vrrp 2":     packet{src: ownAddr, payload: vrrp2(1, 1)}.bytes(),
		"vrrp 3":     packet{src: ownAddr, payload: vrrp3(1, 1, ownAddr, carpGroup)}.bytes(),
		"forwarded":  packet{src: peerAddr, ttl: 254, payload: advert(1, 0, 0, 7).bytes()}.bytes(),
		"other vhid": own(carp{vhid: 2, base: 1}).bytes(),
	} {
		h.expectEgress(name, f, pass)
	}
	// A test run wants a whole IP header behind the type of IPv4.
	for n := 34; n < len(ordinary); n++ {
		h.expectEgress("truncated", ordinary[:n], pass)
	}
	vipARP := arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}.bytes()
	for n := 15; n < len(vipARP); n++ {
		h.expectEgress("truncated arp", vipARP[:n], pass)
	}
}
