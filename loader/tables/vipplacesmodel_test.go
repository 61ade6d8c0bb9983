// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"testing"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
)

// find looks for an address as bpf/place.h does. ask: the vips map decides.
func (t *vipPlaceTable) find(key object.BPFVipKey) (val [2]uint64, found, ask bool) {
	e := t.entry(vipIndex(key))
	if t.has(e, placeKeyWords(key)) {
		return [2]uint64{e[placeVal], e[placeVal+1]}, true, false
	}
	return val, false, e[placeMore] != 0
}

// TestVIPPlacesModel: whatever comes and goes, in whatever order, what the table says is what the vips map says.
func TestVIPPlacesModel(t *testing.T) {
	kerneltest.Require(t, kerneltest.BPF)
	log := slog.New(slog.DiscardHandler)
	objs, err := object.Load(object.Options{Log: log, MaxGroups: 1, MaxVIPs: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = objs.Close() }()
	table, err := mapVIPPlaces(objs.VipPlaces)
	if err != nil {
		t.Fatal(err)
	}
	var keys []object.BPFVipKey
	for _, ifindex := range []uint32{1, 2, 900} {
		for _, a := range Sharing(t, 4, ifindex) {
			keys = append(keys, object.BPFVipKey{Addr: a.As16(), Ifindex: ifindex})
		}
		keys = append(keys, object.BPFVipKey{Addr: netip.MustParseAddr("2001:db8::100").As16(), Ifindex: ifindex})
	}
	rng := rand.New(rand.NewPCG(1, 2))
	model := make(map[object.BPFVipKey]object.BPFVipVal)
	asked := 0
	for step := range 20_000 {
		key := keys[rng.IntN(len(keys))]
		val := object.BPFVipVal{Group: rng.Uint32N(3), Vip: rng.Uint32N(9), Vhid: uint8(rng.Uint32N(4))}
		if rng.IntN(3) > 0 {
			model[key] = val
			table.put(key, val)
		} else {
			delete(model, key)
			table.drop(key)
		}
		for _, k := range keys {
			val, found, ask := table.find(k)
			want, known := model[k]
			switch {
			case found && (!known || val != vipVal(want)):
				t.Fatalf("step %d: %v has %v, want %v, %v", step, k, val, want, known)
			case !found && !ask && known:
				t.Fatalf("step %d: %v is nobody's to the programs", step, k)
			case !found && ask && known:
				asked++
			}
		}
	}
	if asked == 0 {
		t.Error("no address ever had to do without its entry: nothing was tested")
	}
	for _, k := range keys {
		table.drop(k)
		if _, found, _ := table.find(k); found {
			t.Errorf("%v is there after all", k)
		}
	}
	for _, k := range keys {
		if _, _, ask := table.find(k); ask {
			t.Errorf("the entry of %v still sends to the vips map", k)
		}
	}
	if len(table.more) != 0 {
		t.Errorf("left: %v", table.more)
	}
}
