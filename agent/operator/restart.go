// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"os"

	"vipd/agent/control/api"
	"vipd/agent/view"
)

// Restart implements control.Backend. The daemon may leave unless the next vipd would refuse the config or cannot be
// run.
func (o *Operator) Restart(ctx context.Context) (api.Restart, error) {
	stopping := false
	if err := o.loop.Do(ctx, func(c Commands) { stopping = c.Stopping() }); err != nil {
		return api.Restart{}, err
	}
	if stopping {
		return api.Restart{}, view.ErrStopping
	}
	if err := o.opts.Successor.Check(ctx, o.loop.View().Config); err != nil {
		return api.Restart{}, err
	}
	return api.Restart{PID: os.Getpid()}, nil
}

// Leave implements control.Backend. The daemon leaves as it does on SIGUSR2: on a busy machine it would otherwise be
// gone before the server has answered.
func (o *Operator) Leave() { o.opts.Successor.Leave() }
