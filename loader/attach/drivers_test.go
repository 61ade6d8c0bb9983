// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestXDPFeatures: the kernel's answer tells a driver with native XDP from one without, in the namespace of the
// interface. A veth has it, and yet is excluded.
func TestXDPFeatures(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-features")
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "br0"
	if err := netlink.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil {
		t.Fatal(err)
	}
	without := kerneltest.Must(netlink.LinkByName("br0"))
	veth, err := attach.XDPFeatures(ours.Attrs().Index)
	if errors.Is(err, attach.ErrNoNetdevFamily) {
		if err := attach.KernelLacks(without); err == nil || !strings.Contains(err.Error(), "list") {
			t.Errorf("without the kernel's answer: %v", err)
		}
		return
	}
	const basic = 1
	bridge, bridgeErr := attach.XDPFeatures(without.Attrs().Index)
	if err != nil || bridgeErr != nil || veth&basic == 0 || bridge != 0 {
		t.Errorf("veth %#x, %v; bridge %#x, %v", veth, err, bridge, bridgeErr)
	}
	if err := attach.KernelLacks(ours); err == nil || !strings.Contains(err.Error(), "veth") {
		t.Errorf("veth: %v", err)
	}
	if err := attach.KernelLacks(without); err == nil || !strings.Contains(err.Error(), "reports no native xdp") {
		t.Errorf("bridge: %v", err)
	}
	if _, err := attach.XDPFeatures(1 << 20); err == nil {
		t.Error("features of an interface that does not exist")
	}
}

// TestModes: which mode is used for which wish, by what the driver can do, and what the note says about it.
func TestModes(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-modes")
	index := ours.Attrs().Index
	o := loader.Options{Dir: kerneltest.TestDir(), Adopt: true}
	d := openTest(t, o)
	for _, tc := range []struct {
		want  attach.Mode
		lacks string
		got   attach.Mode
		note  string
	}{
		{attach.ModeAuto, "", attach.ModeNative, ""},
		{"", "", attach.ModeNative, ""},
		{attach.ModeAuto, "no engine", attach.ModeTC, "no engine"},
		{attach.ModeNative, "no engine", attach.ModeNative, ""},
		{attach.ModeTC, "", attach.ModeTC, ""},
		{attach.ModeGeneric, "", attach.ModeGeneric, ""},
	} {
		d.UseDrivers(tc.lacks)
		a, err := d.Attach(index, "ours", tc.want)
		if err != nil || a.Mode != tc.got || a.Note != tc.note {
			t.Errorf("%q on a driver that lacks %q: %+v, %v", tc.want, tc.lacks, a, err)
		}
		if err := d.Detach(index); err != nil {
			t.Error(err)
		}
	}
	if _, err := d.Attach(index, "ours", "odd"); err == nil {
		t.Error("mode odd was accepted")
	}

	// A restart with another mode in the config exchanges what is attached.
	for _, tc := range []struct {
		want, got attach.Mode
		sits      string
	}{
		{attach.ModeGeneric, attach.ModeGeneric, "xdp "},
		{attach.ModeAuto, attach.ModeTC, ""},
		{attach.ModeNative, attach.ModeNative, "xdp "},
		{attach.ModeTC, attach.ModeTC, ""},
	} {
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		d = openTest(t, o)
		if a, err := d.Attach(index, "ours", tc.want); err != nil || a.Mode != tc.got {
			t.Errorf("restarted as %s: %+v, %v", tc.want, a, err)
		}
		if got := kerneltest.Left(t, ours); got != tc.sits+kerneltest.Fence(false) {
			t.Errorf("restarted as %s: attached: %s", tc.want, got)
		}
	}
}

