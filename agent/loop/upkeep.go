// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"time"

	"vipd/agent/election"
	"vipd/loader"
)

// Programs do not stay where they were attached (loader/attach/repair.go). A goroutine of its own looks after them: a
// repair may take longer than the election can wait, and reports to the loop. One thing the loop asks by itself, before
// it takes silence for the end of a master: whether the programs were attached all the time.

const (
	// lookEvery is how often the programs are looked at. Where a look takes long, for its many interfaces, it rests
	// lookShare times as long; at most lookMax, for it may have taken long since the machine was busy.
	lookEvery = 250 * time.Millisecond
	lookShare = 20
	lookMax   = time.Second
	// lostAgain bounds the log: another program may go on detaching.
	lostAgain = time.Minute
)

// repair is what the upkeep did on one interface.
type repair struct {
	ifindex int
	did     loader.Repaired
	err     error
}

// upkeep connects that goroutine with the loop.
type upkeep struct {
	look chan struct{} // holds a token when netlink reported a change
	done chan repair
}

func newUpkeep() upkeep {
	return upkeep{look: make(chan struct{}, 1), done: make(chan repair)}
}

// WatchPrograms runs until ctx ends.
func (l *Loop) WatchPrograms(ctx context.Context) error {
	rest := time.NewTimer(lookEvery)
	defer rest.Stop()
	var answers answerWatch
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-rest.C:
		case <-l.upkeep.look:
		}
		started := l.clock.Now()
		if err := l.fallBack(ctx, answers.unseen(started, l.View())); err != nil {
			return nil //nolint:nilerr // ctx has ended
		}
		found := l.plane.NeedRepair()
		rest.Reset(min(max(lookEvery, lookShare*l.clock.Now().Sub(started)), lookMax))
		for _, ifindex := range found {
			did, err := l.plane.Repair(ifindex)
			if l.upkeep.report(ctx, repair{ifindex, did, err}) != nil {
				return nil
			}
		}
	}
}

// report hands what was done to the loop. It fails when ctx ends.
func (u *upkeep) report(ctx context.Context, r repair) error {
	select {
	case u.done <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noteRepair takes over what was done.
func (l *Loop) noteRepair(r repair) {
	for _, p := range l.interfaces {
		if !p.opened || p.link.Index != r.ifindex {
			continue
		}
		if p.noteLost(r.did) {
			l.publish()
		}
		p.noteOffloads(r.did)
		if r.err != nil {
			l.loseInterface(p, r.err)
			l.syncInterfaces()
			return
		}
		if p.noteMode(r.did) {
			l.publish()
		}
		return
	}
}

// noteLost counts and logs what was gone. It reports whether anything was.
func (p *iface) noteLost(did loader.Repaired) bool {
	if len(did.Lost) == 0 {
		return false
	}
	d := &p.disturbed
	for _, hook := range did.Lost {
		d.lost[hook]++
	}
	n, _ := p.env.plane.Attended(p.link.Index)
	p.deafen(n)
	now := p.env.clock.Now()
	if d.lostAt == 0 || now.Sub(d.lostAt) >= lostAgain {
		d.lostAt = now
		p.env.log.Warn("another process detached our programs; reattached. "+
			"`bpftool link`, `bpftool net` and `tc filter` show what is attached",
			"ifname", p.name, "hooks", did.Lost, "mode", did.Mode)
	}
	return true
}

// noteOffloads logs that tags were hidden from XDP, not too often.
func (p *iface) noteOffloads(did loader.Repaired) {
	if len(did.Offloads) == 0 {
		return
	}
	d := &p.disturbed
	if now := p.env.clock.Now(); d.offloadsAt == 0 || now.Sub(d.offloadsAt) >= lostAgain {
		d.offloadsAt = now
		p.env.log.Warn("another program switched VLAN offloads on, which hide tags from xdp; switched off again",
			"ifname", p.name, "offloads", did.Offloads, "mode", did.Mode)
	}
}

// noteMode takes over how the programs are attached now. It reports whether that changed.
func (p *iface) noteMode(did loader.Repaired) bool {
	switch {
	case did.Mode == "" || did.Attachment == p.att && !did.Returned: // without a mode it was let go meanwhile
		return false
	case did.FellBack != "" && did.FellBack != p.att.FellBack:
		p.noteFallback(did.FellBack)
		p.env.log.Warn("native mode was given up, tc ingress serves", "ifname", p.name, "reason", did.FellBack)
	case did.Returned:
		p.env.log.Info("xdp has taken over from tc ingress",
			"ifname", p.name, "mode", did.Mode)
	case did.Note != "" && did.Note != p.att.Note:
		p.env.log.Warn("the note on the data plane has changed", "ifname", p.name, "mode", did.Mode, "note", did.Note)
	}
	changed := did.Attachment != p.att
	p.att = did.Attachment
	return changed
}

// attend makes sure, before a group's silence is taken for one, that the programs are attached that would have heard;
// what is missing is put back at once.
func (l *Loop) attend(g *group) {
	p := g.iface
	if p == nil || !p.opened || g.machine.State() != election.Backup {
		return
	}
	// Nothing can be heard, or it is not known whether the programs of the earlier vipd are still there.
	if p.resetting || p.inherited {
		g.hearing.deaf = l.clock.Now()
		return
	}
	n, ok := l.plane.Attended(p.link.Index)
	if !ok {
		did, err := l.plane.Repair(p.link.Index)
		l.noteRepair(repair{p.link.Index, did, err})
		n, _ = l.plane.Attended(p.link.Index)
	}
	p.deafen(n)
}

// deafen notes for the groups of an interface how often the programs were not attached for a while.
func (p *iface) deafen(n uint64) {
	if !p.opened || p.inherited || n == p.interrupted {
		return
	}
	p.interrupted = n
	for _, g := range p.env.groups.on(p) {
		g.hearing.deaf = p.env.clock.Now()
	}
}

// noteFallback counts that native mode was given up.
func (p *iface) noteFallback(reason string) {
	if reason != "" {
		p.disturbed.fallbacks[reason]++
	}
}

// fallbackCounts are for readers, with every reason.
func (p *iface) fallbackCounts() map[string]uint64 {
	out := make(map[string]uint64, len(p.disturbed.fallbacks))
	for _, reason := range loader.FallbackReasons() {
		out[reason] = p.disturbed.fallbacks[reason]
	}
	return out
}

// lostCounts are for readers, with every hook.
func (p *iface) lostCounts() map[string]uint64 {
	out := make(map[string]uint64, len(p.disturbed.lost))
	for _, hook := range loader.Hooks() {
		out[hook] = p.disturbed.lost[hook]
	}
	return out
}
