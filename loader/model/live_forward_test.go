// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net"
	"net/netip"
	"os"
	"testing"

	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/livetest"
)

// TestLiveForwarding: what a router loses by having vipd on its interface: UDP from veth pairs to another through the
// stack's forwarding, none of it vipd's business, and to the virtual MAC. In generic mode such a packet costs less than
// without a program, for the kernel then leaves GRO out, which could not merge these: traffic that it does merge loses
// that.
func TestLiveForwarding(t *testing.T) {
	requireCosts(t)
	out, far := kerneltest.Pair(t, "live-forward")
	pin(t)
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	check(
		netlink.AddrAdd(out, &netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(198, 51, 100, 9), Mask: net.CIDRMask(24, 32)}}),
	)
	check(
		netlink.NeighAdd(
			&netlink.Neigh{
				LinkIndex:    out.Attrs().Index,
				IP:           net.IPv4(198, 51, 100, 77),
				HardwareAddr: PeerMAC[:],
				State:        netlink.NUD_PERMANENT,
			},
		),
	)
	check(os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0))
	attachXDP(t, far, emptyXDP(t, xdpDrop), link.XDPDriverMode)
	to := func(mac [6]byte) *livetest.Generator {
		return livetest.New(
			t,
			Packet{
				Src:     PeerAddr,
				Dst:     netip.MustParseAddr("198.51.100.77"),
				DstMAC:  mac,
				TTL:     64,
				Proto:   17,
				Payload: UDP(18),
			}.Bytes(),
		)
	}
	toNIC, toVirtual := to(NICMAC), to(VMAC(1))

	var lanes []lane
	n := 0
	add := func(name string) (in, from netlink.Link) {
		t.Helper()
		n++
		in, from = kerneltest.Veth(t, "in"+number(float64(n)), "from"+number(float64(n)))
		check(
			netlink.AddrAdd(
				in,
				&netlink.Addr{IPNet: &net.IPNet{IP: net.IPv4(192, 0, 2, byte(8*n)), Mask: net.CIDRMask(29, 32)}},
			),
		)
		check(livetest.Accept(in.Attrs().Name))
		lanes = append(lanes, lane{name: name, gen: toNIC, from: from, sink: far})
		return in, from
	}
	add("without vipd")
	add("without vipd, once more") // how far two of the same are apart
	empty := emptyXDP(t, XDPPass)
	in, _ := add("an empty program, native")
	attachXDP(t, in, empty, link.XDPDriverMode)
	d := openPlane(t, planeOptions{})
	in, _ = add("vipd, native")
	attachMaster(t, d, in, attach.ModeNative)
	in, _ = add("an empty program, generic")
	attachXDP(t, in, empty, link.XDPGenericMode)
	in, from := add("vipd, generic")
	attachMaster(t, d, in, attach.ModeGeneric)
	// On a veth the stack takes such a frame in generic mode only.
	lanes = append(lanes, lane{name: "vipd, generic, to the virtual MAC", gen: toVirtual, from: from, sink: far})

	rounds := race(t, lanes)
	for i, l := range lanes {
		ns := over(rounds, func(r []float64) float64 { return r[i] })
		tax := over(rounds, func(r []float64) float64 { return 100 * (r[i]/r[0] - 1) })
		t.Logf("%-34s %6.0f ns a packet, %8.0f a second, %s %%", l.name, ns.median, 1e9/ns.median, tax.format("%+.1f"))
	}
}
