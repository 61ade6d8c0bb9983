// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
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

// occupy puts another program, which passes every frame, into the XDP slot until its link is closed.
func occupy(t *testing.T, ifindex int, name string, flags link.XDPAttachFlags) link.Link {
	t.Helper()
	p := kerneltest.Must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, Name: name, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, model.XDPPass), asm.Return()},
	}))
	defer p.Close()
	l := kerneltest.Must(link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: flags}))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// repairing has a group that is MASTER on a veth, and the far end.
type repairing struct {
	*testing.T
	d     *loader.Dataplane
	g     *tables.Group
	ours  netlink.Link
	index int
	far   kerneltest.RawSocket
	heard uint64 // counter of the last advert
	at    netip.Addr
}

func newSettling(t *testing.T, ns string, o loader.Options, before func(ifindex int)) *repairing {
	t.Helper()
	ours, peer := kerneltest.Pair(t, ns)
	s := &repairing{T: t, ours: ours, index: ours.Attrs().Index, at: netip.MustParseAddr("192.0.2.1"), heard: 70}
	if before != nil {
		before(s.index)
	}
	s.open(o, attach.ModeGeneric)
	s.far = kerneltest.PacketSocket(t, peer)
	return s
}

// open starts a data plane on what the last one left.
func (s *repairing) open(o loader.Options, want attach.Mode) attach.Attachment {
	s.Helper()
	o.Adopt = true
	s.d = openTest(s.T, o)
	a, err := s.d.Attach(s.index, "ours", want)
	if err != nil {
		s.Fatal(err)
	}
	spec := model.GoldenSpec(s.at.String())
	spec.IfIndex, spec.NICMAC = s.index, [6]byte(s.ours.Attrs().HardwareAddr)
	if s.g, err = s.d.AddGroup(spec); err != nil {
		s.Fatal(err)
	}
	s.g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
	s.g.SetSentPriority(tables.Priority{}) // the best: nobody makes us yield
	return a
}

// works checks that every frame is processed once: one answer, one delivery, one advert.
func (s *repairing) works(when string) {
	s.Helper()
	before, vips := kerneltest.Must(s.g.Stats()), kerneltest.Must(s.g.VIPStats()).Of(s.at)
	s.far.Send(model.ARPFor(s.at.String()).Bytes())
	answers := 0
	for wait := 5 * time.Second; s.far.Receive(kerneltest.IsARP, wait) != nil; wait = 100 * time.Millisecond {
		answers++
	}
	s.far.Send(
		model.Packet{
			DstMAC:  model.VMAC(1),
			SrcMAC:  model.PeerMAC,
			Dst:     s.at,
			TTL:     64,
			Proto:   1,
			Payload: make([]byte, 64),
		}.Bytes(),
	)
	s.heard++
	if err := model.Untold(s.d.Objects(), s.g.Slot()); err != nil {
		s.Error(err)
	}
	s.far.Send(model.FrameOf(model.Advert(1, 200, 0, s.heard)))
	kerneltest.WaitFor(s.T, func() bool { return kerneltest.Must(s.g.Stats()).Received > before.Received })
	time.Sleep(50 * time.Millisecond) // what comes twice has come by then
	after, vipsAfter := kerneltest.Must(s.g.Stats()), kerneltest.Must(s.g.VIPStats()).Of(s.at)
	events := kerneltest.Must(s.d.Drain(nil))
	if answers != 1 || vipsAfter.ARPRequests-vips.ARPRequests != 1 || vipsAfter.ARPReplies-vips.ARPReplies != 1 {
		s.Errorf("%s: %d ARP answers; counted %+v, then %+v", when, answers, vips, vipsAfter)
	}
	if after.Packets-before.Packets != 1 {
		s.Errorf("%s: %d packets delivered", when, after.Packets-before.Packets)
	}
	if after.Received-before.Received != 1 || len(events) != 1 {
		s.Errorf("%s: an advert was counted %d times, with %d events", when, after.Received-before.Received, len(events))
	}
	for reason, n := range after.Rejected {
		if n != before.Rejected[reason] {
			s.Errorf("%s: reject reason %d was counted", when, reason)
		}
	}
}

// repair does what the agent does when something is found.
func (s *repairing) repair(when string) attach.Repaired {
	s.Helper()
	if got := s.d.NeedRepair(); !slices.Equal(got, []int{s.index}) {
		s.Errorf("%s: in need of repair: %v, want [%d]", when, got, s.index)
	}
	out, err := s.d.Repair(s.index)
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	return out
}

