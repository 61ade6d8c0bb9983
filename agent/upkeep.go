// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"time"

	"vipd/agent/election"
	"vipd/loader"
)

// Programs do not stay where they were attached (loader/settle.go). A goroutine of its own
// looks after them, for what it does may take longer than the election can wait; the loop
// is told what came of it. One thing the loop asks by itself, before it takes silence for
// the end of a master: whether anybody was listening.

const (
	// lookEvery is how often the programs are looked at. Where a look takes long, for its
	// many interfaces, it rests lookShare times as long; at most lookLate, for it may have
	// taken long since the machine was busy.
	lookEvery = 250 * time.Millisecond
	lookShare = 20
	lookLate  = time.Second
	// lostAgain bounds the log: somebody may go on detaching.
	lostAgain = time.Minute
)

// settled is what the upkeep did on one interface.
type settled struct {
	ifindex int
	did     loader.Settled
	err     error
}

// upkeep is shared by the loop and that goroutine.
type upkeep struct {
	look chan struct{} // holds a token when netlink told something
	done chan settled
}

func newUpkeep() upkeep {
	return upkeep{look: make(chan struct{}, 1), done: make(chan settled)}
}

// watchPrograms runs until ctx ends.
func (a *Agent) watchPrograms(ctx context.Context) error {
	rest := time.NewTimer(lookEvery)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		case <-a.upkeep.look:
		}
		started := a.now()
		found := a.plane.Unsettled()
		rest.Reset(min(max(lookEvery, lookShare*a.now().Sub(started)), lookLate))
		for _, ifindex := range found {
			did, err := a.plane.Settle(ifindex)
			select {
			case a.upkeep.done <- settled{ifindex, did, err}:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// noteSettled takes over in the loop what was done.
func (a *Agent) noteSettled(s settled) {
	for _, p := range a.ports {
		if !p.opened || p.link.Index != s.ifindex {
			continue
		}
		p.noteLost(a, s.did)
		if s.err != nil {
			was := p.fault
			p.giveUp(a, election.ReasonAttachFailed, s.err.Error())
			if a.notePort(p, was) {
				a.demote()
			}
			a.syncPorts()
			return
		}
		if s.did.Mode == "" { // it was let go meanwhile
			return
		}
		if s.did.Returned {
			a.log.Info("the xdp slot is free: xdp has taken over from tc ingress again", "ifname", p.name, "mode", s.did.Mode)
		} else if s.did.Attachment != p.att && s.did.Note != "" && s.did.Note != p.att.Note {
			a.log.Warn("the data plane shares its place", "ifname", p.name, "mode", s.did.Mode, "note", s.did.Note)
		}
		if s.did.Attachment != p.att {
			p.att = s.did.Attachment
			a.publish()
		}
		return
	}
}

// noteLost counts and tells what was gone.
func (p *port) noteLost(a *Agent, did loader.Settled) {
	if len(did.Lost) == 0 {
		return
	}
	for _, hook := range did.Lost {
		p.lost[hook]++
	}
	a.deafen(p)
	now := a.now()
	if p.lostAt == 0 || now.Sub(p.lostAt) >= lostAgain {
		p.lostAt = now
		a.log.Warn("somebody took programs of ours off an interface; they are put back. See `bpftool link`, `bpftool net` and `tc filter` for who it may be",
			"ifname", p.name, "hooks", did.Lost, "mode", did.Mode)
	}
	a.publish()
}

// listen makes sure, before a group's silence is taken for one, that the program is there
// that would have heard; what is missing is put back at once.
func (a *Agent) listen(g *group) {
	p := g.port
	if p == nil || !p.opened || g.machine.View().State != election.Backup {
		return
	}
	if _, ok := a.plane.Listening(p.link.Index); !ok {
		did, err := a.plane.Settle(p.link.Index)
		a.noteSettled(settled{p.link.Index, did, err})
	}
	a.deafen(p)
}

// deafen notes for the groups of an interface that nobody was listening for a while.
func (a *Agent) deafen(p *port) {
	if !p.opened {
		return
	}
	n, _ := a.plane.Listening(p.link.Index)
	if n == p.interrupted {
		return
	}
	p.interrupted = n
	for _, g := range a.order {
		g.deaf = g.deaf || g.port == p
	}
}

// lostCounts are for readers, with every hook.
func (p *port) lostCounts() map[string]uint64 {
	out := make(map[string]uint64, len(p.lost))
	for _, hook := range loader.Hooks() {
		out[hook] = p.lost[hook]
	}
	return out
}
