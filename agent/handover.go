// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// handoverRequest is somebody who waits for the end of a handover.
type handoverRequest struct {
	group  string
	owned  bool // the group was MASTER when it was asked for
	answer chan api.Handover
}

// askHandover runs in the loop.
func (a *Agent) askHandover(g *group, ev election.Yield) handoverRequest {
	r := handoverRequest{
		group: g.name, owned: g.machine.View().State == election.Master, answer: make(chan api.Handover, 1),
	}
	g.handovers = append(g.handovers, r.answer)
	a.log.Info("handover asked for by the operator", "group", g.name, "force", ev.Force)
	a.step(g, ev)
	return r
}

// handedOver gives the machine's answer to all who wait for it.
func (a *Agent) handedOver(g *group, h election.Handover) {
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
		if lease := g.view.Load().view.Lease; v.Heard && v.Master.At > lease {
			out.GapSeconds = v.Master.At.Sub(lease).Seconds()
		}
	}
	a.log.Info("handover ended", "group", g.name, "outcome", out.Outcome, "successor", out.Successor,
		"took", h.Took, "goodbye", h.Goodbye)
	for _, answer := range g.handovers {
		answer <- out // has room: one answer each
	}
	g.handovers = nil
}

// limit bounds the wait for the slowest of the groups in the loop's view.
func (b backend) limit(ctx context.Context, names ...string) (context.Context, context.CancelFunc) {
	slowest := uint8(0)
	for _, v := range b.a.node.Load().groups {
		if base := v.view.Load().cfg.AdvBase; len(names) == 0 || slices.Contains(names, v.name) {
			slowest = max(slowest, base)
		}
	}
	return context.WithTimeout(ctx, api.HandoverLimit(int(slowest)))
}

// await returns how the handover ended.
func (r handoverRequest) await(ctx context.Context, a *Agent) (api.Handover, error) {
	select {
	case h := <-r.answer:
		return h, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return api.Handover{}, api.Errorf(api.CodeTimeout,
				"nobody has taken over %s yet, and this node goes on asking; `vipctl show %s` tells how it ends", r.group, r.group)
		}
		return api.Handover{}, ctx.Err()
	case <-a.done:
		select {
		case h := <-r.answer:
			return h, nil
		default:
			return api.Handover{}, errStopping
		}
	}
}

// Yield implements control.Backend.
func (b backend) Yield(ctx context.Context, name string, force bool) (api.Handover, error) {
	ctx, cancel := b.limit(ctx, name)
	defer cancel()
	a := b.a
	var r handoverRequest
	found := false
	err := a.do(ctx, func() {
		if g := a.groups[name]; g != nil && !g.removed {
			r, found = a.askHandover(g, election.Yield{Force: force}), true
		}
	})
	switch {
	case err != nil:
		return api.Handover{}, err
	case !found:
		return api.Handover{}, api.Errorf(api.CodeNoSuchGroup, "there is no group %q; `vipctl status` lists them", name)
	}
	h, err := r.await(ctx, a)
	switch {
	case err != nil:
		return api.Handover{}, err
	case h.Outcome == api.OutcomeNotTaken:
		return api.Handover{}, api.Errorf(api.CodeNoSuccessor,
			"nobody took over %s within %s: it stays MASTER here; `vipctl yield --force %s` gives it up without a successor", name, seconds(h.TookSeconds), name)
	case h.Outcome == api.OutcomeNotMaster && r.owned:
		return api.Handover{}, interrupted(h)
	}
	return h, nil
}

func interrupted(h api.Handover) error {
	return api.Errorf(api.CodeNotMaster,
		"%s is %s (%s) now and was not handed over; `vipctl show %s` tells why", h.Group, h.State, h.Reason, h.Group)
}

// seconds is a time of some seconds as people read it.
func seconds(s float64) string { return fmt.Sprintf("%.1fs", s) }

// EnterMaintenance implements control.Backend. The lock on the operator's intent is
// not held while peers are waited for: whoever leaves the mode again must not wait.
func (b backend) EnterMaintenance(ctx context.Context, force bool) (api.Change, error) {
	ctx, cancel := b.limit(ctx)
	defer cancel()
	a := b.a
	var asked []handoverRequest
	out, err := a.setMaintenance(ctx, true, func() {
		for _, g := range a.order {
			if !g.removed && g.machine.View().State == election.Master {
				asked = append(asked, a.askHandover(g, election.Yield{Wait: true, Force: force}))
			}
		}
	})
	if err != nil {
		return api.Change{}, err
	}
	var kept, lost, stayed []string
	longest := 0.0
	for _, r := range asked {
		h, err := r.await(ctx, a)
		if err != nil {
			return api.Change{}, err
		}
		longest = max(longest, h.TookSeconds)
		switch h.Outcome {
		case api.OutcomeNotTaken:
			kept = append(kept, h.Group)
		case api.OutcomeWithdrawn:
			stayed = append(stayed, h.Group)
		case api.OutcomeNotMaster:
			lost = append(lost, fmt.Sprintf("%s (%s, %s)", h.Group, h.State, h.Reason))
		}
		out.Handovers = append(out.Handovers, h)
	}
	switch left := !a.node.Load().maintenance; {
	case len(stayed) > 0:
		return api.Change{}, api.Errorf(api.CodeWithdrawn,
			"maintenance mode was left by another command while this one waited: nobody was to take over %s any more, MASTER here; `vipctl maintenance status` tells what holds now",
			strings.Join(stayed, ", "))
	case left:
		return api.Change{}, api.Errorf(api.CodeWithdrawn,
			"maintenance mode was left by another command while this one waited, and this node takes part again; `vipctl status` tells who speaks now")
	}
	if len(kept) > 0 {
		return api.Change{}, api.Errorf(api.CodeNoSuccessor,
			"maintenance mode is on, but nobody took over %s within %s: MASTER here until somebody can; `vipctl maintenance enter --wait --force` gives up without a successor",
			strings.Join(kept, ", "), seconds(longest))
	}
	if len(lost) > 0 {
		out.Message = "Not handed over, because no longer MASTER: " + strings.Join(lost, ", ") + "."
	}
	return out, nil
}
