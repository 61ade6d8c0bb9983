// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"fmt"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
)

// entries counts those of every pinned map that is keyed by interface, group or address.
func entries(t *testing.T, d *loader.Dataplane) map[string]int {
	t.Helper()
	o := d.Objects()
	out := map[string]int{}
	for name, m := range map[string]*ebpf.Map{
		object.BPFMapGroups:  o.Groups,
		object.BPFMapVips:    o.Vips,
		object.BPFMapVlans:   o.Vlans,
		object.BPFMapIfaces:  o.Ifaces,
		object.BPFMapIfStats: o.IfStats,
		object.BPFMapSources: o.Sources,
	} {
		var last any // nil is before the first
		for {
			key, err := m.NextKeyBytes(last)
			if err != nil {
				t.Fatal(err)
			}
			if key == nil {
				break
			}
			last = key
			out[name]++
		}
	}
	return out
}

// TestMapsForgetInterfaces: an interface that is made and deleted 50 times leaves no entry, whatever goes first.
func TestMapsForgetInterfaces(t *testing.T) {
	kerneltest.Pair(t, "loader-forget")
	for _, order := range []string{"interface first", "detached first", "adopted"} {
		t.Run(order, func(t *testing.T) {
			o := loader.Options{Dir: kerneltest.TestDir(), Adopt: true, MaxGroups: 8, MaxVIPs: 16}
			d, err := loader.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Remove(); err != nil {
					t.Error(err)
				}
			}()
			before := entries(t, d)
			rounds := 50
			if order == "adopted" {
				rounds = 5
			}
			for i := range rounds {
				l := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "gone"}, PeerName: "gonepeer"}
				if err := netlink.LinkAdd(l); err != nil {
					t.Fatal(err)
				}
				index := kerneltest.Must(netlink.LinkByName("gone")).Attrs().Index
				if _, err := d.Attach(index, "gone", attach.ModeGeneric); err != nil {
					t.Fatal(err)
				}
				s := model.GoldenSpec("192.0.2.1", "2001:db8::1")
				s.IfIndex = index
				g, err := d.AddGroup(s)
				if err != nil {
					t.Fatal(err)
				}
				if there := entries(t, d); there[object.BPFMapIfStats] != 1 || there[object.BPFMapGroups] != 1 ||
					there[object.BPFMapVips] != 2 || there[object.BPFMapIfaces] != 1 {
					t.Fatalf("round %d: %v", i, there)
				}
				drop := func() {
					if err := netlink.LinkDel(l); err != nil {
						t.Fatal(err)
					}
				}
				if order != "detached first" {
					drop()
				}
				if order == "adopted" { // the vipd of before never learnt of it
					if err := d.Close(); err != nil {
						t.Fatal(err)
					}
					if d, err = loader.Open(o); err != nil {
						t.Fatal(err)
					}
					if _, err := d.DropUnclaimed(); err != nil {
						t.Fatal(err)
					}
				} else if err := g.Remove(); err != nil {
					t.Fatal(err)
				}
				if err := d.Detach(index); err != nil {
					t.Fatal(err)
				}
				if order == "detached first" {
					drop()
				}
			}
			if after := entries(t, d); fmt.Sprint(after) != fmt.Sprint(before) {
				t.Errorf("entries %v, before %v", after, before)
			}
		})
	}
}

// TestFullCountersMakeRoom: entries that an earlier vipd left are adopted by nobody, and a full map keeps no interface
// out.
func TestFullCountersMakeRoom(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-full")
	o := loader.Options{Dir: kerneltest.TestDir(), Adopt: true, MaxGroups: 8, MaxVIPs: 16}
	d, err := loader.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}()
	fill := func() {
		t.Helper()
		none := make([]object.BPFIfStats, ebpf.MustPossibleCPU())
		for i := range d.Objects().IfStats.MaxEntries() {
			if err := d.Objects().IfStats.Update(1_000_000+i, none, ebpf.UpdateAny); err != nil {
				return
			}
		}
	}
	fill()
	full := entries(t, d)[object.BPFMapIfStats]
	if err := d.Objects().IfStats.Update(
		uint32(7),
		make([]object.BPFIfStats, ebpf.MustPossibleCPU()),
		ebpf.UpdateNoExist,
	); err == nil {
		t.Fatalf("not full with %d entries", full)
	}
	if _, err := d.Attach(ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
		t.Fatalf("with %d entries: %v", full, err)
	}
	if n := entries(t, d)[object.BPFMapIfStats]; n != 1 {
		t.Errorf("%d entries are left", n)
	}
	fill()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if d, err = loader.Open(o); err != nil {
		t.Fatal(err)
	}
	if n := entries(t, d)[object.BPFMapIfStats]; n != 1 {
		t.Errorf("%d entries are adopted", n)
	}
}
