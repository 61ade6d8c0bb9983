// SPDX-License-Identifier: Apache-2.0

package tables_test

import (
	"errors"
	"log/slog"
	"testing"

	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestTapClosed: who goes shuts the tap behind them.
func TestTapClosed(t *testing.T) {
	h := model.NewHarness(t)
	h.Samples()
	h.Run(model.ARPFor("192.0.2.1").Bytes()) // a budget is open
	if err := h.Plane.CloseTap(); err != nil {
		t.Fatal(err)
	}
	h.Run(model.ARPFor("192.0.2.1").Bytes())
	if st, err := h.Group.TapStats(); err != nil || st.Skipped != 1 {
		t.Errorf("%+v, %v", st, err)
	}
	if _, _, err := h.Plane.DrainTap(nil); !errors.Is(err, object.ErrClosed) {
		t.Errorf("drain: %v", err)
	}
}

// Entries of the places that an earlier vipd left behind fence nothing.
func TestPlacesOfAnEarlierVipdAreCleared(t *testing.T) {
	h := model.NewHarness(t, model.DualVIPs()...)
	gone := object.BPFVipKey{Ifindex: model.LoIndex}
	gone.Addr[15] = 77
	stale := object.BPFGroupKey{Ifindex: model.LoIndex, Vhid: 99}
	h.Plane.PutPlaces(stale, object.BPFGroupVal{Slot: 5}, gone, object.BPFVipVal{Group: 5, Vip: 9, Vhid: 99})
	if !h.Plane.HasVIP(gone) {
		t.Fatal("not written: the witness is missing")
	}
	if err := h.Plane.Tables.Close(); err != nil {
		t.Fatal(err)
	}
	o := tables.Options{Log: slog.New(slog.DiscardHandler)}
	next, err := tables.Open(&h.Plane.Objects.BPFMaps, h.Plane.Objects.TapEpoch, o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = next.Close() }()
	if n, err := next.Adopt(); n != 1 || err != nil {
		t.Fatalf("%d groups adopted, %v", n, err)
	}
	if next.HasVIP(gone) {
		t.Error("the address of nobody is still in its place")
	}
	if next.Entry(stale)[0] == tables.PlaceKey(stale) {
		t.Error("the group that is not there is still in its place")
	}
	for _, addr := range model.GoldenSpec(model.DualVIPs()...).VIPs {
		if !next.HasVIP(object.BPFVipKey{Addr: addr.As16(), Ifindex: model.LoIndex}) {
			t.Errorf("%s is not in its place", addr)
		}
	}
}