// TestTCBehindXDP: where tc ingress is the right place, a program in the XDP slot is named, and nothing is returned to.
func TestTCBehindXDP(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-tcbehind")
	index := ours.Attrs().Index
	theirs := occupy(t, index, "somebody", link.XDPGenericMode)
	d := openTest(t, loader.Options{SlotRest: 1})
	if a, err := d.Attach(index, "ours", attach.ModeAuto); err != nil || a.Mode != attach.ModeTC {
		t.Fatalf("%+v, %v", a, err)
	}
	if got := d.NeedRepair(); !slices.Equal(got, []int{index}) {
		t.Errorf("in need of repair: %v", got)
	}
	if got, err := d.Repair(index); err != nil || !strings.Contains(got.Note, "(somebody) has the xdp slot") {
		t.Errorf("%+v, %v", got, err)
	}
	_ = theirs.Close()
	d.ForgetLook(index)
	if got := d.NeedRepair(); !slices.Equal(got, []int{index}) {
		t.Errorf("gone: in need of repair: %v", got)
	}
	if got, err := d.Repair(index); err != nil || strings.Contains(got.Note, "somebody") || got.Mode != attach.ModeTC ||
		got.Returned {
		t.Errorf("gone: %+v, %v", got, err)
	}
	if got := d.NeedRepair(); got != nil {
		t.Errorf("then in need of repair: %v", got)
	}
	var v object.BPFIface
	if err := d.Objects().Ifaces.Lookup(uint32(index), &v); err != nil || v.Flags&attach.IfaceBoth != 0 {
		t.Errorf("noted: %+v, %v", v, err)
	}
}

// TestNativeWaitsForMaster: native mode, which may take the link down, is not attached while a group of the NIC is
// MASTER, whatever the reason: a free slot, a restart with another mode, a program that was detached. Tc ingress serves
// meanwhile.
func TestNativeWaitsForMaster(t *testing.T) {
	var theirs link.Link
	o := loader.Options{Dir: kerneltest.TestDir(), SlotRest: time.Millisecond, Adopt: true}
	s := newSettling(t, "loader-waits", o, func(ifindex int) {
		theirs = occupy(t, ifindex, "somebody", link.XDPGenericMode)
	})
	as := func(state uint8) {
		s.g.SetRole(tables.Role{State: state, Generation: 1, Lease: model.BootNow() + 60e9})
	}
	waits := func(when string, a attach.Attachment, err error) {
		t.Helper()
		if err != nil || a.Mode != attach.ModeTC || kerneltest.Left(t, s.ours) != kerneltest.Fence(false) {
			t.Errorf("%s: %+v, %v; attached: %s", when, a, err, kerneltest.Left(t, s.ours))
		}
		if !strings.Contains(a.Note, "MASTER") {
			t.Errorf("%s: the note does not say what it waits for: %q", when, a.Note)
		}
	}
	_ = theirs.Close()
	s.d.UseDrivers("")
	s.d.SetWant(s.index, attach.ModeAuto)
	s.d.NeedRepair() // sees the slot free
	time.Sleep(10 * time.Millisecond)
	got, err := s.d.Repair(s.index)
	waits("a free slot", got.Attachment, err)

	for _, mode := range []attach.Mode{attach.ModeAuto, attach.ModeNative} {
		if err := s.d.Close(); err != nil {
			t.Fatal(err)
		}
		s.d = openTest(t, o)
		s.d.UseDrivers("")
		a, err := s.d.Attach(s.index, "ours", mode)
		waits("restarted as "+string(mode), a, err)
	}
	spec := model.GoldenSpec(s.at.String())
	spec.IfIndex = s.index
	if s.g, err = s.d.AddGroup(spec); err != nil {
		t.Fatal(err)
	}

	if s.d.Resetting(s.index) {
		t.Error("the link is said to be reset before native mode was attached")
	}
	as(tables.RoleBackup)
	s.d.NeedRepair()
	time.Sleep(10 * time.Millisecond)
	if got, err = s.d.Repair(s.index); err != nil || got.Mode != attach.ModeNative || !got.Returned || got.Note != "" {
		t.Errorf("BACKUP: %+v, %v", got, err)
	}
	if !s.d.Resetting(s.index) {
		t.Error("native mode was attached, and the link is not said to be reset")
	}
	time.Sleep(150 * time.Millisecond) // both are attached for a while
	if got, err = s.d.Repair(s.index); err != nil || got.Mode != attach.ModeNative {
		t.Errorf("at last: %+v, %v", got, err)
	}

	as(tables.RoleMaster)
	s.takeOff(attach.HookXDP)
	got, err = s.d.Repair(s.index)
	waits("detached by another process", got.Attachment, err)
}

