// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/view"
)

// verdict is a group's change while its effects are worked out.
type verdict struct {
	api.PlanChange
	now *view.Group // nil for a group that is added
}

func (v *verdict) effect(kind string, addresses []netip.Prefix, format string, args ...any) {
	texts := make([]string, 0, len(addresses))
	for _, a := range addresses {
		texts = append(texts, a.String())
	}
	v.Effects = append(v.Effects, api.PlanEffect{Effect: kind, Addresses: texts, Text: fmt.Sprintf(format, args...)})
}

func (p *planner) verdict(name, action string, fields []string) *verdict {
	v := &verdict{
		PlanChange: api.PlanChange{
			Group: name, Action: action, Fields: append([]string{}, fields...), Effects: []api.PlanEffect{},
		},
	}
	if v.now = p.views[name]; v.now != nil {
		v.State = v.now.Machine.State.String()
	}
	return v
}

// is reports whether the group is in that state now.
func (v *verdict) is(s election.State) bool { return v.now != nil && v.now.Machine.State == s }

// alive reports whether the master of another node was heard within the master-down time.
func (p *planner) alive(v *verdict) bool {
	m := &v.now.Machine
	return m.Heard && !m.Master.Goodbye() && p.now.Sub(m.Master.At) <= m.DownTime
}

func (p *planner) remove(cfg config.Group, added []config.Group) api.PlanChange {
	v := p.verdict(cfg.Name(), api.PlanRemove, nil)
	if v.is(election.Master) {
		v.effect(
			api.EffectGivesUp,
			cfg.Addresses,
			"MASTER here: it says goodbye, the next node takes over at once, and the addresses leave this host; "+
				"without a next node, no node answers for them",
		)
	} else {
		v.effect(api.EffectNone, nil, "%s here: nothing moves, and this node no longer stands by for it", v.State)
	}
	for _, a := range added {
		shared := slices.DeleteFunc(slices.Clone(cfg.Addresses), func(x netip.Prefix) bool {
			return !slices.ContainsFunc(a.Addresses, func(y netip.Prefix) bool { return x.Addr() == y.Addr() })
		})
		if len(shared) > 0 && v.is(election.Master) {
			v.effect(
				api.EffectGivesUp,
				shared,
				"interface and vhid are a group's name, so this is another group: %s begins as BACKUP, "+
					"and no node answers for the addresses until it, or another node, has taken over",
				a.Name(),
			)
		}
	}
	return v.PlanChange
}

func (p *planner) add(cfg config.Group) api.PlanChange {
	v := p.verdict(cfg.Name(), api.PlanAdd, nil)
	v.State = "" // one of that name may be on its way out
	if !p.n.Enabled {
		v.effect(api.EffectNone, nil, "this node is disabled: the group is in INIT until `vipctl enable`")
		return v.PlanChange
	}
	if why := p.unusable(cfg.Interface); why != "" {
		text := "waits in INIT: " + why
		if by := p.next.Carp.IfdownDemotion; by > 0 {
			text += fmt.Sprintf("; until then it demotes this node by %d (%s%s)", by, api.DemotionLinkPrefix, cfg.Interface)
		}
		v.effect(api.EffectNone, nil, "%s", text)
		return v.PlanChange
	}
	if p.waitsForAddress(v, cfg) {
		return v.PlanChange
	}
	mine := p.effective(p.next, cfg)
	text := fmt.Sprintf(
		"begins as BACKUP and takes over if no master is heard for the master-down time, advertising %s",
		said(mine),
	)
	if p.next.Carp.Preempt {
		text += "; it preempts a master whose interval is longer"
	}
	v.effect(api.EffectMayTake, cfg.Addresses, "%s", text)
	return v.PlanChange
}

// waitsForAddress reports whether a group gives up, or does not begin, because one of its
// addresses is an ordinary one of the host.
func (p *planner) waitsForAddress(v *verdict, cfg config.Group) bool {
	link, err := p.link(cfg.Interface)
	if err != nil {
		return false
	}
	found := p.ordinary(link, cfg.Addresses)
	if len(found) == 0 {
		return false
	}
	kind, addresses := api.EffectNone, []netip.Prefix(nil)
	if v.is(election.Master) {
		kind, addresses = api.EffectGivesUp, cfg.Addresses
	}
	v.effect(kind, addresses, "waits in INIT (own_address): %s", hostcheck.OrdinaryDetail(found))
	return true
}