func (s *repairing) whole(when string) {
	s.Helper()
	if got := s.d.NeedRepair(); got != nil {
		s.Errorf("%s: in need of repair: %v", when, got)
	}
}

// bothWays are tcx and clsact.
func bothWays(t *testing.T, run func(t *testing.T, clsact bool, hook string)) {
	for _, hook := range []string{attach.EgressTCX, attach.EgressClsact} {
		t.Run(hook, func(t *testing.T) {
			if hook == attach.EgressTCX {
				kerneltest.RequireTCX(t)
			}
			run(t, hook == attach.EgressClsact, hook)
		})
	}
}

// TestLostPrograms: what somebody detaches is noticed, put back and told, one hook or all.
func TestLostPrograms(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, hook string) {
		for _, standsIn := range []bool{false, true} {
			t.Run(fmt.Sprintf("stands in %v", standsIn), func(t *testing.T) {
				s := newSettling(t, "loader-lost-"+hook, loader.Options{ForceClsact: clsact}, func(ifindex int) {
					if standsIn {
						occupy(t, ifindex, "somebody", link.XDPGenericMode)
					}
				})
				receive, want := attach.HookXDP, attach.ModeGeneric
				if standsIn {
					receive, want = attach.HookIngress, attach.ModeTC
				}
				for i, lost := range [][]string{{receive}, {attach.HookEgress}, {receive, attach.HookEgress}} {
					for _, hook := range lost {
						s.takeOff(hook)
					}
					receives := lost[0] == receive
					if n, ok := s.d.Attended(s.index); ok == receives {
						t.Errorf("%v: listening %v, %d", lost, ok, n)
					}
					got := s.repair("lost")
					if !slices.Equal(got.Lost, lost) || got.Mode != want {
						t.Errorf("%v: %+v", lost, got)
					}
					if n, ok := s.d.Attended(s.index); n != []uint64{1, 1, 2}[i] || !ok {
						t.Errorf("%v: then interrupted %d times, listening %v", lost, n, ok)
					}
					s.whole("put back")
					s.works(fmt.Sprint(lost))
					if got := kerneltest.Left(t, s.ours); got != "xdp "+kerneltest.Fence(clsact) {
						t.Errorf("%v: attached: %s", lost, got)
					}
				}
			})
		}
	})
}

// takeOff detaches as another process would, by the link's id or by netlink.
func (s *repairing) takeOff(hook string) {
	s.Helper()
	l, ingress, egress := s.d.Links(s.index)
	side := uint32(netlink.HANDLE_MIN_INGRESS)
	switch hook {
	case attach.HookIngress:
		l = ingress
	case attach.HookEgress:
		l, side = egress, netlink.HANDLE_MIN_EGRESS
	}
	if l == nil {
		if n, err := s.d.RemoveFilters(s.index, side); n != 1 || err != nil {
			s.Fatalf("%s: %d filters removed, %v", hook, n, err)
		}
		return
	}
	if err := kerneltest.Must(link.NewFromID(kerneltest.Must(l.Info()).ID)).Detach(); err != nil {
		s.Fatal(err)
	}
}

// TestQdiscDeleted: the same for all of clsact at once.
func TestQdiscDeleted(t *testing.T) {
	s := newSettling(t, "loader-qdisc", loader.Options{ForceClsact: true}, func(ifindex int) {
		occupy(t, ifindex, "somebody", link.XDPGenericMode)
	})
	err := netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: s.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.repair("deleted"); !slices.Equal(got.Lost, []string{attach.HookIngress, attach.HookEgress}) ||
		got.Mode != attach.ModeTC {
		t.Errorf("%+v", got)
	}
	s.works("put back")
	if err := s.d.Detach(s.index); err != nil || kerneltest.Left(t, s.ours) != "xdp" {
		t.Errorf("left: %s, %v", kerneltest.Left(t, s.ours), err)
	}
}

