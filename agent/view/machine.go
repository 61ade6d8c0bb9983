// SPDX-License-Identifier: Apache-2.0

package view

import (
	"hash/fnv"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
)

// Has4 reports whether a group has IPv4 addresses.
func Has4(g *config.Group) bool { return hasFamily(g, netip.Addr.Is4) }

// Has6 reports whether a group has IPv6 addresses.
func Has6(g *config.Group) bool { return hasFamily(g, netip.Addr.Is6) }

func hasFamily(g *config.Group, of func(netip.Addr) bool) bool {
	return slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return of(p.Addr()) })
}

// ElectionConfig returns what the machine of a group works with.
func ElectionConfig(cfg *config.Config, g *config.Group) election.Config {
	c := election.Config{
		NodeName: cfg.Node.Name, AdvBase: g.AdvBase, AdvSkew: g.AdvSkew,
		Preempt: cfg.Carp.Preempt, DeadRatio: cfg.Carp.DeadRatio, SendDemote: cfg.Carp.SendDemote,
		PreemptDelay: cfg.Carp.PreemptDelay, ClaimDelay: cfg.Carp.ClaimDelay,
		DualStack: Has4(g) && Has6(g), Beat: g.Beat,
	}
	if len(cfg.Groups) >= staggered {
		c.Stagger = stagger(g)
	}
	if cfg.Carp.MasterDown == config.MasterDownOpenBSD {
		c.MasterDown = election.DownOpenBSD
	}
	return c
}

// staggered is from how many groups on the adverts of a node are spread over the interval. The claims of fewer take a
// BACKUP some 60 ms at most, even at once, and adverts that leave one by one take the MASTER twice the processor time.
const staggered = 1024

// stagger returns a part of a group's interval that looks random, and is the same whenever it is asked for.
func stagger(g *config.Group) time.Duration {
	h := fnv.New32a()
	_, _ = h.Write([]byte(g.Name())) // never fails
	x := h.Sum32()
	x = (x ^ x>>16) * 0x85ebca6b // the last letters differ, and FNV hardly mixes them (MurmurHash3)
	interval := election.Priority{AdvBase: g.AdvBase, AdvSkew: g.AdvSkew}.Interval()
	return time.Duration(uint64(interval) >> 16 * uint64(x>>16))
}