// effective returns what a group of the running or of the next config advertises, with the demotions that there are
// then.
func (p *planner) effective(c *config.Config, g config.Group) election.Priority {
	by := p.n.Demotions.Total()
	if c == p.next {
		by = p.demotion
	}
	return view.ElectionConfig(c, &g).Effective(by)
}

// demotionAfter returns the sum of demotions after the reload: without those whose interface, group or check is
// removed, and with those of interfaces that are new and cannot be used.
func (p *planner) demotionAfter() int {
	groups, was, is := map[string]bool{}, interfaces(p.n.Config), interfaces(p.next)
	for _, g := range p.next.Groups {
		groups[g.Name()] = true
	}
	checks := map[string]int{}
	for _, c := range p.next.Checks {
		checks[c.Name] = c.Demotion
	}
	sum := 0
	for _, d := range p.n.Demotions {
		kind, of, _ := strings.Cut(d.Name, ":")
		switch kind + ":" {
		case api.DemotionLinkPrefix, api.DemotionSourcePrefix:
			if !is[of] {
				continue
			}
		case api.DemotionSendErrPrefix:
			if !groups[of] {
				continue
			}
		case api.DemotionCheckPrefix:
			sum += checks[of]
			continue
		}
		sum += d.Value
	}
	for name := range is {
		if !was[name] && p.unusable(name) != "" {
			sum += p.next.Carp.IfdownDemotion
		}
	}
	return sum
}

// interfaces returns those that groups of a config are on.
func interfaces(c *config.Config) map[string]bool {
	out := map[string]bool{}
	for _, g := range c.Groups {
		out[g.Interface] = true
	}
	return out
}

// unusable returns why no group can run on an interface now, or "".
func (p *planner) unusable(ifname string) string {
	link, err := p.link(ifname)
	if err != nil {
		return fmt.Sprintf("interface %s does not exist on this host", ifname)
	}
	if why := hostcheck.Unfit(ifname, &link); why != "" {
		return why
	}
	if !link.Up {
		return fmt.Sprintf("interface %s is not up or has no carrier", ifname)
	}
	return ""
}

func (p *planner) modify(c config.GroupChange) api.PlanChange {
	v := p.verdict(c.New.Name(), api.PlanModify, c.Fields)
	if v.is(election.Init) || v.now == nil {
		v.effect(api.EffectNone, nil, "INIT here: no address moves")
		return v.PlanChange
	}
	if p.waitsForAddress(v, c.New) {
		return v.PlanChange
	}
	p.addresses(v, c)
	p.beat(v, c)
	p.signature(v, c)
	p.reachability(v, c)
	p.priority(v, c.Old, c.New)
	return v.PlanChange
}

// reach returns what keys outside the groups change for a group, and whether they do.
func (p *planner) reach(cfg config.Group, global []string) (api.PlanChange, bool) {
	v := p.verdict(cfg.Name(), api.PlanReach, global)
	if v.now == nil {
		return v.PlanChange, false
	}
	p.priority(v, cfg, cfg)
	return v.PlanChange, len(v.Effects) > 0
}

// addresses adds what a MASTER does with addresses it gains and loses. There is no goodbye for them, only for groups.
func (p *planner) addresses(v *verdict, c config.GroupChange) {
	if !v.is(election.Master) {
		return
	}
	if gone := without(c.Old.Addresses, c.New.Addresses); len(gone) > 0 {
		v.effect(api.EffectGivesUp, gone, "MASTER here: this host stops answering for them at once")
	}
	if come := without(c.New.Addresses, c.Old.Addresses); len(come) > 0 {
		v.effect(api.EffectTakes, come, "MASTER here: this host answers for them at once")
	}
}

// without returns the prefixes of a whose addresses are not in b.
func without(a, b []netip.Prefix) []netip.Prefix {
	return slices.DeleteFunc(slices.Clone(a), func(x netip.Prefix) bool {
		return slices.ContainsFunc(b, func(y netip.Prefix) bool { return x.Addr() == y.Addr() })
	})
}

// beat adds that adverts are sent more or less often. No address moves: peers that missed the change are waited for.
func (p *planner) beat(v *verdict, c config.GroupChange) {
	if c.Old.Beat == c.New.Beat || !v.is(election.Master) {
		return
	}
	how := fmt.Sprintf("advertises every %s, and vipd peers count on it", timeText(c.New.Beat))
	if c.New.Beat == 0 {
		how = "advertises once per interval again, and vipd peers count in that"
	}
	v.effect(api.EffectNone, nil, "MASTER here: %s; no address moves for it", how)
}

