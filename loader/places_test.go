// SPDX-License-Identifier: Apache-2.0

package loader

import "testing"

// TestPlacesShared: interfaces whose groups share an entry of the places map. Each group answers for itself alone,
// whichever came first, and the one without the entry goes on when the other is gone.
func TestPlacesShared(t *testing.T) {
	const far = loIndex + maxPlaces/256 // the same entry
	h := newHarness(t)
	h.master(1)
	toVIP := packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes()
	rewritten := append(append([]byte(nil), nicMAC[:]...), toVIP[6:]...)
	mine := want{verdict: xdpPass, frame: rewritten, counts: map[string]uint64{"packets": 1, "bytes": uint64(len(toVIP))}}

	second := goldenSpec("192.0.2.1")
	second.IfIndex, second.NICMAC = far, [6]byte{2, 0, 0, 0, 0, 0x77}
	g, err := h.d.AddGroup(second)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := h.d.place.words(h.g.key), h.d.place.words(g.key); a != b {
		t.Fatal("the two groups do not share an entry: nothing is tested")
	}
	h.expect("first of two", toVIP, mine)

	// Now the other way round: the group under test comes second, and is found all the same.
	if err := h.g.Remove(); err != nil {
		t.Fatal(err)
	}
	if verdict, out := h.run(toVIP); verdict != xdpPass || out[5] != 1 {
		t.Errorf("no group: verdict %d, frame %x", verdict, out)
	}
	if err := g.Update(second); err != nil { // takes the entry
		t.Fatal(err)
	}
	if h.g, err = h.d.AddGroup(goldenSpec("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	if h.d.place.words(g.key)[0] != placeKey(g.key) {
		t.Fatal("the second group has not got the entry: nothing is tested")
	}
	h.master(h.g.Generation() + 1)
	h.expect("second of two", toVIP, mine)
	h.expect("not the first one's", packet{dstMAC: vmac(2), proto: 17, payload: make([]byte, 30)}.bytes(), want{verdict: xdpPass})
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	h.expect("alone again", toVIP, mine)

	// A new MAC of the NIC takes effect, with the entry and without.
	for range 2 {
		s := goldenSpec("192.0.2.1")
		s.NICMAC = [6]byte{2, 0, 0, 0, 0, 0x55}
		if err := h.g.Update(s); err != nil {
			t.Fatal(err)
		}
		w := mine
		w.frame = append(append([]byte(nil), s.NICMAC[:]...), toVIP[6:]...)
		h.expect("new mac", toVIP, w)
		if err := h.g.Update(goldenSpec("192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		h.expect("old mac", toVIP, mine)
	}
	if h.d.place.words(h.g.key)[0] != placeKey(h.g.key) {
		t.Error("the group does not have its entry")
	}
	if placeKey(bpfGroupKey{Ifindex: 1, Vlan: 2, Vhid: 3}) == placeKey(bpfGroupKey{Ifindex: 1, Vlan: 3, Vhid: 2}) {
		t.Error("two groups have one key")
	}
}
