// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/election"
)

// This file contains what operators and configuration management do to nodes.

func (w *World) beginConfig(f *fault, h *host, m *member) {
	f.what = h.name
	if !h.running() || h.peer != PeerNone {
		return
	}
	switch f.kind {
	case faultSkew:
		cfg := m.cfg
		cfg.AdvSkew = oneOf[uint8](w.faults, 0, 0, 1, 100, 254)
		f.what = fmt.Sprintf("%s@%d from %d to %d", h.name, m.group.vhid, m.cfg.AdvSkew, cfg.AdvSkew)
		w.reload(m, cfg)
		f.end = func() { w.reload(m, m.normal) }
	case faultBase:
		cfg := m.cfg
		cfg.AdvBase = oneOf[uint8](w.faults, 1, 2, 4)
		f.what = fmt.Sprintf("%s@%d from %d to %d", h.name, m.group.vhid, m.cfg.AdvBase, cfg.AdvBase)
		w.reload(m, cfg)
		f.end = func() { w.reload(m, m.normal) }
	case faultSecret:
		n := 1 + w.faults.below(2)
		w.setSecrets(m, n, 1<<n)
		f.end = func() { w.setSecrets(m, 0, 1) }
	case faultDemote:
		w.demote(h, oneOf(w.faults, 0, 1, 50, 240, 1000, -10))
		f.end = func() {}
	case faultStorm:
		w.storm(f, h)
	case faultRelease:
		if !m.wanted {
			return
		}
		m.wanted, m.releasing = false, true
		w.ask(m, election.Release{Reason: election.ReasonDisabled})
		f.end = func() { m.wanted, m.healthy = true, max(m.healthy, w.now); w.sync(h) }
	case faultRotate:
		w.rotate(f, m.group)
	default:
	}
}

// reload changes m's configuration. An agent that hangs gets it when it continues; one that is dead reads it at its
// start.
func (w *World) reload(m *member, cfg election.Config) {
	h := m.host
	if h.up && h.agent && !h.running() {
		w.at(w.now+10*time.Millisecond, func() { w.reload(m, cfg) })
		return
	}
	// A running timer keeps its time, also with OpenBSD's rule, by which the skew counts three times.
	m.altered, m.healthy = w.now, max(m.healthy, w.now, w.now+down(m.cfg)-down(cfg))
	if cfg.AdvBase != m.cfg.AdvBase {
		m.rebased = w.now
		m.group.disturbed = w.now
		m.healthy = w.now + down(m.cfg)
	}
	m.patience = min(m.patience, minDown(cfg))
	m.cfg = cfg
	w.ask(m, election.Reconfigure{Config: cfg})
}

func (w *World) setSecrets(m *member, signs int, accepts uint64) {
	m.signs, m.accepts = signs, accepts
	m.healthy = max(m.healthy, w.now)
	w.disturb(m)
}

func (w *World) demote(h *host, total int) {
	if !h.running() {
		return
	}
	h.demotion = total
	h.told = w.total(h)
	for _, m := range h.members {
		w.ask(m, election.Demotion{Total: h.told})
	}
}

func (w *World) storm(f *fault, h *host) {
	f.end = func() { f.over = true }
	var next func()
	next = func() {
		if f.over {
			return
		}
		w.demote(h, oneOf(w.faults, 0, 0, 1, 20, 240, -1))
		w.at(w.now+w.faults.between(0, 20*time.Millisecond), next)
	}
	next()
}

// rotate changes a group's password on one node at a time: accept the new one, send with it, remove the old one. This
// must have no effect.
func (w *World) rotate(f *fault, g *group) {
	const fresh = 3
	if w.Faults&(1<<faultSecret) != 0 || g.rotating || w.Peer != PeerNone {
		return
	}
	f.what = fmt.Sprintf("@%d", g.vhid)
	g.rotating = true
	steps := []func(*member){
		func(m *member) { m.accepts = 1 | 1<<fresh },
		func(m *member) { m.signs = fresh },
		func(m *member) { m.signs = 0 },
		func(m *member) { m.accepts = 1 },
	}
	step, who := 0, 0
	var next func()
	next = func() {
		if f.over {
			return
		}
		if who < len(g.members) {
			steps[step](g.members[who])
			who++
		} else if step++; step < len(steps) {
			who = 0 // adverts from before have arrived by now
		} else {
			return
		}
		w.at(w.now+w.faults.between(w.net.flight, 200*time.Millisecond), next)
	}
	f.end = func() {
		for _, m := range g.members {
			if m.signs == fresh {
				w.disturb(m) // adverts on the way will be refused
			}
			m.signs, m.accepts = 0, 1
		}
		g.rotating = false
	}
	next()
}
