// SPDX-License-Identifier: Apache-2.0

package view

import (
	"net/netip"
	"slices"

	"vipd/agent/config"
	"vipd/agent/election"
)

// Has4 reports whether a group has IPv4 addresses.
func Has4(g config.Group) bool { return hasFamily(g, netip.Addr.Is4) }

// Has6 reports whether a group has IPv6 addresses.
func Has6(g config.Group) bool { return hasFamily(g, netip.Addr.Is6) }

func hasFamily(g config.Group, of func(netip.Addr) bool) bool {
	return slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return of(p.Addr()) })
}

// ElectionConfig returns what the machine of a group works with.
func ElectionConfig(cfg *config.Config, g config.Group) election.Config {
	c := election.Config{
		NodeName: cfg.Node.Name, AdvBase: g.AdvBase, AdvSkew: g.AdvSkew,
		Preempt: cfg.Carp.Preempt, DeadRatio: cfg.Carp.DeadRatio, SendDemote: cfg.Carp.SendDemote,
		PreemptDelay: cfg.Carp.PreemptDelay, ClaimDelay: cfg.Carp.ClaimDelay,
		DualStack: Has4(g) && Has6(g), Beat: g.Beat,
	}
	if cfg.Carp.MasterDown == config.MasterDownOpenBSD {
		c.MasterDown = election.DownOpenBSD
	}
	return c
}
