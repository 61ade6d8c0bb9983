// SPDX-License-Identifier: Apache-2.0

package loader

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
)

// occupy puts somebody's program, which passes all, into the XDP slot, until its link is
// closed.
func occupy(t *testing.T, ifindex int, name string, flags link.XDPAttachFlags) link.Link {
	t.Helper()
	p := must(ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, Name: name, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, xdpPass), asm.Return()},
	}))
	defer p.Close()
	l := must(link.AttachXDP(link.XDPOptions{Program: p, Interface: ifindex, Flags: flags}))
	t.Cleanup(func() { _ = l.Close() })
	return l
}

// settling is a group that is MASTER on a veth, with the far end.
type settling struct {
	*testing.T
	d     *Dataplane
	g     *Group
	ours  netlink.Link
	index int
	far   rawSocket
	heard uint64 // counter of the last advert
	at    netip.Addr
}

func newSettling(t *testing.T, ns string, o Options, before func(ifindex int)) *settling {
	t.Helper()
	ours, peer := pair(t, ns)
	s := &settling{T: t, ours: ours, index: ours.Attrs().Index, at: netip.MustParseAddr("192.0.2.1"), heard: 70}
	if before != nil {
		before(s.index)
	}
	s.open(o, ModeAuto)
	s.far = packetSocket(t, peer)
	return s
}

// open is a start of the daemon, on what the last one left.
func (s *settling) open(o Options, want Mode) Attachment {
	s.Helper()
	o.Adopt = true
	s.d = openTest(s.T, o)
	a, err := s.d.Attach(s.index, "ours", want)
	if err != nil {
		s.Fatal(err)
	}
	spec := goldenSpec(s.at.String())
	spec.IfIndex, spec.NICMAC = s.index, [6]byte(s.ours.Attrs().HardwareAddr)
	if s.g, err = s.d.AddGroup(spec); err != nil {
		s.Fatal(err)
	}
	s.g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 60e9})
	s.g.SetSentPriority(Priority{}) // the best: nobody makes us yield
	return a
}

// works holds that every frame is taken once: one answer, one delivery, one advert.
func (s *settling) works(when string) {
	s.Helper()
	before, vips := must(s.g.Stats()), must(s.g.VIPStats()).Of(s.at)
	s.far.send(arpFor(s.at.String()).bytes())
	answers := 0
	for wait := 5 * time.Second; s.far.receive(isARP, wait) != nil; wait = 100 * time.Millisecond {
		answers++
	}
	s.far.send(packet{dstMAC: vmac(1), srcMAC: peerMAC, dst: s.at, ttl: 64, proto: 1, payload: make([]byte, 64)}.bytes())
	s.heard++
	s.far.send(frameOf(advert(1, 200, 0, s.heard)))
	waitFor(s.T, func() bool { return must(s.g.Stats()).Received > before.Received })
	time.Sleep(50 * time.Millisecond) // what comes twice has come by then
	after, vipsAfter := must(s.g.Stats()), must(s.g.VIPStats()).Of(s.at)
	events := must(s.d.Drain(nil))
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

// settle does what the agent does when something is found.
func (s *settling) settle(when string) Settled {
	s.Helper()
	if got := s.d.Unsettled(); !slices.Equal(got, []int{s.index}) {
		s.Errorf("%s: unsettled is %v, want [%d]", when, got, s.index)
	}
	out, err := s.d.Settle(s.index)
	if err != nil {
		s.Fatalf("%s: %v", when, err)
	}
	return out
}

func (s *settling) settled(when string) {
	s.Helper()
	if got := s.d.Unsettled(); got != nil {
		s.Errorf("%s: unsettled is %v", when, got)
	}
}

// bothWays are tcx and clsact.
func bothWays(t *testing.T, run func(t *testing.T, clsact bool, mode Mode)) {
	for _, mode := range []Mode{ModeTCX, ModeClsact} {
		t.Run(string(mode), func(t *testing.T) {
			if mode == ModeTCX {
				requireTCX(t)
			}
			run(t, mode == ModeClsact, mode)
		})
	}
}

// TestLostPrograms: what somebody detaches is noticed, put back and told, one hook or all.
func TestLostPrograms(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, mode Mode) {
		for _, standsIn := range []bool{false, true} {
			t.Run(fmt.Sprintf("stands in %v", standsIn), func(t *testing.T) {
				s := newSettling(t, "loader-lost-"+string(mode), Options{ForceClsact: clsact}, func(ifindex int) {
					if standsIn {
						occupy(t, ifindex, "somebody", link.XDPGenericMode)
					}
				})
				receive, want := HookXDP, ModeGeneric
				if standsIn {
					receive, want = HookIngress, mode
				}
				for i, lost := range [][]string{{receive}, {HookEgress}, {receive, HookEgress}} {
					for _, hook := range lost {
						s.takeOff(hook)
					}
					receives := lost[0] == receive
					if n, ok := s.d.Listening(s.index); ok == receives {
						t.Errorf("%v: listening %v, %d", lost, ok, n)
					}
					got := s.settle("lost")
					if !slices.Equal(got.Lost, lost) || got.Mode != want {
						t.Errorf("%v: %+v", lost, got)
					}
					if n, ok := s.d.Listening(s.index); n != []uint64{1, 1, 2}[i] || !ok {
						t.Errorf("%v: then interrupted %d times, listening %v", lost, n, ok)
					}
					s.settled("put back")
					s.works(fmt.Sprint(lost))
					if got := left(t, s.ours); got != "xdp "+fence(clsact) {
						t.Errorf("%v: attached: %s", lost, got)
					}
				}
			})
		}
	})
}