// TestFallBack: clients that do not see the answers of native mode, as on a veth, see those of tc ingress, to which the
// interface is moved, also after a restart. Detaching forgets it; a config that demands native mode keeps it.
func TestFallBack(t *testing.T) {
	o := loader.Options{Dir: kerneltest.TestDir(), Adopt: true}
	s := newSettling(t, "loader-fallback", o, nil)
	index := s.index
	attached := func(when string, want attach.Mode, fellBack string) {
		t.Helper()
		if got := s.d.Now(index); got.Mode != want || got.FellBack != fellBack || (got.Note != "") != (fellBack != "") {
			t.Errorf("%s: %+v", when, got)
		}
	}
	if got, err := s.d.FallBack(index); err != nil || len(got) > 0 {
		t.Errorf("in generic mode: %+v, %v", got, err)
	}
	native := func(mode attach.Mode) {
		t.Helper()
		s.g.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
		s.d.UseDrivers("")
		if err := s.d.Detach(index); err != nil {
			t.Fatal(err)
		}
		if _, err := s.d.Attach(index, "ours", mode); err != nil {
			t.Fatal(err)
		}
		attached("attached", attach.ModeNative, "")
		s.g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, Lease: model.BootNow() + 60e9})
	}
	native(attach.ModeNative)
	if got, err := s.d.FallBack(index); !errors.Is(err, attach.ErrNativeOnly) || len(got) > 0 {
		t.Errorf("native mode demanded: %+v, %v", got, err)
	}
	attached("native mode demanded", attach.ModeNative, "")

	native(attach.ModeAuto)
	s.far.Send(model.ARPFor(s.at.String()).Bytes())
	if f := s.far.Receive(kerneltest.IsARP, 200*time.Millisecond); f != nil {
		t.Errorf("a veth sends what native mode answers: %x", f)
	}
	if got, err := s.d.FallBack(index); err != nil || got[index].Mode != attach.ModeTC {
		t.Errorf("fallen back: %+v, %v", got, err)
	}
	attached("fallen back", attach.ModeTC, attach.FellBackUnseen)
	if got := kerneltest.Left(t, s.ours); got != kerneltest.Fence(false) {
		t.Errorf("fallen back: attached: %s", got)
	}
	s.works("fallen back")

	if err := s.d.Close(); err != nil {
		t.Fatal(err)
	}
	s.d = openTest(t, o)
	s.d.UseDrivers("")
	if _, err := s.d.Attach(index, "ours", attach.ModeAuto); err != nil {
		t.Fatal(err)
	}
	attached("restarted", attach.ModeTC, attach.FellBackUnseen)
}

// TestAttachFailedFallsBack: where native mode cannot be attached, the reason is shown, and it is not tried again.
func TestAttachFailedFallsBack(t *testing.T) {
	ours, peer := kerneltest.Pair(t, "loader-nonative")
	if err := netlink.LinkSetMTU(peer, 9000); err != nil {
		t.Fatal(err)
	}
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{SingleBuffer: true, SlotRest: time.Millisecond}) // a veth refuses it for the MTU
	d.UseDrivers("")
	a, err := d.Attach(index, "ours", attach.ModeAuto)
	if err != nil || a.Mode != attach.ModeTC || a.FellBack != attach.FellBackFailed || a.Note == "" {
		t.Errorf("%+v, %v", a, err)
	}
	d.NeedRepair()
	time.Sleep(10 * time.Millisecond)
	if got := d.NeedRepair(); got != nil {
		t.Errorf("in need of repair: %v", got)
	}
}
