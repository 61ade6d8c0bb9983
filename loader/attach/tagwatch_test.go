// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"slices"
	"strings"
	"testing"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
)

// TestOffloadsSwitchedOnAgain: VLAN offloads that somebody switches on after XDP is there are found within a look and
// switched off again, and put back at the end.
func TestOffloadsSwitchedOnAgain(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-tagwatch")
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{})
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	for n := 1; n <= attach.TagsOften; n++ {
		if err := attach.SwitchFeature("ours", "rx-vlan-hw-parse", true); err != nil {
			t.Fatal(err)
		}
		d.ForgetLook(index)
		if got := d.NeedRepair(); !slices.Equal(got, []int{index}) {
			t.Fatalf("%d: in need of repair %v", n, got)
		}
		d.ForgetLook(index)
		s, err := d.Repair(index)
		if err != nil || !slices.Equal(s.Offloads, []string{"rx-vlan-offload"}) || len(s.Lost) != 0 ||
			kerneltest.RXVLAN(t, "ours") {
			t.Fatalf("%d: repaired %+v, %v; on: %v", n, s, err, kerneltest.RXVLAN(t, "ours"))
		}
		if named := strings.Contains(s.Note, "rx-vlan-offload"); named != (n >= attach.TagsOften) {
			t.Errorf("%d: note %q", n, s.Note)
		}
		d.ForgetLook(index)
		if got := d.NeedRepair(); len(got) != 0 {
			t.Errorf("%d: in need of repair %v afterwards", n, got)
		}
	}
	if _, ok := d.Attended(index); !ok {
		t.Error("the program is gone")
	}
	if err := d.Detach(index); err != nil || !kerneltest.RXVLAN(t, "ours") {
		t.Errorf("after detach: on %v, %v", kerneltest.RXVLAN(t, "ours"), err)
	}
}

// TestOffloadsThatStayOn: a driver that does not switch them off leaves tc ingress, where tags are seen.
func TestOffloadsThatStayOn(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-tagstays")
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{})
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	stuck := map[string]bool{"rx-vlan-hw-parse": true}
	d.UseNIC(attach.FakeNIC{On: stuck, Fixed: stuck})
	d.ForgetLook(index)
	s, err := d.Repair(index)
	if err != nil || s.Mode != attach.ModeTC ||
		!strings.Contains(s.Note, "rx-vlan-offload") {
		t.Fatalf("repaired %+v, %v", s, err)
	}
	d.ForgetLook(index)
	if got := d.NeedRepair(); len(got) != 0 {
		t.Errorf("in need of repair %v afterwards", got)
	}
	d.UseRealNIC()
}
