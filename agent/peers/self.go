// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"math"
	"net/netip"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// Constant is what a node says of itself in a group as long as the group's config stays.
type Constant struct {
	view.Fingerprints
	addresses []netip.Addr
}

// ConstantOf returns the Constant of a group. key is the fingerprint of the password that it signs with.
func ConstantOf(cfg *config.Group, key uint32) Constant {
	c := Constant{addresses: cfg.Addrs()}
	c.Key, c.List = key, wire.ListFingerprint(c.addresses)
	return c
}

// Self returns what this node says of itself in a group, without the number.
func Self(n *view.Node, g *view.Group) wire.Hello {
	c := Constant{g.Fingerprints, g.Config.Addrs()}
	return c.Self(n, g.Config, &g.Machine, g.Preempt)
}

// Self returns the same for a group with this Constant.
func (c *Constant) Self(n *view.Node, cfg *config.Group, m *election.View, preempt bool) wire.Hello {
	h := wire.Hello{
		VHID: cfg.VHID, Maintenance: n.Maintenance, Preempt: preempt, Disabled: !n.Enabled, Complete: true,
		AdvBase: cfg.AdvBase, AdvSkew: cfg.AdvSkew, Beat: uint16(cfg.Beat / time.Microsecond), // at most config.MaxBeat
		EffectiveAdvBase: m.Effective.AdvBase, EffectiveAdvSkew: m.Effective.AdvSkew,
		Demotion: uint16(min(max(n.Demotions.Total(), 0), math.MaxUint16)),
		Key:      c.Key, List: c.List, Addresses: c.addresses,
		Node: n.Config.Node.Name, Version: api.Version, Demotions: n.Demotions.Names(),
	}
	switch m.State {
	case election.Master:
		h.State = wire.HelloMaster
	case election.Backup:
		h.State, h.TakesOverIn = wire.HelloBackup, m.DownTime
	default:
		h.State, h.TakesOverIn = wire.HelloInit, wire.NeverTakesOver
	}
	return h
}
