// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"

	"vipd/loader/tables"
)

// TestTTLRule: adverts of unicast peers may come through a router where that is
// allowed; what goes to the multicast group or a broadcast frame never does.
func TestTTLRule(t *testing.T) {
	h := NewHarness(t, DualVIPs()...)
	c := DualAdvert(1, 0, 0, 7).bytes()
	unicast := Want{Verdict: xdpDrop, Counts: count("received", "drop_unicast_advert"), events: 1}
	refused := Want{Verdict: xdpDrop, Counts: count("bad_ttl")}
	transit := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	for _, tc := range []struct {
		rule           tables.TTLRule
		ours, transits Want
	}{
		{"", refused, Want{Verdict: XDPPass, Counts: count("bad_ttl")}},
		{tables.TTLStrict, refused, Want{Verdict: XDPPass, Counts: count("bad_ttl")}},
		{tables.TTLAny, unicast, transit},
	} {
		s := GoldenSpec(DualVIPs()...)
		s.TTL = tc.rule
		if err := h.Group.Update(s); err != nil {
			t.Fatal(err)
		}
		for _, ttl := range []uint8{1, 64, 254} {
			h.Expect("IPv4 to us", Packet{TTL: ttl, DstMAC: NICMAC, Dst: ownAddr, Payload: c}.Bytes(), tc.ours)
			h.Expect("IPv6 to us", Packet6{Hops: ttl, DstMAC: NICMAC, Dst: ownAddr6, Payload: c}.Bytes(), tc.ours)
			h.Expect("IPv4 in transit", Packet{TTL: ttl, DstMAC: NICMAC, Dst: PeerAddr, Payload: c}.Bytes(), tc.transits)
			h.Expect("IPv4 to the group", Packet{TTL: ttl, Payload: c}.Bytes(), refused)
			h.Expect("IPv4 to the group, broadcast", Packet{TTL: ttl, DstMAC: BroadcastMAC, Payload: c}.Bytes(), refused)
			h.Expect("IPv6 to the group", Packet6{Hops: ttl, Payload: c}.Bytes(), refused)
		}
		h.Expect("255", Packet{DstMAC: NICMAC, Dst: ownAddr, Payload: c}.Bytes(), unicast)
		h.Expect("broadcast, as ucarp --nomcast", Packet{DstMAC: BroadcastMAC, Payload: c}.Bytes(), transit)
		if ttl := h.Seen().TTL; ttl != 255 {
			t.Errorf("recorded ttl %d", ttl)
		}
	}
	s := GoldenSpec(DualVIPs()...)
	s.TTL = "odd"
	if err := h.Group.Update(s); err == nil {
		t.Error("ttl rule odd was accepted")
	}
}