// TestXDPOff: `ip link set dev X xdp off` cannot take our program off, nor can another
// one be put over it; who detaches the link and puts his own there has the slot, and we go
// on at tc ingress.
func TestXDPOff(t *testing.T) {
	s := newSettling(t, "loader-xdpoff", loader.Options{}, nil)
	for _, flags := range []int{0, unix.XDP_FLAGS_SKB_MODE, unix.XDP_FLAGS_DRV_MODE} {
		// Off in a mode in which nothing is there is no error, and does nothing.
		err := netlink.LinkSetXdpFdWithFlags(s.ours, -1, flags)
		if err != nil && !errors.Is(err, unix.EBUSY) || err == nil && flags == unix.XDP_FLAGS_SKB_MODE {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
	s.whole("off")
	s.works("off")
	s.takeOff(attach.HookXDP)
	occupy(t, s.index, "usurper", link.XDPGenericMode)
	got := s.repair("displaced")
	if got.Mode != attach.ModeTC || !slices.Equal(got.Lost, []string{attach.HookXDP}) ||
		!strings.Contains(got.Note, "usurper") {
		t.Errorf("displaced: %+v", got)
	}
	s.whole("displaced")
	s.works("displaced")

	// Where nothing but native will do there is no place to go to.
	s = newSettling(t, "loader-xdpoffnat", loader.Options{}, nil)
	s.g.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1}) // native mode is not attached while MASTER
	if _, err := s.d.Attach(s.index, "ours", attach.ModeNative); err != nil {
		t.Fatal(err)
	}
	s.takeOff(attach.HookXDP)
	occupy(t, s.index, "usurper", link.XDPDriverMode)
	if got, err := s.d.Repair(s.index); !errors.Is(err, attach.ErrSlotTaken) ||
		!slices.Equal(got.Lost, []string{attach.HookXDP}) {
		t.Errorf("native: %+v, %v", got, err)
	}
}

// TestVanishedIsNotLost: an interface that goes takes its programs along; there is
// nothing to put back.
func TestVanishedIsNotLost(t *testing.T) {
	s := newSettling(t, "loader-notlost", loader.Options{}, nil)
	if err := netlink.LinkDel(s.ours); err != nil {
		t.Fatal(err)
	}
	s.whole("gone")
	if got, err := s.d.Repair(s.index); err != nil || got.Lost != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, ok := s.d.Attended(s.index); ok {
		t.Error("nobody is listening there")
	}
	if err := s.d.Detach(s.index); err != nil {
		t.Error(err)
	}
	if got, err := s.d.Repair(s.index); err != nil || got.Lost != nil || got.Mode != "" {
		t.Errorf("detached: %+v, %v", got, err)
	}
}

// TestLostCarrier: the program of a parent is put back for all VLAN devices that it
// serves, and where it cannot be they have one of their own.
func TestLostCarrier(t *testing.T) {
	ours, _ := kerneltest.Pair(t, "loader-lostcarrier")
	var devs []int
	for _, id := range []int{42, 43} {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.ParentIndex = fmt.Sprintf("ours.%d", id), ours.Attrs().Index
		err := netlink.LinkAdd(&netlink.Vlan{LinkAttrs: attrs, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q})
		if errors.Is(err, unix.EOPNOTSUPP) {
			t.Skip("this kernel has no VLAN devices; make test-vm has them")
		}
		if err != nil {
			t.Fatal(err)
		}
		devs = append(devs, kerneltest.Must(netlink.LinkByName(attrs.Name)).Attrs().Index)
	}
	d := openTest(t, loader.Options{})
	for _, dev := range devs {
		if a, err := d.Attach(dev, kerneltest.Must(netlink.LinkByIndex(dev)).Attrs().Name, attach.ModeNative); err != nil ||
			a.Parent != "ours" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	parent := ours.Attrs().Index
	xdp, _, _ := d.Links(parent)
	if err := kerneltest.Must(link.NewFromID(kerneltest.Must(xdp.Info()).ID)).Detach(); err != nil {
		t.Fatal(err)
	}
	if got := d.NeedRepair(); !slices.Equal(got, devs) {
		t.Errorf("in need of repair: %v, want %v", got, devs)
	}
	if got, err := d.Repair(devs[0]); err != nil || got.Parent != "ours" ||
		!slices.Equal(got.Lost, []string{attach.HookXDP}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := d.NeedRepair(); got != nil {
		t.Errorf("then in need of repair: %v", got)
	}
	for _, dev := range devs {
		if n, ok := d.Attended(dev); n != 1 || !ok {
			t.Errorf("device %d: interrupted %d times, %v", dev, n, ok)
		}
	}
}
