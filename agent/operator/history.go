// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"

	"vipd/agent/control/api"
)

// History implements control.Backend. A group that was removed from the config still has
// its history.
func (o *Operator) History(ctx context.Context, group string, n int) (api.History, error) {
	out := o.opts.History.Last(group, n)
	if group != "" && len(out.Transitions) == 0 {
		if _, err := o.Group(ctx, group); err != nil {
			return api.History{}, err
		}
	}
	return out, nil
}

// Events implements control.Backend.
func (o *Operator) Events(context.Context) (first api.Event, events <-chan api.Event, forget func()) {
	events, forget = o.opts.Events.Follow()
	return api.Event{
		Time: o.clock.Today(), Event: api.EventBegin,
		Node: o.loop.View().Config.Node.Name, Version: api.Version,
	}, events, forget
}
