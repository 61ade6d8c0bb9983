// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/livetest"
)

// Rounds in which frames were lost, because the machine let a ring run over, do not count.
const (
	liveFrames = 2048
	liveRounds = 120
)

// requireReport: live frames are measured, never held: what a round takes is the machine's business.
func requireReport(t *testing.T) {
	t.Helper()
	if os.Getenv("VIPD_COSTS") != "report" {
		t.Skip("measured by make bench-xdp")
	}
}

func mustProgram(t *testing.T, s *ebpf.ProgramSpec) *ebpf.Program {
	t.Helper()
	p, err := ebpf.NewProgram(s)
	if err != nil {
		t.Fatalf("%+v", err)
	}
	t.Cleanup(func() { p.Close() })
	return p
}

// sink drops what arrives at an interface and counts it, until it is detached.
type sink struct {
	count  *ebpf.Map
	detach func()
}

func newSink(t *testing.T, l netlink.Link) sink {
	t.Helper()
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	p := mustProgram(t, &ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: asm.Instructions{
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.LoadMapPtr(asm.R1, m.FD()),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, xdpDrop).WithSymbol("out"),
		asm.Return(),
	}})
	return sink{m, attachXDP(t, l, p)}
}

func (s sink) got(t *testing.T) uint64 {
	t.Helper()
	var n uint64
	if err := s.count.Lookup(uint32(0), &n); err != nil {
		t.Fatal(err)
	}
	return n
}

// attachXDP attaches in native mode; the function it returns detaches.
func attachXDP(t *testing.T, l netlink.Link, p *ebpf.Program) func() {
	t.Helper()
	x, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: l.Attrs().Index, Flags: link.XDPDriverMode})
	if err != nil {
		t.Fatal(err)
	}
	var done bool
	detach := func() {
		if !done {
			done = true
			_ = x.Close()
		}
	}
	t.Cleanup(detach)
	return detach
}

// send has the generator send frames out of l, and returns what one took in ns. 0: some were lost.
func send(t *testing.T, gen *livetest.Generator, l netlink.Link, counted func() uint64) float64 {
	t.Helper()
	before := counted()
	took, err := gen.Send(l.Attrs().Index, liveFrames, 64)
	if err != nil && !errors.Is(err, livetest.ErrInterrupted) {
		t.Fatal(err)
	}
	if err != nil || counted()-before != liveFrames {
		time.Sleep(5 * time.Millisecond) // what is late must not be taken for the next round's
		return 0
	}
	return float64(took.Nanoseconds())
}

// quiet is what a frame takes in ns in the rounds that were left alone: the lower fifth of them.
func quiet(t *testing.T, round func() float64) float64 {
	t.Helper()
	var took []float64
	for range liveRounds {
		if ns := round(); ns > 0 {
			took = append(took, ns)
		}
	}
	if len(took) < liveRounds/4 {
		t.Fatalf("%d of %d rounds without a lost frame: the machine is too busy to measure", len(took), liveRounds)
	}
	slices.Sort(took)
	return took[len(took)/5]
}

// TestLiveARP: ARP answers by XDP beside those of the host's own stack, over a veth pair in native mode, each less
// the cost of the same frames dropped where they arrive.
func TestLiveARP(t *testing.T) {
	requireReport(t)
	ours, peer := pair(t, "live-arp")
	pin(t)
	request := arpFor("192.0.2.1").bytes()
	gen := livetest.New(t, request)
	answers := newSink(t, peer)

	dropped := newSink(t, ours)
	drop := quiet(t, func() float64 {
		return send(t, gen, peer, func() uint64 { return dropped.got(t) })
	})
	dropped.detach()

	answer := func() float64 {
		return send(t, gen, peer, func() uint64 { return answers.got(t) })
	}
	bounce := attachXDP(t, ours, emptyXDP(t, xdpTX))
	floor := quiet(t, answer)
	bounce()

	d := openTest(t, Options{})
	if _, err := d.Attach(ours.Attrs().Index, "ours", ModeNative); err != nil {
		t.Fatal(err)
	}
	s := goldenSpec("192.0.2.1")
	s.IfIndex = ours.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 600e9})
	xdp := quiet(t, answer)
	if err := d.Detach(ours.Attrs().Index); err != nil {
		t.Fatal(err)
	}

	// The stack has the address now, and a program that passes: the same driver path.
	attachXDP(t, ours, emptyXDP(t, xdpPass))
	if err := netlink.AddrAdd(ours, &netlink.Addr{IPNet: netlink.NewIPNet(netip.MustParseAddr("192.0.2.1").AsSlice())}); err != nil {
		t.Fatal(err)
	}
	stack := quiet(t, answer)
	t.Logf("ns a frame, lower fifth of %d rounds of %d: dropped %.0f, answered by XDP %.0f, by the stack %.0f", liveRounds, liveFrames, drop, xdp, stack)
	t.Logf("an ARP answer: %.0f ns by XDP, %.0f ns by the stack: %.1f times less (target 15)", xdp-drop, stack-drop, (stack-drop)/(xdp-drop))
	t.Logf("of which an empty program that sends back costs %.0f ns: the driver's share", floor-drop)
	if xdp >= stack {
		t.Errorf("answers by XDP cost %.0f ns a frame, those of the stack %.0f", xdp, stack)
	}
}

