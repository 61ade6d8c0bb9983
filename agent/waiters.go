// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"slices"
)

// waiter is somebody outside the loop who wants to know when something is so.
type waiter struct {
	holds func() bool // runs in the loop
	done  chan struct{}
}

// await returns when holds does, checked by the loop after everything it does,
// or with the error of ctx or of the daemon's end.
func (a *Agent) await(ctx context.Context, holds func() bool) error {
	w := waiter{holds: holds, done: make(chan struct{})}
	if err := a.do(ctx, func() { a.waiters = append(a.waiters, w) }); err != nil {
		return err
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-a.done:
		return errStopping
	}
}

func (a *Agent) wakeWaiters() {
	a.waiters = slices.DeleteFunc(a.waiters, func(w waiter) bool {
		if !w.holds() {
			return false
		}
		close(w.done)
		return true
	})
}