// takeOff detaches as somebody else would, by the link's id or by netlink.
func (s *settling) takeOff(hook string) {
	s.Helper()
	a := s.d.attached[s.index]
	l, side := a.xdp, uint32(netlink.HANDLE_MIN_INGRESS)
	switch hook {
	case HookIngress:
		l = a.in
	case HookEgress:
		l, side = a.tcx, netlink.HANDLE_MIN_EGRESS
	}
	if l == nil {
		if n, err := removeFilterFrom(s.index, side); n != 1 || err != nil {
			s.Fatalf("%s: %d filters removed, %v", hook, n, err)
		}
		return
	}
	if err := must(link.NewFromID(must(l.Info()).ID)).Detach(); err != nil {
		s.Fatal(err)
	}
}

// TestQdiscDeleted: the same for all of clsact at once.
func TestQdiscDeleted(t *testing.T) {
	s := newSettling(t, "loader-qdisc", Options{ForceClsact: true}, func(ifindex int) {
		occupy(t, ifindex, "somebody", link.XDPGenericMode)
	})
	err := netlink.QdiscDel(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: s.index, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.settle("deleted"); !slices.Equal(got.Lost, []string{HookIngress, HookEgress}) || got.Mode != ModeClsact {
		t.Errorf("%+v", got)
	}
	s.works("put back")
	if err := s.d.Detach(s.index); err != nil || left(t, s.ours) != "xdp" {
		t.Errorf("left: %s, %v", left(t, s.ours), err)
	}
}

// TestXDPOff: `ip link set dev X xdp off` cannot take our program off, nor can another
// one be put over it; who detaches the link and puts his own there has the slot, and we go
// on at tc ingress.
func TestXDPOff(t *testing.T) {
	s := newSettling(t, "loader-xdpoff", Options{}, nil)
	for _, flags := range []int{0, unix.XDP_FLAGS_SKB_MODE, unix.XDP_FLAGS_DRV_MODE} {
		// Off in a mode in which nothing is there is no error, and does nothing.
		err := netlink.LinkSetXdpFdWithFlags(s.ours, -1, flags)
		if err != nil && !errors.Is(err, unix.EBUSY) || err == nil && flags == unix.XDP_FLAGS_SKB_MODE {
			t.Errorf("flags %d: %v", flags, err)
		}
	}
	s.settled("off")
	s.works("off")
	s.takeOff(HookXDP)
	occupy(t, s.index, "usurper", link.XDPGenericMode)
	got := s.settle("displaced")
	if got.Mode != ModeTCX && got.Mode != ModeClsact || !slices.Equal(got.Lost, []string{HookXDP}) || !strings.Contains(got.Note, "usurper") {
		t.Errorf("displaced: %+v", got)
	}
	s.settled("displaced")
	s.works("displaced")

	// Where nothing but native will do there is no place to go to.
	s = newSettling(t, "loader-xdpoffnat", Options{}, nil)
	if _, err := s.d.Attach(s.index, "ours", ModeNative); err != nil {
		t.Fatal(err)
	}
	s.takeOff(HookXDP)
	occupy(t, s.index, "usurper", link.XDPDriverMode)
	if got, err := s.d.Settle(s.index); !errors.Is(err, ErrSlotTaken) || !slices.Equal(got.Lost, []string{HookXDP}) {
		t.Errorf("native: %+v, %v", got, err)
	}
}

// TestVanishedIsNotLost: an interface that goes takes its programs along; there is
// nothing to put back.
func TestVanishedIsNotLost(t *testing.T) {
	s := newSettling(t, "loader-notlost", Options{}, nil)
	if err := netlink.LinkDel(s.ours); err != nil {
		t.Fatal(err)
	}
	s.settled("gone")
	if got, err := s.d.Settle(s.index); err != nil || got.Lost != nil {
		t.Errorf("%+v, %v", got, err)
	}
	if _, ok := s.d.Listening(s.index); ok {
		t.Error("nobody is listening there")
	}
	if err := s.d.Detach(s.index); err != nil {
		t.Error(err)
	}
	if got, err := s.d.Settle(s.index); err != nil || got.Lost != nil || got.Mode != "" {
		t.Errorf("detached: %+v, %v", got, err)
	}
}

// TestLostCarrier: the program of a parent is put back for all VLAN devices that it
// serves, and where it cannot be they have one of their own.
func TestLostCarrier(t *testing.T) {
	ours, _ := pair(t, "loader-lostcarrier")
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
		devs = append(devs, must(netlink.LinkByName(attrs.Name)).Attrs().Index)
	}
	d := openTest(t, Options{})
	for _, dev := range devs {
		if a, err := d.Attach(dev, must(netlink.LinkByIndex(dev)).Attrs().Name, ModeNative); err != nil || a.Parent != "ours" {
			t.Fatalf("%+v, %v", a, err)
		}
	}
	parent := ours.Attrs().Index
	if err := must(link.NewFromID(must(d.attached[parent].xdp.Info()).ID)).Detach(); err != nil {
		t.Fatal(err)
	}
	if got := d.Unsettled(); !slices.Equal(got, devs) {
		t.Errorf("unsettled: %v, want %v", got, devs)
	}
	if got, err := d.Settle(devs[0]); err != nil || got.Parent != "ours" || !slices.Equal(got.Lost, []string{HookXDP}) {
		t.Errorf("%+v, %v", got, err)
	}
	if got := d.Unsettled(); got != nil {
		t.Errorf("then unsettled: %v", got)
	}
	for _, dev := range devs {
		if n, ok := d.Listening(dev); n != 1 || !ok {
			t.Errorf("device %d: interrupted %d times, %v", dev, n, ok)
		}
	}
}
