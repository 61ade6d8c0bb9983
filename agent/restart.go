// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"os"

	"vipd/agent/control/api"
)

// Restart implements control.Backend: it leaves as SIGUSR2 does. The server answers
// what has begun before it stops.
func (b backend) Restart(ctx context.Context) (api.Restart, error) {
	stopping := false
	if err := b.a.do(ctx, func() { stopping = b.a.stopping }); err != nil {
		return api.Restart{}, err
	}
	if stopping {
		return api.Restart{}, errStopping
	}
	b.a.Leave()
	return api.Restart{PID: os.Getpid()}, nil
}