// TestLiveForwarding: what a router loses by having vipd on its interface: UDP from one veth pair to another through the
// stack's forwarding, none of it vipd's business, and to the virtual MAC.
func TestLiveForwarding(t *testing.T) {
	requireReport(t)
	in, from := pair(t, "live-forward")
	pin(t)
	attrs := netlink.NewLinkAttrs()
	attrs.Name = "out"
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "far", PeerHardwareAddr: peerMAC[:]}))
	out, err := netlink.LinkByName("out")
	check(err)
	far, err := netlink.LinkByName("far")
	check(err)
	check(netlink.LinkSetUp(out))
	check(netlink.LinkSetUp(far))
	check(netlink.AddrAdd(in, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, 9), Mask: net.CIDRMask(24, 32)}}))
	check(netlink.AddrAdd(out, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 9), Mask: net.CIDRMask(24, 32)}}))
	check(netlink.NeighAdd(&netlink.Neigh{LinkIndex: out.Attrs().Index, IP: net.IPv4(198, 51, 100, 77), HardwareAddr: peerMAC[:], State: netlink.NUD_PERMANENT}))
	check(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	if _, err := ethtoolFlags("ours", ethtoolSGRO, 1); err != nil { // for its NAPI, which takes what a program sends
		t.Fatal(err)
	}
	arrived := newSink(t, far)
	to := func(mac [6]byte) func() float64 {
		frame := packet{src: peerAddr, dst: netip.MustParseAddr("198.51.100.77"), dstMAC: mac, ttl: 64, proto: 17, payload: udp(18)}.bytes()
		gen := livetest.New(t, frame)
		return func() float64 {
			return send(t, gen, from, func() uint64 { return arrived.got(t) })
		}
	}
	toNIC, toVirtual := to(nicMAC), to(vmac(1))
	show := func(what string, ns float64, base float64) {
		t.Logf("%-44s %6.0f ns a packet, %8.0f a second, %+5.1f %%", what, ns, 1e9/ns, 100*(ns/base-1))
	}
	without := quiet(t, toNIC)
	show("forwarded without vipd", without, without)
	attachEmpty := attachXDP(t, in, emptyXDP(t, xdpPass))
	empty := quiet(t, toNIC)
	show("an empty program, native", empty, without)
	attachEmpty()
	for _, mode := range []Mode{ModeNative, ModeGeneric} {
		d := openTest(t, Options{})
		_, err := d.Attach(in.Attrs().Index, "ours", mode)
		check(err)
		s := goldenSpec("192.0.2.1")
		s.IfIndex = in.Attrs().Index
		g, err := d.AddGroup(s)
		check(err)
		g.SetRole(Role{State: RoleMaster, Generation: 1, Lease: bootNow() + 600e9})
		show(fmt.Sprintf("vipd, %s", mode), quiet(t, toNIC), without)
		if mode == ModeGeneric { // on a veth the stack takes such a frame in generic mode only
			show(fmt.Sprintf("vipd, %s, to the virtual MAC", mode), quiet(t, toVirtual), without)
		}
		check(d.Detach(in.Attrs().Index))
	}
}

// ethtoolSGRO is ETHTOOL_SGRO of linux/ethtool.h.
const ethtoolSGRO = 0x2c

// udp is a datagram without a checksum.
func udp(n int) []byte {
	return append([]byte{0x12, 0x34, 0, 9, 0, byte(8 + n), 0, 0}, make([]byte, n)...)
}
