// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// cost is one way through the XDP program and what it may cost over an empty program.
type cost struct {
	name   string
	run    func() float64 // ns a frame, of one round
	base   string         // the empty program it is compared with
	target float64        // ns over base; reported, for a quiet machine of our day
	// bound is what a test holds: the lowest of all rounds over base, in units of the empty
	// program. A doubled cost exceeds it, a noisy machine does not.
	bound float64
	over  []float64
	own   []float64
}

// TestXDPCosts measures every way of a frame in one run beside an empty XDP_PASS and an empty XDP_TX. VIPD_COSTS=bound
// (make test-program) holds the ratios; VIPD_COSTS=report (make bench-xdp) takes its time and prints the table.
func TestXDPCosts(t *testing.T) {
	mode := os.Getenv("VIPD_COSTS")
	rounds := map[string]int{"bound": 9, "report": 51}[mode]
	if rounds == 0 {
		t.Skip("costs are measured by make test-program and make bench-xdp")
	}
	pin(t) // budgets are per CPU
	costs := newCosts(t)
	for range rounds {
		at := map[string]float64{"": 0}
		for _, c := range costs {
			ns := c.run()
			at[c.name] = ns
			c.own = append(c.own, ns)
			c.over = append(c.over, max(ns-at[c.base], 0))
		}
	}
	empty := slices.Min(costs[0].own)
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s %9s %9s %8s %8s  %s\n", "frame (ns, medians)", "whole", "over", "least", "target", "verdict")
	least := map[string]float64{"": 0}
	for _, c := range costs {
		least[c.name] = slices.Min(c.own)
		least := least[c.name] - least[c.base]
		verdict := ""
		if c.target > 0 {
			verdict = "reached"
			if median(c.over) > c.target {
				verdict = fmt.Sprintf("missed by %.0f", median(c.over)-c.target)
			}
		}
		fmt.Fprintf(&table, "%-34s %9.1f %9.1f %8.1f %8s  %s\n", c.name, median(c.own), median(c.over), least, number(c.target), verdict)
		if c.bound > 0 && least > c.bound*empty {
			t.Errorf("%s: %.0f ns over %s in the best of %d rounds, more than %.1f empty programs of %.0f ns", c.name, least, c.base, rounds, c.bound, empty)
		}
	}
	t.Logf("%d rounds\n%s", rounds, table.String())
}

func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	return s[len(s)/2]
}

func number(v float64) string {
	if v == 0 {
		return "-"
	}
	return fmt.Sprintf("%.0f", v)
}

// newCosts lists the ways, each base before what is compared with it.
func newCosts(t *testing.T) []*cost {
	one, many := newHarness(t), manyVIPs(t)
	one.master(1)
	one.g.SetSentPriority(Priority{AdvBase: 1})
	many.master(1)
	udp := packet{dst: netip.MustParseAddr("192.0.2.77"), dstMAC: nicMAC, proto: 17, payload: make([]byte, 26)}.bytes()
	tcp6 := packet6{dst: peerAddr6, dstMAC: nicMAC, next: 6, payload: make([]byte, 26)}.bytes()
	toVIP := packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 26)}.bytes()
	request, other := arpFor("192.0.2.1").bytes(), arpFor("192.0.2.77").bytes()
	dual := newHarness(t, dualVIPs()...)
	dual.master(1)
	pass, tx := emptyXDP(t, xdpPass), emptyXDP(t, xdpTX)
	plain := func(p *ebpf.Program, frame []byte) func() float64 {
		return func() float64 { return nsPerFrame(t, p, frame, 100_000) }
	}
	// A test run goes on with what the run before left of the frame, so it is written anew before each.
	rewritten := func(p *ebpf.Program, frame []byte) func() float64 {
		return plain(rewriting(t, p, frame), frame)
	}
	good := frameOf(advert(2, 0, 0, 7)) // worse than ours: the lease stays
	return []*cost{
		{name: "empty XDP_PASS", run: plain(pass, udp)},
		{name: "empty XDP_TX", run: plain(tx, udp)},
		{name: "rewritten, empty XDP_TX", run: rewritten(tx, request)},
		{name: "rewritten, empty XDP_PASS", run: rewritten(pass, toVIP)},
		{name: "rewritten ND, empty XDP_TX", run: rewritten(tx, ndFor(vip6).bytes())},
		{name: "not ours, UDP, 1 group", base: "empty XDP_PASS", run: plain(one.d.objs.VipdXdp, udp), target: 8, bound: 0.6},
		{name: "not ours, TCP over IPv6", base: "empty XDP_PASS", run: plain(one.d.objs.VipdXdp, tcp6), target: 8, bound: 0.6},
		{name: "not ours, UDP, 4096 VIPs", base: "empty XDP_PASS", run: plain(many.d.objs.VipdXdp, udp), target: 8, bound: 0.6},
		{name: "not ours, ARP for another", base: "empty XDP_PASS", run: plain(one.d.objs.VipdXdp, other), bound: 1.2},
		{name: "virtual MAC, rewritten and counted", base: "rewritten, empty XDP_PASS", run: rewritten(one.d.objs.VipdXdp, toVIP), target: 30, bound: 2.2},
		{name: "ARP answer", base: "rewritten, empty XDP_TX", run: rewritten(one.d.objs.VipdXdp, request), target: 60, bound: 2.4},
		{name: "ARP answer, 4096 VIPs", base: "rewritten, empty XDP_TX", run: rewritten(many.d.objs.VipdXdp, request), target: 60, bound: 2.6},
		{name: "ND answer", base: "rewritten ND, empty XDP_TX", run: rewritten(dual.d.objs.VipdXdp, ndFor(vip6).bytes()), bound: 5.5},
		{name: "forged advert, bucket empty", base: "empty XDP_PASS", run: func() float64 { return one.nsForged(goldenSpec("192.0.2.1")) }, target: 60, bound: 3.4},
		{name: "authentic advert, one context", run: func() float64 { return one.nsAdvert(goldenSpec("192.0.2.1"), good) }, target: 500, bound: 32},
		{name: "authentic advert, sealed", run: func() float64 { return one.nsAdvert(sealedSpec("192.0.2.1"), sealedFromNobody()) }, bound: 37},
		{name: "authentic advert over IPv6", run: func() float64 {
			return dual.nsAdvert(goldenSpec(dualVIPs()...), frame6(dualAdvert(2, 0, 0, 7)))
		}, bound: 33},
	}
}

