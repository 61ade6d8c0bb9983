// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"math"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// Self returns what this node says of itself in a group, without the number. key is the fingerprint of the password
// that it signs with.
func Self(n *view.Node, g *view.Group, key uint32) wire.Hello {
	cfg, m := &g.Config, &g.Machine
	h := wire.Hello{
		VHID: cfg.VHID, Maintenance: n.Maintenance, Preempt: g.Preempt, Disabled: !n.Enabled, Complete: true,
		AdvBase: cfg.AdvBase, AdvSkew: cfg.AdvSkew, Beat: uint16(cfg.Beat / time.Microsecond), // at most config.MaxBeat
		EffectiveAdvBase: m.Effective.AdvBase, EffectiveAdvSkew: m.Effective.AdvSkew,
		Demotion: uint16(min(max(n.Demotions.Total(), 0), math.MaxUint16)),
		Key:      key, Node: n.Config.Node.Name, Version: api.Version, Demotions: n.Demotions.Names(),
	}
	for _, p := range cfg.Addresses {
		h.Addresses = append(h.Addresses, p.Addr())
	}
	h.List = wire.ListFingerprint(h.Addresses)
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

// KeyOf returns the fingerprint of the password that a group signs with.
func KeyOf(g config.Group) (uint32, error) {
	key, err := wire.NewKey(g.Contexts()[0].Password.Bytes())
	if err != nil {
		return 0, err
	}
	return key.TrailerKey().Fingerprint(), nil
}
