// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"

	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// leftHost is what is needed of the host to take left-overs off.
type leftHost interface {
	DelVIP(ifindex int, ip netip.Addr) error
	DelMAC(ifindex int, mac [6]byte) error
	DelOwnRoutes(ifindex int, keep func(netip.Prefix) bool) error
}

// takeOff removes addresses that an earlier vipd left, with their routes and
// virtual MACs. It comes before their fence goes: without the programs the host's
// own stack would speak for them. Routes stay that keep says others need.
func takeOff(host leftHost, left []loader.LeftVIP, keep func(ifindex int, route netip.Prefix) bool, log *slog.Logger) {
	var errs []error
	interfaces := map[int]bool{}
	for _, l := range left {
		errs = append(errs, host.DelVIP(l.IfIndex, l.Addr), host.DelMAC(l.IfIndex, wire.VirtualMAC(l.VHID)))
		interfaces[l.IfIndex] = true
	}
	for ifindex := range interfaces {
		errs = append(errs, host.DelOwnRoutes(ifindex, func(route netip.Prefix) bool { return keep(ifindex, route) }))
	}
	if err := errors.Join(errs...); err != nil {
		// The kernel's own clock takes them at the end of their lifetime.
		log.Warn("not all addresses of an earlier vipd could be removed", "err", err)
	}
	if len(left) > 0 {
		log.Info("took off addresses of an earlier vipd", "addresses", len(left))
	}
}

// nobodys says of every route that nobody needs it.
func nobodys(int, netip.Prefix) bool { return false }

// clearLeft removes what a daemon that died without cleaning up left on the
// host and in the kernel. Nothing there is no error.
func clearLeft(host *netio.Host, opts loader.Options, log *slog.Logger) error {
	left, err := loader.LeftBehind(opts.Dir)
	if err != nil {
		log.Warn("not everything that a dead vipd left could be read", "err", err)
	}
	takeOff(host, left, nobodys, log)
	report, err := loader.Cleanup(opts)
	if err != nil {
		return err
	}
	if !report.Empty() {
		log.Info("removed what a dead vipd left", "found", fmt.Sprintf("%+v", report))
	}
	return nil
}
