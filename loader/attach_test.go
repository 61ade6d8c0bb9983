// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

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
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.HardwareAddr = "ours", nicMAC[:]
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer", PeerHardwareAddr: peerMAC[:]}); err != nil {
		t.Fatal(err)
	}
	links := make([]netlink.Link, 2)
	for i, name := range []string{"ours", "peer"} {
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
	if got := left(t, again); got != "xdp tcx" {
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
		_, err = d.Attach(ours.Attrs().Index, "ours", ModeAuto)
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
		{"tcx", "loader-clean", "xdp tcx", false, CleanupReport{Links: 2, Maps: 13}},
		{"clsact", "loader-cleancls", "xdp clsact filter", true, CleanupReport{Links: 1, Filters: 1, Maps: 13}},
	} {
		t.Run(tc.name, func(t *testing.T) {
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

// TestOnTheWire sends real frames through a veth pair: an answer comes back, the
// fence holds, an advert wakes us.
func TestOnTheWire(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		ns := map[bool]string{false: "loader-wire", true: "loader-wirecls"}[clsact]
		t.Run(ns, func(t *testing.T) {
			ours, peer := pair(t, ns)
			index := ours.Attrs().Index
			d := openTest(t, Options{ForceClsact: clsact})
			if _, err := d.Attach(index, "ours", ModeAuto); err != nil {
				t.Fatal(err)
			}
			s := goldenSpec("192.0.2.1")
			s.IfIndex = index
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			far, near := packetSocket(t, peer), packetSocket(t, ours)

			far.send(arpFor("192.0.2.1").bytes())
			if f := far.receive(isARP, 200*time.Millisecond); f != nil {
				t.Errorf("answered while not master: %x", f)
			}
			own := arp{dstMAC: broadcastMAC, srcMAC: nicMAC, op: 1, sha: nicMAC, sip: "192.0.2.1", tip: "192.0.2.2"}
			near.send(own.bytes())
			if f := far.receive(isARP, 200*time.Millisecond); f != nil {
				t.Errorf("spoke for the VIP while not master: %x", f)
			}

			g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
			g.SetSentPriority(Priority{AdvBase: 1})
			far.send(arpFor("192.0.2.1").bytes())
			answer := arp{dstMAC: peerMAC, srcMAC: vmac(1), op: 2, sha: vmac(1), sip: "192.0.2.1", tha: peerMAC, tip: "192.0.2.2"}.bytes()
			if f := far.receive(isARP, 5*time.Second); !bytes.Equal(f[:min(len(f), 42)], answer) {
				t.Errorf("answer %x, want %x", f, answer)
			}
			near.send(own.bytes())
			own.srcMAC, own.sha = vmac(1), vmac(1)
			if f := far.receive(isARP, 5*time.Second); !bytes.Equal(f, own.bytes()) {
				t.Errorf("our request left as %x, want %x", f, own.bytes())
			}

			far.send(frameOf(advert(0, 1, 0, 7)))
			select {
			case <-d.Wake():
			case <-time.After(5 * time.Second):
				t.Fatal("no token")
			}
			evs, err := d.Drain(nil)
			if err == nil && len(evs) == 1 && evs[0].IfIndex == index && !evs[0].Yielded {
				return // worse: 3906 us against 1 s is not
			}
			if err != nil || len(evs) != 1 || !evs[0].Yielded || evs[0].IfIndex != index {
				t.Errorf("events %+v, %v", evs, err)
			}
			if ans, err := g.Answering(bootNow()); err != nil || ans {
				t.Errorf("answering %v, %v after a better advert", ans, err)
			}
		})
	}
}

type rawSocket struct {
	t  *testing.T
	fd int
}

func packetSocket(t *testing.T, l netlink.Link) rawSocket {
	t.Helper()
	proto := binary.NativeEndian.Uint16([]byte{0, unix.ETH_P_ALL})
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW, int(proto))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: proto, Ifindex: l.Attrs().Index}); err != nil {
		t.Fatal(err)
	}
	return rawSocket{t: t, fd: fd}
}

func (s rawSocket) send(frame []byte) {
	s.t.Helper()
	if _, err := unix.Write(s.fd, frame); err != nil && !errors.Is(err, unix.ENOBUFS) { // ENOBUFS: the fence dropped it
		s.t.Fatal(err)
	}
}

// receive waits for an incoming frame that is wanted; nil after the time.
func (s rawSocket) receive(wanted func([]byte) bool, wait time.Duration) []byte {
	s.t.Helper()
	buf := make([]byte, 2048)
	for end := time.Now().Add(wait); ; {
		left := time.Until(end)
		if left <= 0 {
			return nil
		}
		fds := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, int(left/time.Millisecond)+1); n <= 0 {
			continue
		}
		n, from, err := unix.Recvfrom(s.fd, buf, 0)
		if err != nil {
			s.t.Fatal(err)
		}
		if ll, ok := from.(*unix.SockaddrLinklayer); ok && ll.Pkttype != unix.PACKET_OUTGOING && wanted(buf[:n]) {
			return buf[:n]
		}
	}
}

func isARP(f []byte) bool { return len(f) >= 42 && f[12] == 8 && f[13] == 6 }
