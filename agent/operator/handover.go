// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// limit bounds the wait for a handover of the named groups, or of all, by the slowest of them.
func (o *Operator) limit(ctx context.Context, names ...string) (context.Context, context.CancelFunc) {
	slowest := uint8(0)
	for _, g := range o.loop.View().Groups {
		if base := g.Published().Config.AdvBase; len(names) == 0 || slices.Contains(names, g.Name()) {
			slowest = max(slowest, base)
		}
	}
	return context.WithTimeout(ctx, api.HandoverLimit(int(slowest)))
}

// await returns how a handover ended.
func (o *Operator) await(ctx context.Context, h view.Handover) (api.Handover, error) {
	select {
	case end := <-h.Ended:
		return end, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return api.Handover{}, api.Errorf(api.CodeTimeout,
				"no node has taken over %s yet, and this node keeps asking; `vipctl show %s` shows how it ends",
				h.Group, h.Group)
		}
		return api.Handover{}, ctx.Err()
	case <-o.loop.Ended():
		select {
		case end := <-h.Ended:
			return end, nil
		default:
			return api.Handover{}, view.ErrStopping
		}
	}
}

// Yield implements control.Backend.
func (o *Operator) Yield(ctx context.Context, name string, force bool) (api.Handover, error) {
	ctx, cancel := o.limit(ctx, name)
	defer cancel()
	var begun view.Handover
	found := false
	err := o.loop.Do(ctx, func(c Commands) { begun, found = c.HandOver(name, election.HandOver{Force: force}) })
	switch {
	case err != nil:
		return api.Handover{}, err
	case !found:
		return api.Handover{}, noSuchGroup(name)
	}
	end, err := o.await(ctx, begun)
	switch {
	case err != nil:
		return api.Handover{}, err
	case end.Outcome == api.OutcomeNotTaken:
		return api.Handover{}, api.Errorf(
			api.CodeNoSuccessor,
			"no node took over %s within %s: it stays MASTER here; "+
				"`vipctl yield --force %s` gives it up without a successor",
			name, seconds(end.TookSeconds), name,
		)
	case end.Outcome == api.OutcomeNotMaster && begun.Owned:
		return api.Handover{}, interrupted(end)
	}
	return end, nil
}

func interrupted(h api.Handover) error {
	return api.Errorf(api.CodeNotMaster,
		"%s is %s (%s) now and was not handed over; `vipctl show %s` shows why", h.Group, h.State, h.Reason, h.Group)
}

// seconds formats a time of some seconds for people.
func seconds(s float64) string { return fmt.Sprintf("%.1fs", s) }

// EnterMaintenance implements control.Backend. It does not hold the lock on the operator's
// intent while it waits for peers: a command that leaves the mode again must not wait.
func (o *Operator) EnterMaintenance(ctx context.Context, force bool) (api.Change, error) {
	ctx, cancel := o.limit(ctx)
	defer cancel()
	var begun []view.Handover
	out, err := o.setMaintenance(ctx, true, func(c Commands) {
		begun = c.HandOverAll(election.HandOver{Wait: true, Force: force})
	})
	if err != nil {
		return api.Change{}, err
	}
	var kept, lost, stayed []string
	longest := 0.0
	for _, h := range begun {
		end, err := o.await(ctx, h)
		if err != nil {
			return api.Change{}, err
		}
		longest = max(longest, end.TookSeconds)
		switch end.Outcome {
		case api.OutcomeNotTaken:
			kept = append(kept, end.Group)
		case api.OutcomeWithdrawn:
			stayed = append(stayed, end.Group)
		case api.OutcomeNotMaster:
			lost = append(lost, fmt.Sprintf("%s (%s, %s)", end.Group, end.State, end.Reason))
		}
		out.Handovers = append(out.Handovers, end)
	}
	switch left := !o.loop.View().Maintenance; {
	case len(stayed) > 0:
		return api.Change{}, api.Errorf(
			api.CodeWithdrawn,
			"maintenance mode was left by another command while this one waited: "+
				"%s stays MASTER here; `vipctl maintenance status` shows the present mode",
			strings.Join(stayed, ", "),
		)
	case left:
		return api.Change{}, api.Errorf(
			api.CodeWithdrawn,
			"maintenance mode was left by another command while this one waited, "+
				"and this node takes part again; `vipctl status` shows which groups are MASTER here",
		)
	}
	if len(kept) > 0 {
		return api.Change{}, api.Errorf(
			api.CodeNoSuccessor,
			"maintenance mode is on, but no node took over %s within %s: MASTER here until one can; "+
				"`vipctl maintenance enter --wait --force` gives up without a successor",
			strings.Join(kept, ", "), seconds(longest),
		)
	}
	if len(lost) > 0 {
		out.Message = "Not handed over, because no longer MASTER: " + strings.Join(lost, ", ") + "."
	}
	return out, nil
}
