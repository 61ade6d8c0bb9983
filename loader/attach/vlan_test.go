// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/tables"
)

// TestRXVLANOffload is off while we are attached, and as before afterwards.
func TestRXVLANOffload(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-rxvlan")
	index := ours.Attrs().Index
	if !kerneltest.RXVLAN(t, "ours") {
		t.Fatal("a veth is expected to have rx-vlan-offload on")
	}
	o := loader.Options{Dir: kerneltest.TestDir(), MaxGroups: 4, MaxVIPs: 4}
	d := openTest(t, o)
	for range 2 {
		if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
			t.Fatal(err)
		}
		if kerneltest.RXVLAN(t, "ours") {
			t.Error("on while attached")
		}
	}
	if err := d.Detach(index); err != nil || !kerneltest.RXVLAN(t, "ours") {
		t.Errorf("after detach: on %v, %v", kerneltest.RXVLAN(t, "ours"), err)
	}
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := loader.Cleanup(o); err != nil || !kerneltest.RXVLAN(t, "ours") {
		t.Errorf("after cleanup: on %v, %v", kerneltest.RXVLAN(t, "ours"), err)
	}
	for _, feature := range []string{"rx-vlan-hw-parse", "rx-vlan-stag-hw-parse"} {
		if err := attach.SwitchFeature("ours", feature, false); err != nil {
			t.Fatal(err)
		}
	}
	d = openTest(t, loader.Options{})
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil || kerneltest.RXVLAN(t, "ours") {
		t.Errorf("it was off before, and is on %v, %v", kerneltest.RXVLAN(t, "ours"), err)
	}
}

// TestOtherVLAN: a request for the VIP on a VLAN is another network's.
func TestOtherVLAN(t *testing.T) {
	ours, peer := kerneltest.Pair(t, "loader-vlan")
	// Else the tag stays beside the frame on the veth, where no XDP program sees it.
	const txVLAN = 1 << 7
	flags, err := kerneltest.EthtoolFlags("peer", unix.ETHTOOL_GFLAGS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kerneltest.EthtoolFlags("peer", unix.ETHTOOL_SFLAGS, flags&^txVLAN); err != nil {
		t.Fatal(err)
	}
	d := openTest(t, loader.Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	s := model.GoldenSpec("192.0.2.1")
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
	far := kerneltest.PacketSocket(t, peer)
	far.Send(model.ARPFor("192.0.2.1").Bytes())
	if f := far.Receive(kerneltest.IsARP, 5*time.Second); f == nil {
		t.Fatal("no answer without a tag")
	}
	tagAll(t, peer, 10)
	far.Send(model.ARPFor("192.0.2.1").Bytes())
	if f := far.Receive(kerneltest.IsARP, 300*time.Millisecond); f != nil {
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

// tagAll gives every frame that leaves an interface a tag of 802.1Q beside it, before
// other programs on its egress see it.
func tagAll(t *testing.T, l netlink.Link, tci int32) {
	t.Helper()
	tagging, err := ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Imm(asm.R2, int32(model.BigEndian16(unix.ETH_P_8021Q))),
		asm.Mov.Imm(asm.R3, tci),
		asm.FnSkbVlanPush.Call(),
		asm.Mov.Imm(asm.R0, -1),
		asm.Return(),
	}})
	if err != nil {
		t.Fatal(err)
	}
	attached, err := link.AttachTCX(
		link.TCXOptions{Interface: l.Attrs().Index, Program: tagging, Attach: ebpf.AttachTCXEgress, Anchor: link.Head()},
	)
	if err := errors.Join(err, tagging.Close()); err != nil {
		t.Skipf("no tcx to tag with: %v", err)
	}
	t.Cleanup(func() {
		if err := attached.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestEgressTags: a tag with an id means that the frame is a VLAN device's, on which it was
// judged; one without is only a priority and changes nothing.
func TestEgressTags(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tci    int32
		judged bool
	}{{"a priority", 5 << 13, true}, {"a vlan", 5<<13 | 10, false}} {
		t.Run(tc.name, func(t *testing.T) {
			ours, peer := kerneltest.Pair(t, fmt.Sprint("loader-egtags", tc.tci))
			d := openTest(t, loader.Options{})
			if _, err := d.Attach(ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
				t.Fatal(err)
			}
			s := model.GoldenSpec(model.DualVIPs()...)
			s.IfIndex = ours.Attrs().Index
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			tagAll(t, ours, tc.tci)
			far, near := kerneltest.PacketSocket(t, peer), kerneltest.PacketSocket(t, ours)
			fromVIP := map[string][]byte{
				"arp": model.ARP{
					DstMAC: model.BroadcastMAC,
					SrcMAC: model.NICMAC,
					Op:     1,
					SHA:    model.NICMAC,
					SIP:    "192.0.2.1",
					TIP:    "192.0.2.2",
				}.Bytes(),
				"ip": model.Packet{
					SrcMAC:  model.NICMAC,
					DstMAC:  model.PeerMAC,
					Src:     s.VIPs[0],
					Dst:     model.PeerAddr,
					TTL:     64,
					Proto:   17,
					Payload: make([]byte, 30),
				}.Bytes(),
				"ipv6": model.Packet6{
					SrcMAC:  model.NICMAC,
					DstMAC:  model.PeerMAC,
					Src:     model.VIP6,
					Dst:     model.PeerAddr6,
					Hops:    64,
					Next:    17,
					Payload: make([]byte, 30),
				}.Bytes(),
				"nd": model.ND{
					DstMAC:  model.PeerMAC,
					SrcMAC:  model.NICMAC,
					Src:     model.VIP6,
					Dst:     model.PeerAddr6,
					Type:    136,
					Target:  model.VIP6,
					Options: model.LLOption(2, model.NICMAC),
				}.Bytes(),
			}
			for name, f := range fromVIP {
				near.Send(f)
				got := far.Receive(
					func(got []byte) bool { return bytes.Equal(got, f) },
					map[bool]time.Duration{true: 100 * time.Millisecond, false: 5 * time.Second}[tc.judged],
				)
				if (got == nil) != tc.judged {
					t.Errorf("%s of a BACKUP: left %v", name, got != nil)
				}
			}
			st, err := g.Stats()
			if err != nil {
				t.Fatal(err)
			}
			drops := uint64(0)
			for _, n := range st.Dropped {
				drops += n
			}
			if want := map[bool]uint64{true: uint64(len(fromVIP))}[tc.judged]; drops != want {
				t.Errorf("%d frames were dropped, want %d: %v", drops, want, st.Dropped)
			}
			g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
			near.Send(fromVIP["arp"])
			want := model.VMAC(1)
			if !tc.judged {
				want = model.NICMAC
			}
			if f := far.Receive(kerneltest.IsARP, 5*time.Second); f == nil || !bytes.Equal(f[6:12], want[:]) {
				t.Errorf("of a MASTER: %x, want it from %x", f, want)
			}
		})
	}
}
