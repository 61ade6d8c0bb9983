// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/record"
)

func (a *Agent) recordOptions() record.Options {
	o := record.Options{
		Log: a.log, Node: a.cfg.Node.Name, Version: api.Version,
		Memory: a.cfg.Record.Memory << 20, Incidents: a.cfg.Record.Incidents,
		Boot: func() int64 { return a.clock() }, Wall: func() time.Time { return a.timeOfDay() },
	}
	if a.cfg.Record.Save {
		o.Dir = filepath.Join(a.cfg.Node.StateDir, "incidents")
	}
	return o
}

// Incidents implements control.Backend.
func (b backend) Incidents(context.Context) (api.Incidents, error) {
	return b.a.recorder.Incidents(), nil
}

// Incident implements control.Backend.
func (b backend) Incident(_ context.Context, id uint64) (api.Incident, error) {
	in, ok := b.a.recorder.Incident(id)
	if !ok {
		return api.Incident{}, api.Errorf(api.CodeNotFound, "there is no incident %d; `vipctl record list` shows those that are kept", id)
	}
	return in, nil
}

// Capture implements control.Backend.
func (b backend) Capture(ctx context.Context, group string) (api.CaptureBegin, <-chan api.CaptureLine, func(), error) {
	if _, err := b.Group(ctx, group); err != nil {
		return api.CaptureBegin{}, nil, nil, err
	}
	c, err := b.a.recorder.Capture(group)
	switch {
	case errors.Is(err, record.ErrCaptures):
		return api.CaptureBegin{}, nil, nil, api.Errorf(api.CodeBusy, "%s on this node; end one of them", err)
	case err != nil:
		return api.CaptureBegin{}, nil, nil, api.Errorf(api.CodeBusy, "%s: %s; `vipctl show %s` tells why", group, err, group)
	}
	return c.Begin, c.Lines(), c.Close, nil
}
