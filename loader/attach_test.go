// SPDX-License-Identifier: Apache-2.0

package loader

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

	"vipd/loader/internal/kerneltest"
)

// pair makes a veth pair, both ends up, in a namespace of its own.
func pair(t *testing.T, ns string) (ours, peer netlink.Link) {
	t.Helper()
	kerneltest.Require(t, kerneltest.BPF)
	kerneltest.EnterNetns(t, ns)
	return veth(t, "ours", "peer")
}

// veth makes a pair in this namespace, both ends up.
func veth(t *testing.T, name, peerName string) (ours, peer netlink.Link) {
	t.Helper()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = name, nicMAC[:]
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: peerName, PeerHardwareAddr: peerMAC[:]}); err != nil {
		t.Fatal(err)
	}
	links := make([]netlink.Link, 2)
	for i, name := range []string{name, peerName} {
		l, err := netlink.LinkByName(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := netlink.LinkSetUp(l); err != nil {
			t.Fatal(err)
		}
		links[i] = l
	}
	return links[0], links[1]
}

func haveTCX() bool {
	_, err := link.QueryPrograms(link.QueryOptions{Target: loIndex, Attach: ebpf.AttachTCXEgress})
	return err == nil
}

func requireTCX(t *testing.T) {
	t.Helper()
	if !haveTCX() {
		t.Skip("no tcx on this kernel (before 6.6); clsact has a case of its own")
	}
}

// fence is what left says of the egress program.
func fence(clsact bool) string {
	if clsact || !haveTCX() {
		return "clsact filter"
	}
	return "tcx"
}

// left says what of ours is attached to an interface.
func left(t *testing.T, l netlink.Link) string {
	t.Helper()
	var out []string
	now, err := netlink.LinkByIndex(l.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	if x := now.Attrs().Xdp; x != nil && x.Attached {
		out = append(out, "xdp")
	}
	r, err := link.QueryPrograms(link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXEgress})
	if err == nil && len(r.Programs) > 0 {
		out = append(out, "tcx")
	}
	qs, err := netlink.QdiscList(now)
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range qs {
		if q.Type() != "clsact" {
			continue
		}
		out = append(out, "clsact")
		fs, err := netlink.FilterList(now, netlink.HANDLE_MIN_EGRESS)
		if err != nil {
			t.Fatal(err)
		}
		for range fs {
			out = append(out, "filter")
		}
	}
	return strings.Join(out, " ")
}

func TestAttach(t *testing.T) {
	for _, tc := range []struct {
		name, ns, egress, sits string
		clsact                 bool
	}{
		{"tcx", "loader-tcx", EgressTCX, "xdp tcx", false},
		{"clsact", "loader-clsact", EgressClsact, "xdp clsact filter", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !tc.clsact {
				requireTCX(t)
			}
			ours, _ := pair(t, tc.ns)
			index := ours.Attrs().Index
			d := openTest(t, Options{ForceClsact: tc.clsact})
			for _, want := range []Mode{ModeAuto, ModeAuto, ModeGeneric, ""} {
				a, err := d.Attach(index, "ours", want)
				if err != nil {
					t.Fatal(err)
				}
				if a != (Attachment{Mode: ModeGeneric, Egress: tc.egress}) {
					t.Errorf("mode %q: %+v", want, a)
				}
			}
			if got := left(t, ours); got != tc.sits {
				t.Errorf("attached: %s, want %s", got, tc.sits)
			}
			a, err := d.Attach(index, "ours", ModeNative)
			if err != nil || a.Mode != ModeNative {
				t.Errorf("change of mode: %+v, %v", a, err)
			}
			if got := left(t, ours); got != tc.sits {
				t.Errorf("after a change of mode: %s, want %s", got, tc.sits)
			}
			if err := errors.Join(d.Detach(index), d.Detach(index)); err != nil {
				t.Error(err)
			}
			if got := left(t, ours); got != "" {
				t.Errorf("after detach: %s", got)
			}
			if _, err := d.Attach(index, "ours", "odd"); err == nil {
				t.Error("mode odd was accepted")
			}
			if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
				t.Fatal(err)
			}
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
			if got := left(t, ours); got != "" {
				t.Errorf("after remove: %s", got)
			}
		})
	}
}

// TestAttachVanished: an interface that goes and comes back is attached anew.
func TestAttachVanished(t *testing.T) {
	ours, _ := pair(t, "loader-vanish")
	index := ours.Attrs().Index
	d := openTest(t, Options{})
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
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
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	again, err := netlink.LinkByIndex(index)
	if err != nil {
		t.Fatal(err)
	}
	if got := left(t, again); got != "xdp "+fence(false) {
		t.Errorf("attached anew: %q", got)
	}
	if err := netlink.LinkDel(again); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil {
		t.Errorf("detach from what is gone: %v", err)
	}
	if _, err := d.Attach(index, "ours", ModeAuto); err == nil {
		t.Error("attached to nothing")
	}
}