// signature adds what changes if adverts are signed, or accepted, differently afterwards.
func (p *planner) signature(v *verdict, c config.GroupChange) {
	was := c.Old.Contexts()[0]
	same := func(x config.Context) bool { return sameSignature(was, x) && sameLLAddr(c.Old, c.New) }
	now := c.New.Contexts()
	if same(now[0]) {
		return
	}
	how := "[[vip.accept]] with what is signed now, on every node, before the first of them changes"
	if v.is(election.Master) {
		v.effect(
			api.EffectMayMove,
			c.New.Addresses,
			"signs its adverts differently: a node that does not accept that yet (%s) hears no master "+
				"and takes over beside this one",
			how,
		)
	}
	if slices.ContainsFunc(now, same) {
		return
	}
	who := "adverts of other nodes that are signed as now"
	if v.now.Machine.Heard {
		who = "adverts of " + v.now.Machine.Master.Src.String() + ", if signed as now,"
	}
	v.effect(
		api.EffectDeaf, c.New.Addresses,
		"%s are refused from then on, so this node does not hear their MASTER; needed is %s", who, how,
	)
}

func sameSignature(a, b config.Context) bool {
	if a.Password != b.Password || len(a.Addresses) != len(b.Addresses) {
		return false
	}
	return !slices.ContainsFunc(a.Addresses, func(x netip.Addr) bool { return !slices.Contains(b.Addresses, x) })
}

func sameLLAddr(a, b config.Group) bool {
	return a.LLAddr == b.LLAddr || a.LLAddr != nil && b.LLAddr != nil && *a.LLAddr == *b.LLAddr
}

// reachability adds which nodes no longer hear this node, and which it no longer hears.
func (p *planner) reachability(v *verdict, c config.GroupChange) {
	where := slices.DeleteFunc(slices.Clone(c.Fields), func(f string) bool { return f != "peers" && f != "broadcast" })
	if len(where) > 0 && v.is(election.Master) {
		v.effect(
			api.EffectMayMove,
			c.New.Addresses,
			"advertises to others than now (%s): a node that is no longer reached hears no master "+
				"and takes over beside this one",
			strings.Join(where, ", "),
		)
	}
	stricter := ""
	switch {
	case c.New.RequireTrailer && !c.Old.RequireTrailer:
		stricter = "adverts without the trailer of a vipd node are refused from then on (require_trailer)"
	case c.New.Replay == config.ReplayStrict && c.Old.Replay != config.ReplayStrict:
		stricter = "adverts of BSD peers whose counter neither rises nor stands still are refused from then on (replay)"
	case c.New.PeerTTL == config.PeerTTLStrict && c.Old.PeerTTL != config.PeerTTLStrict && len(c.New.Peers) > 0:
		stricter = "adverts that came through a router are refused from then on (peer_ttl)"
	}
	if stricter != "" {
		v.effect(api.EffectDeaf, c.New.Addresses, "%s: this node does not hear a MASTER that sends such", stricter)
	}
}

// priority adds that a MASTER that becomes worse may be preempted, and that a BACKUP that
// becomes better than its master preempts.
func (p *planner) priority(v *verdict, was, will config.Group) {
	before, after := p.effective(p.n.Config, was), p.effective(p.next, will)
	switch {
	case v.is(election.Master):
		if election.Superior(before, after, true) && before != after {
			v.effect(
				api.EffectMayMove, will.Addresses,
				"advertises %s instead of %s at once: a node whose interval is shorter, and which preempts, takes over",
				said(after), said(before),
			)
		}
	case v.is(election.Backup) && p.alive(v):
		m := v.now.Machine.Master
		wins := !election.Superior(m.Priority, after, m.Aware) && p.next.Carp.Preempt
		won := !election.Superior(m.Priority, before, m.Aware) && p.n.Config.Carp.Preempt
		if wins && !won && !p.heldBack(v) {
			v.effect(
				api.EffectTakes, will.Addresses,
				"preempts %s, which says %s, with %s", m.Src, said(m.Priority), said(after),
			)
		}
	}
}

func (p *planner) heldBack(v *verdict) bool {
	return v.now.Held(p.now)
}
