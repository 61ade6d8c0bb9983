// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"log/slog"
	"net/netip"

	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// leftHost is what TakeOff needs of the host.
type leftHost interface {
	AllAddresses() ([]netio.Address, error)
	DelVIP(ifindex int, ip netip.Addr) error
	DelMAC(ifindex int, mac [6]byte) error
	DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error
	DelLeftLocal(ifindex int, left func(netip.Prefix) bool) error
}

// TakeOff removes addresses that an earlier vipd left, with their routes and virtual MACs. It comes before their fence
// goes: without the programs the host's own stack would speak for them. Routes stay for which keep returns true.
func TakeOff(host leftHost, left []loader.LeftVIP, keep func(ifindex int, route netip.Prefix) bool, log *slog.Logger) {
	if len(left) == 0 {
		return
	}
	all, err := host.AllAddresses()
	errs := []error{err}
	addresses := hostcheck.NewTable(all)
	interfaces := map[int]map[netip.Addr]bool{}
	for _, l := range left {
		if !addresses.InWay(l.IfIndex, l.Addr) { // else it has become the host's own
			errs = append(errs, host.DelVIP(l.IfIndex, l.Addr))
		}
		errs = append(errs, host.DelMAC(l.IfIndex, wire.VirtualMAC(l.VHID)))
		if interfaces[l.IfIndex] == nil {
			interfaces[l.IfIndex] = map[netip.Addr]bool{}
		}
		interfaces[l.IfIndex][l.Addr] = true
	}
	for ifindex, addrs := range interfaces {
		// A local route is of one group, and so is left behind as a whole.
		errs = append(errs, host.DelLeftLocal(ifindex, func(route netip.Prefix) bool { return addrs[route.Addr()] }))
		errs = append(errs, host.DelOwnRoutes(ifindex, func(route netip.Prefix) bool { return keep(ifindex, route) }))
	}
	if err := errors.Join(errs...); err != nil {
		// The kernel removes them at the end of their lifetime.
		log.Warn("not all addresses of an earlier vipd could be removed", "err", err)
	}
	log.Info("removed addresses left by an earlier vipd", "addresses", len(left))
}

// KeepNone keeps no route.
func KeepNone(int, netip.Prefix) bool { return false }