func TestSlotTaken(t *testing.T) {
	ours, _ := pair(t, "loader-taken")
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
		d := openTest(t, Options{ForceClsact: clsact})
		_, err = d.Attach(ours.Attrs().Index, "ours", ModeNative)
		if !errors.Is(err, ErrSlotTaken) || !strings.Contains(err.Error(), "somebody") || !strings.Contains(err.Error(), "ours") {
			t.Errorf("clsact %v: %v", clsact, err)
		}
		if got := left(t, ours); got != "xdp" {
			t.Errorf("beside the other program is left: %s", got)
		}
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
}

// TestForeignClsact: a qdisc with somebody else's filter stays, ours goes.
func TestForeignClsact(t *testing.T) {
	ours, _ := pair(t, "loader-foreign")
	index := ours.Attrs().Index
	d := openTest(t, Options{ForceClsact: true})
	if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
		t.Fatal(err)
	}
	other := &netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: index, Parent: netlink.HANDLE_MIN_EGRESS, Handle: 1, Protocol: unix.ETH_P_ALL, Priority: 7},
		Fd:          d.objs.VipdEgress.FD(), Name: "other", DirectAction: true,
	}
	if err := netlink.FilterAdd(other); err != nil {
		t.Fatal(err)
	}
	if err := d.Detach(index); err != nil {
		t.Fatal(err)
	}
	if got := left(t, ours); got != "clsact filter" {
		t.Errorf("left: %s", got)
	}
}

// TestCleanup plays a daemon that died: its handles are closed, nothing else.
func TestCleanup(t *testing.T) {
	for _, tc := range []struct {
		name, ns, sits string
		clsact         bool
		report         CleanupReport
	}{
		{"tcx", "loader-clean", "xdp tcx", false, CleanupReport{Links: 2, Maps: 14}},
		{"clsact", "loader-cleancls", "xdp clsact filter", true, CleanupReport{Links: 1, Filters: 1, Maps: 14}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if !tc.clsact {
				requireTCX(t)
			}
			ours, _ := pair(t, tc.ns)
			index := ours.Attrs().Index
			o := Options{Dir: testDir(), ForceClsact: tc.clsact, MaxGroups: 4, MaxVIPs: 8}
			die := func() {
				d, err := Open(o)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
					t.Fatal(err)
				}
				s := goldenSpec("192.0.2.200", "192.0.2.1")
				s.IfIndex = index
				g, err := d.AddGroup(s)
				if err != nil {
					t.Fatal(err)
				}
				g.SetRole(Role{State: RoleMaster, Generation: 5, Lease: bootNow() + 60e9})
				if err := d.Close(); err != nil {
					t.Fatal(err)
				}
				if got := left(t, ours); got != tc.sits {
					t.Errorf("after death: %s, want %s", got, tc.sits)
				}
			}
			die()
			vips, err := LeftBehind(o.Dir)
			want := []LeftVIP{
				{IfIndex: index, Addr: netip.MustParseAddr("192.0.2.1"), VHID: 1},
				{IfIndex: index, Addr: netip.MustParseAddr("192.0.2.200"), VHID: 1},
			}
			if err != nil || len(vips) != 2 || vips[0] != want[0] || vips[1] != want[1] {
				t.Errorf("left behind %+v, %v", vips, err)
			}
			r, err := Cleanup(o)
			if err != nil {
				t.Fatal(err)
			}
			if r.Links != tc.report.Links || r.Filters != tc.report.Filters || r.Maps != tc.report.Maps || len(r.Interfaces) != 1 || r.Interfaces[0] != index {
				t.Errorf("report %+v", r)
			}
			if got := left(t, ours); got != "" {
				t.Errorf("after cleanup: %s", got)
			}
			if _, err := os.Stat(o.Dir); err == nil {
				t.Errorf("%s is left", o.Dir)
			}
			if r, err := Cleanup(o); err != nil || !r.Empty() {
				t.Errorf("again: %+v, %v", r, err)
			}
			if vips, err := LeftBehind(o.Dir); err != nil || vips != nil {
				t.Errorf("left behind after cleanup: %+v, %v", vips, err)
			}
			// The next daemon clears up by itself.
			die()
			d := openTest(t, o)
			if got := left(t, ours); got != "" {
				t.Errorf("after the next open: %s", got)
			}
			if err := d.Remove(); err != nil {
				t.Error(err)
			}
		})
	}
}
