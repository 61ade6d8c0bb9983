// SPDX-License-Identifier: Apache-2.0

package tables_test

import (
	"testing"

	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestPlacesShared: interfaces whose groups share an entry of the places map. Each group answers for itself alone,
// whichever came first, and the one without the entry goes on when the other is gone.
func TestPlacesShared(t *testing.T) {
	const far = model.LoIndex + tables.MaxPlaces/256 // the same entry
	h := model.NewHarness(t)
	h.Master(1)
	toVIP := model.Packet{DstMAC: model.VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes()
	rewritten := append(append([]byte(nil), model.NICMAC[:]...), toVIP[6:]...)
	mine := model.Want{
		Verdict: model.XDPPass,
		Frame:   rewritten,
		Counts:  map[string]uint64{"packets": 1, "bytes": uint64(len(toVIP))},
	}

	second := model.GoldenSpec("192.0.2.1")
	second.IfIndex, second.NICMAC = far, [6]byte{2, 0, 0, 0, 0, 0x77}
	g, err := h.Plane.AddGroup(second)
	if err != nil {
		t.Fatal(err)
	}
	if a, b := h.Plane.Entry(h.Group.Key()), h.Plane.Entry(g.Key()); a != b {
		t.Fatal("the two groups do not share an entry: nothing is tested")
	}
	h.Expect("first of two", toVIP, mine)

	// Now the other way round: the group under test comes second, and is found all the same.
	if err := h.Group.Remove(); err != nil {
		t.Fatal(err)
	}
	if verdict, out := h.Run(toVIP); verdict != model.XDPPass || out[5] != 1 {
		t.Errorf("no group: verdict %d, frame %x", verdict, out)
	}
	if err := g.Update(second); err != nil { // takes the entry
		t.Fatal(err)
	}
	if h.Group, err = h.Plane.AddGroup(model.GoldenSpec("192.0.2.1")); err != nil {
		t.Fatal(err)
	}
	if h.Plane.Entry(g.Key())[0] != tables.PlaceKey(g.Key()) {
		t.Fatal("the second group has not got the entry: nothing is tested")
	}
	h.Master(h.Group.Generation() + 1)
	h.Expect("second of two", toVIP, mine)
	h.Expect(
		"not the first one's",
		model.Packet{DstMAC: model.VMAC(2), Proto: 17, Payload: make([]byte, 30)}.Bytes(),
		model.Want{Verdict: model.XDPPass},
	)
	if err := g.Remove(); err != nil {
		t.Fatal(err)
	}
	h.Expect("alone again", toVIP, mine)

	// A new MAC of the NIC takes effect, with the entry and without.
	for range 2 {
		s := model.GoldenSpec("192.0.2.1")
		s.NICMAC = [6]byte{2, 0, 0, 0, 0, 0x55}
		if err := h.Group.Update(s); err != nil {
			t.Fatal(err)
		}
		w := mine
		w.Frame = append(append([]byte(nil), s.NICMAC[:]...), toVIP[6:]...)
		h.Expect("new mac", toVIP, w)
		if err := h.Group.Update(model.GoldenSpec("192.0.2.1")); err != nil {
			t.Fatal(err)
		}
		h.Expect("old mac", toVIP, mine)
	}
	if h.Plane.Entry(h.Group.Key())[0] != tables.PlaceKey(h.Group.Key()) {
		t.Error("the group does not have its entry")
	}
	if tables.PlaceKey(
		object.BPFGroupKey{Ifindex: 2, Vhid: 3},
	) == tables.PlaceKey(object.BPFGroupKey{Ifindex: 3, Vhid: 2}) {
		t.Error("two groups have one key")
	}
}
