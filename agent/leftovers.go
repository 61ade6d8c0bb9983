// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"log/slog"

	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// clearLeft removes what a daemon that died without cleaning up left on the
// host and in the kernel. Addresses go first: without the programs the host's
// own stack would speak for them. Nothing there is no error.
func clearLeft(host *netio.Host, opts loader.Options, log *slog.Logger) error {
	left, err := loader.LeftBehind(opts.Dir)
	if err != nil {
		return err
	}
	var errs []error
	interfaces := map[int]bool{}
	for _, l := range left {
		errs = append(errs, host.DelVIP(l.IfIndex, l.Addr), host.DelMAC(l.IfIndex, wire.VirtualMAC(l.VHID)))
		interfaces[l.IfIndex] = true
	}
	for ifindex := range interfaces {
		errs = append(errs, host.DelOwnRoutes(ifindex))
	}
	if err := errors.Join(errs...); err != nil {
		log.Warn("not all addresses of a dead vipd could be removed", "err", err)
	}
	report, err := loader.Cleanup(opts)
	if err != nil {
		return err
	}
	if len(left) > 0 || !report.Empty() {
		log.Info("removed what a dead vipd left", "addresses", len(left), "found", fmt.Sprintf("%+v", report))
	}
	return nil
}
