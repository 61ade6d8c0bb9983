// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

func TestAttach(t *testing.T) {
	for _, tc := range []struct {
		name, ns, egress, sits string
		clsact                 bool
	}{
		{"tcx", "loader-tcx", attach.EgressTCX, "xdp tcx", false},
		{"clsact", "loader-clsact", attach.EgressClsact, "xdp clsact filter", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !tc.clsact {
				kerneltest.RequireTCX(t)
			}
			ours, _ := kerneltest.Pair(t, tc.ns)
			index := ours.Attrs().Index
			d := openTest(t, loader.Options{ForceClsact: tc.clsact})
			for _, want := range []attach.Mode{attach.ModeGeneric, attach.ModeGeneric} {
				a, err := d.Attach(index, "ours", want)
				if err != nil {
					t.Fatal(err)
				}
				if a != (attach.Attachment{Mode: attach.ModeGeneric, Egress: tc.egress}) {
					t.Errorf("mode %q: %+v", want, a)
				}
			}
			if got := kerneltest.Left(t, ours); got != tc.sits {
				t.Errorf("attached: %s, want %s", got, tc.sits)
			}
			a, err := d.Attach(index, "ours", attach.ModeNative)
			if err != nil || a.Mode != attach.ModeNative {
				t.Errorf("change of mode: %+v, %v", a, err)
			}
			if got := kerneltest.Left(t, ours); got != tc.sits {
				t.Errorf("after a change of mode: %s, want %s", got, tc.sits)
			}
			if err := errors.Join(d.Detach(index), d.Detach(index)); err != nil {
				t.Error(err)
			}
			if got := kerneltest.Left(t, ours); got != "" {
				t.Errorf("after detach: %s", got)
			}
			if _, err := d.Attach(index, "ours", "odd"); err == nil {
				t.Error("mode odd was accepted")
			}
			if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
				t.Fatal(err)
			}
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
			if got := kerneltest.Left(t, ours); got != "" {
				t.Errorf("after remove: %s", got)
			}
		})
	}
}

// TestAttachVanished: an interface that goes and comes back is attached anew.
func TestAttachVanished(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-vanish")
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{})
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	if err := netlink.LinkDel(ours); err != nil {
		t.Fatal(err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "ours", index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	again, err := netlink.LinkByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	if got := kerneltest.Left(t, again); got != "xdp "+kerneltest.Fence(false) {
		t.Errorf("attached anew: %q", got)
	}
	if err := netlink.LinkDel(again); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil {
		t.Errorf("detach from what is gone: %v", err)
	}
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err == nil {
		t.Error("attached to nothing")
	}
}

func TestSlotTaken(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-taken")
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, Name: "somebody", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	l, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: ours.Attrs().Index, Flags: link.XDPGenericMode})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, clsact := range []bool{false, true} {
		d := openTest(t, loader.Options{ForceClsact: clsact})
		_, err = d.Attach(ours.Attrs().Index, "ours", attach.ModeNative)
		if !errors.Is(err, attach.ErrSlotTaken) || !strings.Contains(err.Error(), "somebody") ||
			!strings.Contains(err.Error(), "ours") {
			t.Errorf("clsact %v: %v", clsact, err)
		}
		if got := kerneltest.Left(t, ours); got != "xdp" {
			t.Errorf("beside the other program is left: %s", got)
		}
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignClsact: a qdisc with somebody else's filter stays, ours goes.
func TestForeignClsact(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-foreign")
	index := ours.Attrs().Index
	d := openTest(t, loader.Options{ForceClsact: true})
	if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	other := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: index,
			Parent:    netlink.HANDLE_MIN_EGRESS,
			Handle:    1,
			Protocol:  unix.ETH_P_ALL,
			Priority:  7,
		},
		Fd:           d.Objects().VipdEgress.FD(),
		Name:         "other",
		DirectAction: true,
	}
	if err := netlink.FilterAdd(other); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil {
		t.Fatal(err)
	}
	if got := kerneltest.Left(t, ours); got != "clsact filter" {
		t.Errorf("left: %s", got)
	}
}

// TestCleanup plays a daemon that died: its handles are closed, nothing else.
func TestCleanup(t *testing.T) {
	for _, tc := range []struct {
		name, ns, sits string
		clsact         bool
		report         loader.CleanupReport
	}{
		{"tcx", "loader-clean", "xdp tcx", false, loader.CleanupReport{Links: 2}},
		{"clsact", "loader-cleancls", "xdp clsact filter", true, loader.CleanupReport{Links: 1, Filters: 1}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !tc.clsact {
				kerneltest.RequireTCX(t)
			}
			ours, _ := kerneltest.Pair(t, tc.ns)
			index := ours.Attrs().Index
			o := loader.Options{Dir: kerneltest.TestDir(), ForceClsact: tc.clsact, MaxGroups: 4, MaxVIPs: 8}
			die := func() {
				d, err := loader.Open(o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil {
					t.Fatal(err)
				}
				s := model.GoldenSpec("192.0.2.200", "192.0.2.1")
				s.IfIndex = index
				g, err := d.AddGroup(s)
				if err != nil {
					t.Fatal(err)
				}
				g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 5, Lease: model.BootNow() + 60e9})
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if got := kerneltest.Left(t, ours); got != tc.sits {
					t.Errorf("after death: %s, want %s", got, tc.sits)
				}
			}
			die()
			vips, err := loader.LeftBehind(o.Dir)
			want := []tables.LeftVIP{
				{IfIndex: index, Addr: netip.MustParseAddr("192.0.2.1"), VHID: 1},
				{IfIndex: index, Addr: netip.MustParseAddr("192.0.2.200"), VHID: 1},
			}
			if err != nil || len(vips) != 2 || vips[0] != want[0] || vips[1] != want[1] {
				t.Errorf("left behind %+v, %v", vips, err)
			}
			r, err := loader.Cleanup(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Links != tc.report.Links || r.Filters != tc.report.Filters || r.Maps != len((&object.Set{}).All()) ||
				len(r.Interfaces) != 1 ||
				r.Interfaces[0] != index {
				t.Errorf("report %+v", r)
			}
			if got := kerneltest.Left(t, ours); got != "" {
				t.Errorf("after cleanup: %s", got)
			}
			if _, err := os.Stat(o.Dir); err == nil {
				t.Errorf("%s is left", o.Dir)
			}
			if r, err := loader.Cleanup(o); err != nil || !r.Empty() {
				t.Errorf("again: %+v, %v", r, err)
			}
			if vips, err := loader.LeftBehind(o.Dir); err != nil || vips != nil {
				t.Errorf("left behind after cleanup: %+v, %v", vips, err)
			}
			// The next daemon clears up by itself.
			die()
			d := openTest(t, o)
			if got := kerneltest.Left(t, ours); got != "" {
				t.Errorf("after the next open: %s", got)
			}
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}
