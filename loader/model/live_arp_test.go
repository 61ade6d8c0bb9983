// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/livetest"
)

// TestLiveARP: ARP answers by XDP beside those of the host's own stack, over veth pairs in native mode, each less
// the cost of the same frames dropped where they arrive.
func TestLiveARP(t *testing.T) {
	requireCosts(t)
	const dropped, bounced, answered, stack = 0, 1, 2, 3
	ours, peer := kerneltest.Pair(t, "live-arp")
	pin(t)
	gen := livetest.New(t, ARPFor("192.0.2.1").Bytes())
	drop := emptyXDP(t, xdpDrop)
	lanes := []lane{{name: "dropped", gen: gen, from: peer, sink: ours}}
	attachXDP(t, ours, drop, link.XDPDriverMode)
	add := func(name string) netlink.Link {
		t.Helper()
		ours, peer := kerneltest.Veth(t, name, name+"-peer")
		attachXDP(t, peer, drop, link.XDPDriverMode)
		lanes = append(lanes, lane{name: name, gen: gen, from: peer, sink: peer})
		return ours
	}
	attachXDP(t, add("bounced"), emptyXDP(t, XDPTX), link.XDPDriverMode)
	attachMaster(t, openPlane(t, planeOptions{}), add("vipd"), attach.ModeNative)
	// The stack has the address, and a program that passes: the same driver path.
	own := add("stack")
	attachXDP(t, own, emptyXDP(t, XDPPass), link.XDPDriverMode)
	if err := netlink.AddrAdd(
		own,
		&netlink.Addr{IPNet: netlink.NewIPNet(netip.MustParseAddr("192.0.2.1").AsSlice())},
	); err != nil {
		t.Fatal(err)
	}

	rounds := race(t, lanes)
	for i, l := range lanes {
		t.Logf(
			"%-8s %s ns a frame: median of the rounds (quartiles)",
			l.name,
			over(rounds, func(r []float64) float64 { return r[i] }).format("%.0f"),
		)
	}
	less := func(i int) quartiles { return over(rounds, func(r []float64) float64 { return r[i] - r[dropped] }) }
	times := over(rounds, func(r []float64) float64 { return (r[stack] - r[dropped]) / (r[answered] - r[dropped]) })
	t.Logf("an ARP answer, less the frame dropped: %s ns by XDP, %s ns by the stack: %s times less (target 15)",
		less(answered).format("%.0f"), less(stack).format("%.0f"), times.format("%.1f"))
	t.Logf("of which an empty program that sends back costs %s ns: the driver's share", less(bounced).format("%.0f"))
	if times.median <= 1 {
		t.Errorf("answers by XDP cost %.0f ns a frame, those of the stack %.0f", less(answered).median, less(stack).median)
	}
}
