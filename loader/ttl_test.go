// SPDX-License-Identifier: Apache-2.0

package loader

import "testing"

// TestTTLRule: adverts of unicast peers may come through a router where that is
// allowed; what goes to the multicast group or a broadcast frame never does.
func TestTTLRule(t *testing.T) {
	h := newHarness(t, dualVIPs()...)
	c := dualAdvert(1, 0, 0, 7).bytes()
	unicast := want{verdict: xdpDrop, counts: count("received", "drop_unicast_advert"), events: 1}
	refused := want{verdict: xdpDrop, counts: count("bad_ttl")}
	transit := want{verdict: xdpPass, counts: count("received"), events: 1}
	for _, tc := range []struct {
		rule           TTLRule
		ours, transits want
	}{
		{"", refused, want{verdict: xdpPass, counts: count("bad_ttl")}},
		{TTLStrict, refused, want{verdict: xdpPass, counts: count("bad_ttl")}},
		{TTLAny, unicast, transit},
	} {
		s := goldenSpec(dualVIPs()...)
		s.TTL = tc.rule
		if err := h.g.Update(s); err != nil {
			t.Fatal(err)
		}
		for _, ttl := range []uint8{1, 64, 254} {
			h.expect("IPv4 to us", packet{ttl: ttl, dstMAC: nicMAC, dst: ownAddr, payload: c}.bytes(), tc.ours)
			h.expect("IPv6 to us", packet6{hops: ttl, dstMAC: nicMAC, dst: ownAddr6, payload: c}.bytes(), tc.ours)
			h.expect("IPv4 in transit", packet{ttl: ttl, dstMAC: nicMAC, dst: peerAddr, payload: c}.bytes(), tc.transits)
			h.expect("IPv4 to the group", packet{ttl: ttl, payload: c}.bytes(), refused)
			h.expect("IPv4 to the group, broadcast", packet{ttl: ttl, dstMAC: broadcastMAC, payload: c}.bytes(), refused)
			h.expect("IPv6 to the group", packet6{hops: ttl, payload: c}.bytes(), refused)
		}
		h.expect("255", packet{dstMAC: nicMAC, dst: ownAddr, payload: c}.bytes(), unicast)
		h.expect("broadcast, as ucarp --nomcast", packet{dstMAC: broadcastMAC, payload: c}.bytes(), transit)
		if ttl := h.seen().TTL; ttl != 255 {
			t.Errorf("recorded ttl %d", ttl)
		}
	}
	s := goldenSpec(dualVIPs()...)
	s.TTL = "odd"
	if err := h.g.Update(s); err == nil {
		t.Error("ttl rule odd was accepted")
	}
}
