// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/hooks"
	"vipd/agent/view"
)

// transition reports a change of state to log, metrics, history, clients and hook.
func (g *group) transition(t election.Transition) {
	e := g.env
	g.remember(t)
	e.stale.statusLine = true
	if t.From == election.Init || t.To == election.Init {
		e.stale.reach, e.stale.idle = true, true
	}
	poke(e.stale.routes)
	e.metrics.ObserveTransition(g.cfg.Interface, g.cfg.VHID, t.From.String(), t.To.String(), t.Reason.String())
	attrs := []any{"group", g.name, "from", t.From.String(), "to", t.To.String(), "reason", t.Reason.String()}
	if c := t.Cause; c != nil {
		attrs = append(attrs, "peer", c.Src, "peer_advbase", c.AdvBase, "peer_advskew", c.AdvSkew)
	}
	if t.Lag > 0 {
		attrs = append(attrs, "lag", t.Lag)
	}
	log := e.log.Info
	if t.To == election.Init && t.Reason != election.ReasonStop && t.Reason != election.ReasonDisabled {
		log = e.log.Warn
		if g.detail != "" {
			attrs = append(attrs, "detail", g.detail)
		}
	}
	log("transition", attrs...)
}

// remember notes a transition in the history, tells clients, and runs the hook.
func (g *group) remember(t election.Transition) {
	e := g.env
	out := api.Transition{
		Time: e.clock.At(t.At), Group: g.name, From: t.From.String(), To: t.To.String(),
		Reason: t.Reason.String(), LagSeconds: t.Lag.Seconds(), Generation: g.machine.View().Generation,
	}
	var causeAt int64
	if c := t.Cause; c != nil {
		causeAt = int64(c.At)
		out.Cause = &api.Cause{
			Address: c.Src.String(), AdvBase: int(c.AdvBase), AdvSkew: int(c.AdvSkew), Demote: int(c.Demote),
		}
	}
	if t.To == election.Init {
		out.Detail = g.detail
	}
	if g.cfg.Hook != "" {
		out.Hook = &api.HookRun{Path: g.cfg.Hook, Outcome: api.HookWaiting, ExitCode: -1}
	}
	id := e.history.Add(out)
	e.recorder.Transition(int64(t.At), causeAt, out)
	e.stream.Tell(api.Event{Time: out.Time, Event: api.EventTransition, Transition: &out})
	if g.cfg.Hook != "" {
		g.submitHook(id, out.From, out.To, out.Reason)
	}
}

// submitHook never blocks. id is the transition's in the history.
func (g *group) submitHook(id uint64, from, to, reason string) {
	addresses := make([]string, 0, len(g.cfg.Addresses))
	for _, p := range g.cfg.Addresses {
		addresses = append(addresses, p.String())
	}
	g.env.hooks.Submit(hooks.Hook{Path: g.cfg.Hook, Timeout: g.cfg.HookTimeout}, hooks.Transition{
		ID: id, Group: g.name, From: from, To: to, Reason: reason,
		Addresses: addresses, Generation: g.machine.View().Generation,
	})
}

// resumeHook tells the hook of an adopted group what the earlier vipd could no longer tell it: that it ended while the
// hook ran, or what changed without it. Hooks of groups that begin in INIT are told of their start in any case.
func (g *group) resumeHook() {
	history := g.env.history
	t, id := history.Newest(g.name)
	if g.cfg.Hook == "" || id == 0 || !history.OfEarlierRun(id) {
		return // nothing known, or a transition of this life
	}
	v := g.machine.View()
	now := v.State.String()
	unfinished := t.Hook != nil && (t.Hook.Outcome == api.HookWaiting || t.Hook.Outcome == api.HookInterrupted)
	switch {
	case unfinished && t.To == now:
		g.env.log.Info("running a hook again that did not end with the earlier vipd",
			"group", g.name, "from", t.From, "to", t.To)
		g.submitHook(id, t.From, t.To, t.Reason)
	case t.To != now:
		g.submitHook(0, t.To, now, v.Reason.String())
	}
}

// handOver begins a handover, or joins the one under way.
func (g *group) handOver(how election.HandOver) view.Handover {
	ended := make(chan api.Handover, 1)
	g.lifecycle.handovers = append(g.lifecycle.handovers, ended)
	g.env.log.Info("handover requested by the operator", "group", g.name, "force", how.Force)
	owned := g.machine.State() == election.Master
	g.step(how)
	return view.Handover{Group: g.name, Owned: owned, Ended: ended}
}

// handedOver gives the machine's answer to all requests that wait for it.
func (g *group) handedOver(h election.HandoverResult) {
	v := g.machine.View()
	out := api.Handover{
		Group: g.name, Outcome: h.Outcome.String(), State: v.State.String(), Reason: v.Reason.String(),
		Goodbye: h.Goodbye, TookSeconds: h.Took.Seconds(),
	}
	if h.Successor.IsValid() {
		out.Successor = h.Successor.String()
	}
	if h.Outcome == election.HandedOver {
		// The view is still that of before this step, with the lease that we spoke on.
		if lease := g.shown.Live().Now().Machine.Lease; v.Heard && v.Master.At > lease {
			out.GapSeconds = v.Master.At.Sub(lease).Seconds()
		}
	}
	g.env.log.Info("handover ended", "group", g.name, "outcome", out.Outcome, "successor", out.Successor,
		"took", h.Took, "goodbye", h.Goodbye)
	for _, answer := range g.lifecycle.handovers {
		answer <- out // has room: one answer each
	}
	g.lifecycle.handovers = nil
}

// HookEnded notes how a hook ended, in history, events, metrics and log. It may be called from any goroutine.
func (l *Loop) HookEnded(r hooks.Result) {
	run := &api.HookRun{
		Path: r.Hook, Outcome: string(r.Outcome), ExitCode: r.ExitCode, DurationSeconds: r.Took.Seconds(),
		Output: r.Output, Truncated: r.Cut, Error: r.Fault, Skipped: r.Skipped,
	}
	if !r.Started.IsZero() {
		started := r.Started.UTC().Truncate(time.Microsecond)
		run.Started = &started
	}
	if t, known := l.history.Amend(r.ID, run); known {
		l.stream.Tell(api.Event{Time: r.Ended.UTC().Truncate(time.Microsecond), Event: api.EventHook, Transition: &t})
	}
	l.countHook(r)
	if r.Outcome == hooks.Skipped {
		return
	}
	attrs := []any{"group", r.Group, "from", r.From, "to", r.To, "hook", r.Hook, "took", r.Took.Round(time.Millisecond)}
	if r.Skipped > 0 {
		attrs = append(attrs, "skipped", r.Skipped)
	}
	if r.Outcome == hooks.OK {
		l.log.Info("hook ended", attrs...)
		return
	}
	l.log.Warn("hook failed", append(attrs, "outcome", string(r.Outcome), "err", r.Fault, "output", r.Output)...)
}

// countHook leaves out groups that a reload removed: their series are gone, too.
func (l *Loop) countHook(r hooks.Result) {
	n := l.View()
	if n == nil {
		return
	}
	g := n.Group(r.Group)
	if g == nil {
		return
	}
	cfg := g.Published().Config
	if r.Outcome == hooks.Skipped {
		l.metrics.ObserveHookSkipped(cfg.Interface, cfg.VHID)
	} else {
		l.metrics.ObserveHook(cfg.Interface, cfg.VHID, string(r.Outcome), r.Took)
	}
}
