// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"

	"vipd/agent/control/api"
	"vipd/agent/record"
)

// Incidents implements control.Backend.
func (o *Operator) Incidents(context.Context) (api.Incidents, error) {
	return o.opts.Recorder.Incidents(), nil
}

// Incident implements control.Backend.
func (o *Operator) Incident(_ context.Context, id uint64) (api.Incident, error) {
	in, ok := o.opts.Recorder.Incident(id)
	if !ok {
		return api.Incident{}, api.Errorf(
			api.CodeNotFound,
			"there is no incident %d; `vipctl record list` shows those that are kept",
			id,
		)
	}
	return in, nil
}

// Capture implements control.Backend.
func (o *Operator) Capture(
	ctx context.Context,
	group string,
) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	if _, err := o.Group(ctx, group); err != nil {
		return api.CaptureBegin{}, nil, nil, err
	}
	c, err := o.opts.Recorder.Capture(group)
	switch {
	case errors.Is(err, record.ErrCaptures):
		return api.CaptureBegin{}, nil, nil, api.Errorf(api.CodeBusy, "%s on this node; end one of them", err)
	case err != nil:
		return api.CaptureBegin{}, nil, nil,
			api.Errorf(api.CodeBusy, "%s: %s; `vipctl show %s` shows why", group, err, group)
	}
	return c.Begin, c.Lines(), c.Close, nil
}
