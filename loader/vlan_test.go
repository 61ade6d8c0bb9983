// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"
)

func rxVLAN(t *testing.T, ifname string) bool {
	t.Helper()
	flags, err := ethtoolFlags(ifname, unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	return flags&ethFlagRXVLAN != 0
}

// TestRXVLANOffload is off while we are attached, and as before afterwards.
func TestRXVLANOffload(t *testing.T) {
	ours, _ := pair(t, "loader-rxvlan")
	index := ours.Attrs().Index
	if !rxVLAN(t, "ours") {
		t.Fatal("a veth is expected to have rx-vlan-offload on")
	}
	o := Options{Dir: testDir(), MaxGroups: 4, MaxVIPs: 4}
	d := openTest(t, o)
	for range 2 {
		if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
			t.Fatal(err)
		}
		if rxVLAN(t, "ours") {
			t.Error("on while attached")
		}
	}
	if err := d.Detach(index); err != nil || !rxVLAN(t, "ours") {
		t.Errorf("after detach: on %v, %v", rxVLAN(t, "ours"), err)
	}
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Cleanup(o); err != nil || !rxVLAN(t, "ours") {
		t.Errorf("after cleanup: on %v, %v", rxVLAN(t, "ours"), err)
	}
	flags, err := ethtoolFlags("ours", unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ethtoolFlags("ours", unix.ETHTOOL_SFLAGS, flags&^ethFlagRXVLAN); err != nil {
		t.Fatal(err)
	}
	d = openTest(t, Options{})
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil || rxVLAN(t, "ours") {
		t.Errorf("it was off before, and is on %v, %v", rxVLAN(t, "ours"), err)
	}
}

// TestOtherVLAN: a request for the VIP on a VLAN is another network's.
func TestOtherVLAN(t *testing.T) {
	ours, peer := pair(t, "loader-vlan")
	// Else the tag stays beside the frame on the veth, where no XDP program sees it.
	const txVLAN = 1 << 7
	flags, err := ethtoolFlags("peer", unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ethtoolFlags("peer", unix.ETHTOOL_SFLAGS, flags&^txVLAN); err != nil {
		t.Fatal(err)
	}
	d := openTest(t, Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	s := goldenSpec("192.0.2.1")
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
	far := packetSocket(t, peer)
	far.send(arpFor("192.0.2.1").bytes())
	if f := far.receive(isARP, 5*time.Second); f == nil {
		t.Fatal("no answer without a tag")
	}
	tagging, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, 0x0081), // 802.1Q in network order, on a little-endian machine
		asm.Mov.Imm(asm.R3, 10),
		asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer tagging.Close()
	l, err := link.AttachTCX(link.TCXOptions{Interface: peer.Attrs().Index, Program: tagging, Attach: ebpf.AttachTCXEgress})
	if err != nil {
		t.Skipf("no tcx to tag with: %v", err)
	}
	defer l.Close()
	far.send(arpFor("192.0.2.1").bytes())
	if f := far.receive(isARP, 300*time.Millisecond); f != nil {
		t.Errorf("answered a VLAN's request: %x", f)
	}
	st, err := g.VIPStats()
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range st {
		if v.ARPRequests != 1 {
			t.Errorf("counted %+v", v)
		}
	}
}
