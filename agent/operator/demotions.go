// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// flushLimit is how long a command waits until what it changed is kept on the disk.
const flushLimit = time.Second

// Demotions implements control.Backend.
func (o *Operator) Demotions(context.Context) (api.Demotions, error) {
	d := o.loop.View().Demotions
	return api.Demotions{Demotion: d.Total(), Demotions: d.Shown(o.clock.Calendar())}, nil
}

// AddDemotion implements control.Backend. The operator's demotions survive a restart of
// the daemon, and end with a reboot.
func (o *Operator) AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	now := o.clock.TimeOfDay()
	entry := api.Demotion{Name: d.Name, Value: d.Value, Reason: d.Reason, Since: now}
	var end election.Instant
	if d.For > 0 {
		end, entry.Expires = o.clock.Now().Add(d.Duration()), now.Add(d.Duration())
	}
	var out api.DemotionChange
	var refused error
	err := o.loop.Do(ctx, func(c Commands) { out, refused = c.AddDemotion(entry, end) })
	if err != nil {
		return api.DemotionChange{}, err
	}
	if refused == nil {
		out.Message = o.stored(ctx)
	}
	return out, refused
}

// RemoveDemotion implements control.Backend.
func (o *Operator) RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error) {
	return o.removeDemotions(ctx, func(d api.Demotion) bool { return d.Name == name })
}

// ResetDemotions implements control.Backend.
func (o *Operator) ResetDemotions(ctx context.Context) (api.DemotionChange, error) {
	return o.removeDemotions(ctx, api.Demotion.Resettable)
}

func (o *Operator) removeDemotions(ctx context.Context, which func(api.Demotion) bool) (api.DemotionChange, error) {
	var out api.DemotionChange
	err := o.loop.Do(ctx, func(c Commands) { out = c.RemoveDemotions(which) })
	if err == nil {
		out.Message = o.stored(ctx)
	}
	return out, err
}

// stored waits until what a command changed is kept, and returns what to tell the operator
// if it is not.
func (o *Operator) stored(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	if err := o.opts.Intent.Kept.Flush(ctx); err != nil {
		return "in force, but a restart of vipd would forget it: " + err.Error()
	}
	return ""
}
