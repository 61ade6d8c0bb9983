// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"bytes"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/tables"
)

// takeSlot puts somebody else's program, which passes all, into the XDP slot.
func takeSlot(t *testing.T, ifindex int) {
	t.Helper()
	p := kerneltest.Must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, Name: "somebody", License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()},
	}))
	l := kerneltest.Must(link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: link.XDPGenericMode}))
	t.Cleanup(func() { _, _ = l.Close(), p.Close() })
}

// ingressSits says whether our program is on ingress, and how.
func ingressSits(t *testing.T, l netlink.Link) string {
	t.Helper()
	if r, err := link.QueryPrograms(
		link.QueryOptions{Target: l.Attrs().Index, Attach: ebpf.AttachTCXIngress},
	); err == nil && len(r.Programs) > 0 {
		return "tcx"
	}
	filters, err := netlink.FilterList(l, netlink.HANDLE_MIN_INGRESS)
	if err == nil && len(filters) > 0 {
		return "clsact"
	}
	return ""
}

// TestIngress: behind somebody else's XDP program the same is done on ingress, said with
// the reason, adopted, and taken away again.
func TestIngress(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		name, hook := "loader-ingress", attach.EgressTCX
		if clsact {
			name, hook = "loader-ingresscls", attach.EgressClsact
		}
		t.Run(hook, func(t *testing.T) {
			if !clsact {
				kerneltest.RequireTCX(t)
			}
			ours, peer := kerneltest.Pair(t, name)
			index := ours.Attrs().Index
			takeSlot(t, index)
			o := loader.Options{Dir: kerneltest.TestDir(), MaxGroups: 4, MaxVIPs: 4, ForceClsact: clsact, Adopt: true}
			d := openTest(t, o)
			for range 2 {
				a, err := d.Attach(index, "ours", attach.ModeGeneric)
				if err != nil || a.Mode != attach.ModeTC || !strings.Contains(a.Note, "somebody") {
					t.Fatalf("%+v, %v", a, err)
				}
			}
			if got := ingressSits(t, ours); got != hook {
				t.Errorf("on ingress: %q", got)
			}
			s := model.GoldenSpec(model.DualVIPs()...)
			s.IfIndex, s.NICMAC = index, [6]byte(ours.Attrs().HardwareAddr)
			g, err := d.AddGroup(s)
			if err != nil {
				t.Fatal(err)
			}
			g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
			g.SetSentPriority(tables.Priority{}) // the best: nobody makes us yield
			far := kerneltest.PacketSocket(t, peer)
			speak := func(when string) {
				t.Helper()
				far.Send(model.ARPFor("192.0.2.1").Bytes())
				f := far.Receive(kerneltest.IsARP, 5*time.Second)
				if mac := model.VMAC(1); f == nil || !bytes.Equal(f[6:12], mac[:]) || !bytes.Equal(f[22:28], mac[:]) {
					t.Errorf("%s: answer %x", when, f)
				}
				far.Send(model.NDFor(model.VIP6).Bytes())
				want := model.NAFor(model.VIP6, model.PeerAddr6, model.PeerMAC, false)
				f = far.Receive(func(f []byte) bool { return len(f) > 54 && f[12] == 0x86 && f[54] == 136 }, 5*time.Second)
				if !bytes.Equal(f, want) {
					t.Errorf("%s: answer\n%x, want\n%x", when, f, want)
				}
			}
			speak("attached")
			deliversToStack(t, ours, far)
			far.Send(model.FrameOf(model.DualAdvert(1, 200, 0, 70)))
			kerneltest.WaitFor(t, func() bool { evs, _ := d.Drain(nil); return len(evs) == 1 })

			if err := d.Close(); err != nil {
				t.Fatal(err)
			}
			d = openTest(t, o)
			a, err := d.Attach(index, "ours", attach.ModeGeneric)
			if err != nil || a.Mode != attach.ModeTC {
				t.Errorf("adopted: %+v, %v", a, err)
			}
			speak("adopted")
			if err := d.Detach(index); err != nil {
				t.Error(err)
			}
			if in, out := ingressSits(t, ours), kerneltest.Left(t, ours); in != "" || out != "xdp" {
				t.Errorf("left: %q on ingress, and %q", in, out)
			}
		})
	}
}

// deliversToStack sends UDP to the virtual MAC: the socket gets it, so the packet is
// the host's own.
func deliversToStack(t *testing.T, ours netlink.Link, far kerneltest.RawSocket) {
	t.Helper()
	addr := kerneltest.Must(netlink.ParseAddr("192.0.2.1/24"))
	if err := netlink.AddrAdd(ours, addr); err != nil {
		t.Fatal(err)
	}
	c := kerneltest.Must(net.ListenUDP("udp4", &net.UDPAddr{Port: 4000}))
	defer func() { _ = c.Close() }()
	udp := append([]byte{0x0f, 0xa0, 0x0f, 0xa0, 0, 12, 0, 0}, "ping"...)
	p := model.Packet{
		DstMAC:  model.VMAC(1),
		SrcMAC:  model.PeerMAC,
		Dst:     netip.MustParseAddr("192.0.2.1"),
		TTL:     64,
		Proto:   17,
		Payload: udp,
	}
	far.Send(p.Bytes())
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, _, err := c.ReadFrom(b); err != nil || string(b[:n]) != "ping" {
		t.Errorf("received %q, %v", b[:n], err)
	}
}
