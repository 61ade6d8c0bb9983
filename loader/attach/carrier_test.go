// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"testing"

	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
)

// addVLAN makes a VLAN device that is up.
func addVLAN(t *testing.T, parent netlink.Link, name string, proto netlink.VlanProtocol, id int) netlink.Link {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex = name, parent.Attrs().Index
	v := &netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: proto}
	if err := errors.Join(netlink.LinkAdd(v), netlink.LinkSetUp(v)); err != nil {
		t.Fatal(err)
	}
	return kerneltest.Must(netlink.LinkByName(name))
}

// vlanEntries are the VLANs that the program knows.
func vlanEntries(t *testing.T, d *loader.Dataplane) map[object.BPFVlanKey]uint32 {
	t.Helper()
	out := make(map[object.BPFVlanKey]uint32)
	var k object.BPFVlanKey
	var v uint32
	it := d.Objects().Vlans.Iterate()
	for it.Next(&k, &v) {
		out[k] = v
	}
	if err := it.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestCarrier: the program of the parent serves VLAN devices, comes with the first of
// them and goes with the last, and whoever adopts it knows all that.
func TestCarrier(t *testing.T) {
	kerneltest.Require(t, kerneltest.VLAN)
	ours, _ := kerneltest.Pair(t, "loader-carrier")
	index := ours.Attrs().Index
	one := addVLAN(t, ours, "ours.100", netlink.VLAN_PROTOCOL_8021Q, 100)
	service := addVLAN(t, ours, "ours.200", netlink.VLAN_PROTOCOL_8021AD, 200)
	two := addVLAN(t, service, "ours.200.30", netlink.VLAN_PROTOCOL_8021Q, 30)
	deep := addVLAN(t, two, "ours.200.30.4", netlink.VLAN_PROTOCOL_8021Q, 4)
	want := map[object.BPFVlanKey]uint32{
		model.VLANKey(index, []uint32{0x8100<<16 | 100}):                  uint32(one.Attrs().Index),
		model.VLANKey(index, []uint32{0x88a8<<16 | 200, 0x8100<<16 | 30}): uint32(two.Attrs().Index),
	}
	o := loader.Options{Dir: kerneltest.TestDir(), MaxGroups: 4, MaxVIPs: 4, Adopt: true}
	d := openTest(t, o)
	attachAs := func(l netlink.Link, mode attach.Mode, parent string) {
		t.Helper()
		a, err := d.Attach(l.Attrs().Index, l.Attrs().Name, mode)
		if err != nil || a.Mode != mode || a.Parent != parent {
			t.Fatalf("%s: %+v, %v", l.Attrs().Name, a, err)
		}
	}
	sits := func(when string, l netlink.Link, want string) {
		t.Helper()
		if got := kerneltest.Left(t, l); got != want {
			t.Errorf("%s: on %s: %q, want %q", when, l.Attrs().Name, got, want)
		}
	}
	egress := kerneltest.Fence(false)
	attachAs(one, attach.ModeNative, "ours")
	attachAs(two, attach.ModeNative, "ours")
	attachAs(one, attach.ModeNative, "ours")
	sits("two VLANs", ours, "xdp")
	sits("two VLANs", one, egress)
	sits("two VLANs", two, egress)
	if got := vlanEntries(t, d); len(got) != 2 ||
		got[model.VLANKey(index, []uint32{0x8100<<16 | 100})] != want[model.VLANKey(index, []uint32{0x8100<<16 | 100})] {
		t.Errorf("known: %v, want %v", got, want)
	}
	if kerneltest.RXVLAN(t, "ours") {
		t.Error("the parent hides tags")
	}
	// Too many tags for the program: on the device itself, and not native.
	attachAs(deep, attach.ModeGeneric, "")
	sits("generic", deep, "xdp "+egress)
	if _, err := d.Attach(deep.Attrs().Index, deep.Attrs().Name, attach.ModeGeneric); err != nil {
		t.Error(err)
	}
	if err := d.Detach(deep.Attrs().Index); err != nil {
		t.Error(err)
	}
	if _, err := d.Attach(deep.Attrs().Index, deep.Attrs().Name, attach.ModeNative); err == nil {
		t.Error("native with three tags")
	}
	// A group of its own comes and goes on the parent.
	attachAs(ours, attach.ModeNative, "")
	sits("own group", ours, "xdp "+egress)
	if err := d.Detach(index); err != nil {
		t.Error(err)
	}
	sits("own group gone", ours, "xdp")

	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, o)
	if got := vlanEntries(t, d); len(got) != 2 {
		t.Errorf("adopted: %v", got)
	}
	attachAs(two, attach.ModeNative, "ours")
	if _, err := d.DropUnclaimed(); err != nil {
		t.Error(err)
	}
	sits("one claimed", ours, "xdp")
	sits("one claimed", one, "")
	sits("one claimed", two, egress)
	if got := vlanEntries(t, d); len(got) != 1 {
		t.Errorf("one claimed: %v", got)
	}
	// It comes back under its index with another tag.
	twoIndex := two.Attrs().Index
	if err := netlink.LinkDel(two); err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.ParentIndex, attrs.Index = "ours.31", index, twoIndex
	if err := netlink.LinkAdd(
		&netlink.Vlan{LinkAttrs: attrs, VlanId: 31, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q},
	); err != nil {
		t.Fatal(err)
	}
	two = kerneltest.Must(netlink.LinkByName("ours.31"))
	attachAs(two, attach.ModeNative, "ours")
	if got := vlanEntries(t, d); len(got) != 1 ||
		got[model.VLANKey(index, []uint32{0x8100<<16 | 31})] != uint32(twoIndex) {
		t.Errorf("anew: %v", got)
	}
	if err := d.Detach(twoIndex); err != nil {
		t.Error(err)
	}
	sits("all gone", two, "")
	sits("all gone", ours, "")
	if !kerneltest.RXVLAN(t, "ours") {
		t.Error("rx-vlan-offload stays off")
	}
	if got := vlanEntries(t, d); len(got) != 0 {
		t.Errorf("all gone: %v", got)
	}
}

// TestTagsLeftInFrames: a VLAN device whose frames keep their tags is refused, in all modes,
// with what to do about it.
func TestTagsLeftInFrames(t *testing.T) {
	kerneltest.Require(t, kerneltest.VLAN)
	ours, _ := kerneltest.Pair(t, "loader-tagged")
	off := false
	v := &netlink.Vlan{LinkAttrs: netlink.NewLinkAttrs(), VlanId: 100, ReorderHdr: &off}
	v.Name, v.ParentIndex = "ours.100", ours.Attrs().Index
	if err := errors.Join(netlink.LinkAdd(v), netlink.LinkSetUp(v)); err != nil {
		t.Fatal(err)
	}
	d := openTest(t, loader.Options{})
	for _, mode := range []attach.Mode{attach.ModeGeneric, attach.ModeGeneric, attach.ModeNative} {
		if _, err := d.Attach(
			kerneltest.Must(netlink.LinkByName("ours.100")).Attrs().Index,
			"ours.100",
			mode,
		); !errors.Is(err, attach.ErrTagged) {
			t.Errorf("%s: %v", mode, err)
		}
	}
}
