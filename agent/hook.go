// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"time"

	"vipd/agent/control/api"
	"vipd/agent/hooks"
)

const (
	// hookStop is how long a graceful stop waits for hooks: the addresses are with
	// somebody else by then, and the hooks that say so are worth a while.
	hookStop = 10 * time.Second
	// hookLeave is the same for a restart, in which the lease runs.
	hookLeave = 300 * time.Millisecond
)

func (a *Agent) newHooks() *hooks.Runner {
	return hooks.New(hooks.Options{Report: a.hookEnded, Log: a.log})
}

// submitHook never blocks. id is the transition's in the history.
func (a *Agent) submitHook(g *group, id uint64, from, to, reason string) {
	addresses := make([]string, 0, len(g.cfg.Addresses))
	for _, p := range g.cfg.Addresses {
		addresses = append(addresses, p.String())
	}
	a.hooks.Submit(hooks.Hook{Path: g.cfg.Hook, Timeout: g.cfg.HookTimeout}, hooks.Transition{
		ID: id, Group: g.name, From: from, To: to, Reason: reason,
		Addresses: addresses, Generation: g.machine.View().Generation,
	})
}

// resumeHooks tells the hooks of adopted groups what the vipd before could not tell them
// any more: that it ended while one ran, or what changed without it. Hooks of groups that
// begin in INIT are told of their start in any case.
func (a *Agent) resumeHooks(adopted []*group) {
	for _, g := range adopted {
		t, id := a.history.newest(g.name)
		if g.cfg.Hook == "" || id == 0 || id > a.history.read {
			continue // nothing known, or a transition of this life
		}
		v := g.machine.View()
		now := v.State.String()
		unfinished := t.Hook != nil && (t.Hook.Outcome == api.HookWaiting || t.Hook.Outcome == api.HookInterrupted)
		switch {
		case unfinished && t.To == now:
			a.log.Info("running a hook again that did not end with the vipd before", "group", g.name, "from", t.From, "to", t.To)
			a.submitHook(g, id, t.From, t.To, t.Reason)
		case t.To != now:
			a.submitHook(g, 0, t.To, now, v.Reason.String())
		}
	}
}

// hookEnded notes an outcome wherever somebody may look for it. It is called by the
// goroutines of the runner.
func (a *Agent) hookEnded(r hooks.Result) {
	run := &api.HookRun{
		Path: r.Hook, Outcome: string(r.Outcome), ExitCode: r.ExitCode, DurationSeconds: r.Took.Seconds(),
		Output: r.Output, Truncated: r.Cut, Error: r.Fault, Skipped: r.Skipped,
	}
	if !r.Started.IsZero() {
		started := r.Started.UTC().Truncate(time.Microsecond)
		run.Started = &started
	}
	if t, known := a.history.amend(r.ID, run); known {
		a.stream.tell(api.Event{Time: r.Ended.UTC().Truncate(time.Microsecond), Event: api.EventHook, Transition: &t})
	}
	a.countHook(r)
	if r.Outcome == hooks.Skipped {
		return
	}
	attrs := []any{"group", r.Group, "from", r.From, "to", r.To, "hook", r.Hook, "took", r.Took.Round(time.Millisecond)}
	if r.Skipped > 0 {
		attrs = append(attrs, "skipped", r.Skipped)
	}
	if r.Outcome == hooks.OK {
		a.log.Info("hook ended", attrs...)
		return
	}
	a.log.Warn("hook failed", append(attrs, "outcome", string(r.Outcome), "err", r.Fault, "output", r.Output)...)
}

// countHook leaves out groups that a reload took away: their series are gone, too.
func (a *Agent) countHook(r hooks.Result) {
	n := a.node.Load()
	if n == nil {
		return
	}
	for _, g := range n.groups {
		if g.name != r.Group {
			continue
		}
		cfg := g.view.Load().cfg
		if r.Outcome == hooks.Skipped {
			a.metrics.ObserveHookSkipped(cfg.Interface, cfg.VHID)
		} else {
			a.metrics.ObserveHook(cfg.Interface, cfg.VHID, string(r.Outcome), r.Took)
		}
	}
}
