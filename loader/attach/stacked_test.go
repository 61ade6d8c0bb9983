// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
)

// TestHiddenTags: on a NIC that goes on taking tags out of frames, tc ingress is the place that sees them, and the
// note says why; who insists on native mode is told, too.
func TestHiddenTags(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-hidden")
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{})
	const feature = "rx-vlan-hw-parse"
	d.UseDrivers("")
	d.UseNIC(attach.FakeNIC{On: map[string]bool{feature: true}, Fixed: map[string]bool{feature: true}})
	for _, tc := range []struct {
		want attach.Mode
		got  attach.Mode
	}{
		{attach.ModeAuto, attach.ModeTC},
		{attach.ModeGeneric, attach.ModeTC},
		{attach.ModeNative, attach.ModeNative},
	} {
		a, err := d.Attach(index, "ours", tc.want)
		if err != nil || a.Mode != tc.got ||
			!strings.Contains(a.Note, "rx-vlan-offload of ours off: it stays on") {
			t.Errorf("%s: %+v, %v", tc.want, a, err)
		}
		if err := d.Detach(index); err != nil {
			t.Error(err)
		}
	}
	if in := ingressSits(t, ours); in != "" {
		t.Errorf("left on ingress: %s", in)
	}
}

// TestStackedMode: an interface over another one is served on tc ingress, with the reason, also after an adoption.
func TestStackedMode(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-stacked")
	la := netlink.NewLinkAttrs()
	la.Name = "br0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: la}); err != nil {
		t.Fatal(err)
	}
	br := kerneltest.Must(netlink.LinkByName("br0"))
	if err := netlink.LinkSetMaster(ours, br); err != nil {
		t.Fatal(err)
	}
	o := loader.Options{Dir: kerneltest.TestDir(), Adopt: true}
	var d *loader.Dataplane
	for range 2 {
		if d != nil {
			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
		}
		d = openTest(t, o)
		for _, want := range []attach.Mode{attach.ModeAuto, attach.ModeGeneric} {
			a, err := d.Attach(br.Attrs().Index, "br0", want)
			if err != nil || a.Mode != attach.ModeTC ||
				!strings.Contains(a.Note, "no xdp on a bridge") {
				t.Errorf("%s: %+v, %v", want, a, err)
			}
		}
	}
	if err := d.Detach(br.Attrs().Index); err != nil {
		t.Error(err)
	}
	if in := ingressSits(t, br); in != "" {
		t.Errorf("left on ingress: %s", in)
	}
}
