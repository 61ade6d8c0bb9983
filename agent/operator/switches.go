// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"fmt"

	"vipd/agent/control/api"
)

// SetEnabled implements control.Backend. It writes the switch to runtime_dir and acts on it.
// Disabling returns when every group has handed over and is in INIT.
func (o *Operator) SetEnabled(ctx context.Context, enabled bool) (api.Change, error) {
	o.intent.Lock()
	defer o.intent.Unlock()
	if err := o.opts.Intent.Disable.Set(!enabled, o.clock.TimeOfDay()); err != nil {
		return api.Change{}, fmt.Errorf("nothing changed: %w", err)
	}
	var changed bool
	if err := o.loop.Do(ctx, func(c Commands) { changed = c.SetDisabled(!enabled) }); err != nil {
		return api.Change{}, err
	}
	out := api.Change{Changed: changed, Enabled: enabled, Maintenance: o.loop.View().Maintenance}
	if enabled {
		return out, nil
	}
	return out, o.loop.Await(ctx, Commands.Released)
}

// SetMaintenance implements control.Backend. It writes the mode to state_dir, then
// advertises it.
func (o *Operator) SetMaintenance(ctx context.Context, on bool) (api.Change, error) {
	return o.setMaintenance(ctx, on, func(c Commands) {
		if !on {
			c.Stay() // another command may wait for the peers
		}
	})
}

// setMaintenance runs then in the loop, after the new demotion was advertised.
func (o *Operator) setMaintenance(ctx context.Context, on bool, then func(Commands)) (api.Change, error) {
	o.intent.Lock()
	defer o.intent.Unlock()
	now := o.clock.TimeOfDay()
	if err := o.opts.Intent.Maintenance.Set(on, now); err != nil {
		return api.Change{}, fmt.Errorf("nothing changed: %w", err)
	}
	var changed bool
	err := o.loop.Do(ctx, func(c Commands) {
		changed = c.SetMaintenance(on, now)
		then(c)
	})
	if err != nil {
		return api.Change{}, err
	}
	return api.Change{Changed: changed, Enabled: o.loop.View().Enabled, Maintenance: on}, nil
}
