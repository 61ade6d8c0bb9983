// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"vipd/loader/tables"
)

// cost is one way through the XDP program and what it may cost over an empty program.
type cost struct {
	name   string
	run    func() float64 // ns a frame, of one round
	base   string         // the empty program it is compared with
	target float64        // ns over base; reported, for a quiet machine of our day
	// bound is for the lowest of all rounds over base, in units of the empty program. A doubled cost exceeds it.
	bound float64
	over  []float64
	own   []float64
}

// TestXDPCosts measures every way of a frame in one run beside an empty XDP_PASS and an empty XDP_TX, prints the table
// and holds the bounds. It is no part of `make test`: beside other load on the host a digest slows down more than an
// empty program does, so there the ratio says nothing about the code.
func TestXDPCosts(t *testing.T) {
	const rounds = 51
	if os.Getenv("VIPD_COSTS") == "" {
		t.Skip("costs are measured by make bench-xdp")
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
	fmt.Fprintf(
		&table, "%-34s %9s %9s %8s %8s  %s\n", "frame (ns, medians)", "whole", "over", "least", "target", "verdict",
	)
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
		fmt.Fprintf(
			&table, "%-34s %9.1f %9.1f %8.1f %8s  %s\n", c.name, median(c.own), median(c.over), least, number(c.target),
			verdict,
		)
		if c.bound > 0 && least > c.bound*empty {
			t.Errorf(
				"%s: %.0f ns over %s in the best of %d rounds, more than %.1f empty programs of %.0f ns",
				c.name,
				least,
				c.base,
				rounds,
				c.bound,
				empty,
			)
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
	one, many := NewHarness(t), manyVIPs(t)
	one.Master(1)
	one.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	many.Master(1)
	udp := Packet{Dst: netip.MustParseAddr("192.0.2.77"), DstMAC: NICMAC, Proto: 17, Payload: make([]byte, 26)}.Bytes()
	tcp6 := Packet6{Dst: PeerAddr6, DstMAC: NICMAC, Next: 6, Payload: make([]byte, 26)}.Bytes()
	toVIP := Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 26)}.Bytes()
	request, other := ARPFor("192.0.2.1").Bytes(), ARPFor("192.0.2.77").Bytes()
	dual := NewHarness(t, DualVIPs()...)
	dual.Master(1)
	pass, tx := emptyXDP(t, XDPPass), emptyXDP(t, XDPTX)
	plain := func(p *ebpf.Program, frame []byte) func() float64 {
		return func() float64 { return nsPerFrame(t, p, frame, 100_000) }
	}
	// A test run goes on with what the run before left of the frame, so it is written anew before each.
	rewritten := func(p *ebpf.Program, frame []byte) func() float64 {
		return plain(rewriting(t, p, frame), frame)
	}
	good := FrameOf(Advert(2, 0, 0, 7)) // worse than ours: the lease stays
	frames := provenFrames(batch)
	proven, unproven := sending(t, one.Plane.Objects.VipdXdp, frames), sending(t, pass, frames)
	return []*cost{
		{name: "empty XDP_PASS", run: plain(pass, udp)},
		{name: "empty XDP_TX", run: plain(tx, udp)},
		{name: "rewritten, empty XDP_TX", run: rewritten(tx, request)},
		{name: "rewritten, empty XDP_PASS", run: rewritten(pass, toVIP)},
		{name: "rewritten ND, empty XDP_TX", run: rewritten(tx, NDFor(VIP6).Bytes())},
		{
			name:   "not ours, UDP, 1 group",
			base:   "empty XDP_PASS",
			run:    plain(one.Plane.Objects.VipdXdp, udp),
			target: 8,
			bound:  0.6,
		},
		{
			name:   "not ours, TCP over IPv6",
			base:   "empty XDP_PASS",
			run:    plain(one.Plane.Objects.VipdXdp, tcp6),
			target: 8,
			bound:  0.6,
		},
		{
			name:   "not ours, UDP, 4096 VIPs",
			base:   "empty XDP_PASS",
			run:    plain(many.Plane.Objects.VipdXdp, udp),
			target: 8,
			bound:  0.6,
		},
		{name: "not ours, ARP for another", base: "empty XDP_PASS", run: plain(one.Plane.Objects.VipdXdp, other), bound: 1.2},
		{
			name:   "virtual MAC, rewritten and counted",
			base:   "rewritten, empty XDP_PASS",
			run:    rewritten(one.Plane.Objects.VipdXdp, toVIP),
			target: 30,
			bound:  2.2,
		},
		{
			name:   "ARP answer",
			base:   "rewritten, empty XDP_TX",
			run:    rewritten(one.Plane.Objects.VipdXdp, request),
			target: 60,
			bound:  2.4,
		},
		{
			name:   "ARP answer, 4096 VIPs",
			base:   "rewritten, empty XDP_TX",
			run:    rewritten(many.Plane.Objects.VipdXdp, request),
			target: 60,
			bound:  2.6,
		},
		{
			name:  "ND answer",
			base:  "rewritten ND, empty XDP_TX",
			run:   rewritten(dual.Plane.Objects.VipdXdp, NDFor(VIP6).Bytes()),
			bound: 5.5,
		},
		{
			name:   "forged advert, bucket empty",
			base:   "empty XDP_PASS",
			run:    func() float64 { return one.nsForged(GoldenSpec("192.0.2.1")) },
			target: 60,
			bound:  3.4,
		},
		{
			name:   "authentic advert, one context",
			run:    func() float64 { return one.nsAdvert(GoldenSpec("192.0.2.1"), good) },
			target: 500,
			bound:  32,
		},
		{name: "sent, empty XDP_PASS", run: func() float64 { return unproven.ns(t) }},
		{
			name:   "authentic advert with a trailer",
			base:   "sent, empty XDP_PASS",
			run:    func() float64 { return one.nsProven(proven) },
			target: 600,
			bound:  40,
		},
		{
			name:   "authentic advert, replayed",
			base:   "empty XDP_PASS",
			run:    func() float64 { return one.nsReplayed(provenFrames(1)[0], "replay") },
			target: 200,
			bound:  16,
		},
		{
			name:   "forged trailer, bucket empty",
			base:   "empty XDP_PASS",
			run:    func() float64 { return one.nsReplayed(forgedTrailer(), "rate_limited") },
			target: 200,
			bound:  16,
		},
		{name: "authentic advert over IPv6", run: func() float64 {
			return dual.nsAdvert(GoldenSpec(DualVIPs()...), frame6(DualAdvert(2, 0, 0, 7)))
		}, bound: 33},
	}
}

