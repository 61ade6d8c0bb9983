// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"
)

// Cable joins two hosts directly: an interface of the same name on each, without a switch between them. A benchmark
// with many links needs it, since a bridge copies each multicast frame to all of its ports.
func (l *Lab) Cable(a, b *Host, ifname, addressA, addressB string) {
	l.Helper()
	mac := func() net.HardwareAddr {
		l.macs++
		return net.HardwareAddr{2, 0, 0, 0, byte(l.macs >> 8), byte(l.macs)}
	}
	la := netlink.NewLinkAttrs()
	la.Name, la.HardwareAddr = ifname, mac()
	l.check(a.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: la, PeerName: ifname, PeerNamespace: netlink.NsFd(int(b.ns)), PeerHardwareAddr: mac(),
	}), "plug in %s", ifname)
	for h, address := range map[*Host]string{a: addressA, b: addressB} {
		h.SetUp(ifname)
		h.AddAddress(ifname, address)
	}
	for _, h := range []*Host{a, b} {
		l.Eventually(5*time.Second, time.Millisecond, func() (bool, string) {
			return h.link(ifname).Attrs().OperState == netlink.OperUp && h.settled(ifname),
				fmt.Sprintf("link and addresses of %s on %s", ifname, h.Name)
		})
	}
}