// manyVIPs is a group with as many addresses as a data plane may well have.
func manyVIPs(t *testing.T) *harness {
	t.Helper()
	d := openSized(t, Options{MaxGroups: 16, MaxVIPs: 4096})
	vips := make([]string, 0, 4096)
	for i := range 4095 {
		vips = append(vips, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
	}
	return newHarnessOn(t, d, append(vips, "192.0.2.1")...)
}

func nsPerFrame(t testing.TB, p *ebpf.Program, frame []byte, n int) float64 {
	t.Helper()
	_, d, err := p.Benchmark(frame, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return float64(d.Nanoseconds())
}

// nsAdvert takes a batch that the budget of class 1 and the ring can bear: what is
// measured is a verified, recorded and reported advert.
func (h *harness) nsAdvert(s GroupSpec, frame []byte) float64 {
	h.t.Helper()
	const batch = 5000
	h.fresh(s)
	h.master(h.g.Generation() + 1)
	h.g.SetSentPriority(Priority{AdvBase: 1})
	h.run(frame) // the rest is of class 1
	before := h.counters()
	ns := nsPerFrame(h.t, h.d.objs.VipdXdp, frame, batch)
	if got := since(before, h.counters()); got["received"] != batch || got["events_lost"] != 0 {
		h.t.Fatalf("counted %v", got)
	}
	h.drain()
	return ns
}

// nsForged: the first fifty of a flood are paid for and refused by their digest, the rest unread.
func (h *harness) nsForged(s GroupSpec) float64 {
	h.t.Helper()
	const batch = 50_000
	h.fresh(s)
	h.master(h.g.Generation() + 1)
	h.run(frameOf(advert(2, 0, 0, 7))) // a master that lives: its reserve is its own
	forged := from("192.0.2.66", damaged(advert(1, 0, 0, 7)))
	nsPerFrame(h.t, h.d.objs.VipdXdp, forged, 100)
	before := h.counters()
	ns := nsPerFrame(h.t, h.d.objs.VipdXdp, forged, batch)
	if got := since(before, h.counters()); got["rate_limited"] < batch*99/100 {
		h.t.Fatalf("counted %v", got)
	}
	h.g.SetSentPriority(Priority{AdvBase: 1})
	return ns
}

// sealedFromNobody: the same frame again and again is a replay but for nodes without an address.
func sealedFromNobody() []byte {
	none := netip.IPv4Unspecified()
	return packet{src: none, payload: sealedAdvert(7, none, Priority{AdvBase: 2}).bytes()}.bytes()
}