// manyVIPs is a group with as many addresses as a data plane may well have.
func manyVIPs(t *testing.T) *Harness {
	t.Helper()
	d := openPlane(t, planeOptions{MaxGroups: 16, MaxVIPs: 4096})
	vips := make([]string, 0, 4096)
	for i := range 4095 {
		vips = append(vips, netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)}).String())
	}
	return newHarnessOn(t, d, append(vips, "192.0.2.1")...)
}

// nsPerFrame runs a program on a frame n times. It may count a few frames more: a run that a signal interrupts begins
// anew, and Go's scheduler sends signals.
func nsPerFrame(t testing.TB, p *ebpf.Program, frame []byte, n int) float64 {
	t.Helper()
	_, d, err := p.Benchmark(frame, n, nil)
	if err != nil {
		t.Fatal(err)
	}
	return float64(d.Nanoseconds())
}

// batch is as many adverts as the budget of class 1 and the ring can bear.
const batch = 5000

// nsAdvert takes a batch that the budget of class 1 and the ring can bear: what is
// measured is a verified, recorded and reported advert.
func (h *Harness) nsAdvert(s tables.GroupSpec, frame []byte) float64 {
	h.T.Helper()
	h.Fresh(s)
	h.Master(h.Group.Generation() + 1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	h.Run(frame) // the rest is of class 1
	before := h.counters()
	ns := nsPerFrame(h.T, h.Plane.Objects.VipdXdp, frame, batch)
	if got := since(before, h.counters()); got["received"] < batch || got["events_lost"] != 0 {
		h.T.Fatalf("counted %v", got)
	}
	h.drain()
	return ns
}

// nsForged: the first fifty of a flood are paid for and refused by their digest, the rest unread.
func (h *Harness) nsForged(s tables.GroupSpec) float64 {
	h.T.Helper()
	const batch = 50_000
	h.Fresh(s)
	h.Master(h.Group.Generation() + 1)
	h.Run(FrameOf(Advert(2, 0, 0, 7))) // a master that lives: its reserve is its own
	forged := from("192.0.2.66", damaged(Advert(1, 0, 0, 7)))
	nsPerFrame(h.T, h.Plane.Objects.VipdXdp, forged, 100)
	before := h.counters()
	ns := nsPerFrame(h.T, h.Plane.Objects.VipdXdp, forged, batch)
	if got := since(before, h.counters()); got["rate_limited"] < batch*99/100 {
		h.T.Fatalf("counted %v", got)
	}
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	return ns
}

// provenFrames returns adverts of a vipd node with rising numbers, which make us not yield.
func provenFrames(n int) [][]byte {
	frames := make([][]byte, n)
	for i := range frames {
		frames[i] = FrameOf(provenAdvert(uint64(1+i), PeerAddr, tables.Priority{AdvBase: 2}))
	}
	return frames
}

func forgedTrailer() []byte {
	c := provenAdvert(1e6, PeerAddr, tables.Priority{AdvBase: 2})
	c.skew = 1
	return FrameOf(c)
}

// nsProven returns what a verified, recorded and reported advert with a trailer takes.
func (h *Harness) nsProven(s sender) float64 {
	h.T.Helper()
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Master(h.Group.Generation() + 1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	before := h.counters()
	ns := s.ns(h.T)
	if got := since(before, h.counters()); got["received"] != uint64(s.n) || got["events_lost"] != 0 {
		h.T.Fatalf("counted %v", got)
	}
	h.drain()
	return ns
}

// nsReplayed returns what a frame takes that is refused after its tag was checked.
func (h *Harness) nsReplayed(frame []byte, reason string) float64 {
	h.T.Helper()
	const times = 20_000
	h.Fresh(ProvenSpec("192.0.2.1"))
	h.Master(h.Group.Generation() + 1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	h.Run(provenFrames(1)[0])
	h.spend()
	before := h.counters()
	ns := nsPerFrame(h.T, h.Plane.Objects.VipdXdp, frame, times)
	if got := since(before, h.counters()); got[reason] < times || len(got) != 1 {
		h.T.Fatalf("counted %v", got)
	}
	h.drain()
	return ns
}
