// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"slices"

	"vipd/agent/view"
)

// inbox is how other goroutines get work done by the loop.
type inbox struct {
	commands chan command
	waiters  []waiter
	gone     chan struct{} // closed when the loop is to end without goodbye
	done     chan struct{} // closed when the loop has ended
}

// command is a piece of work for the loop, with the answer's channel.
type command struct {
	run  func()
	done chan struct{}
}

// waiter waits outside the loop until a condition holds.
type waiter struct {
	holds func() bool // runs in the loop
	done  chan struct{}
}

func newInbox() inbox {
	return inbox{commands: make(chan command), gone: make(chan struct{}), done: make(chan struct{})}
}

// Do has the loop run fn and returns when it has. The error is that of ctx, or [view.ErrStopping] if the loop has
// ended.
func (l *Loop) Do(ctx context.Context, fn func(Commands)) error {
	return l.do(ctx, func() { fn(Commands{l}) })
}

// Await returns when holds does, checked by the loop after everything it does, or with the same errors as Do.
func (l *Loop) Await(ctx context.Context, holds func(Commands) bool) error {
	w := waiter{holds: func() bool { return holds(Commands{l}) }, done: make(chan struct{})}
	if err := l.do(ctx, func() { l.waiters = append(l.waiters, w) }); err != nil {
		return err
	}
	select {
	case <-w.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-l.done:
		return view.ErrStopping
	}
}

// Leave ends the loop without goodbye. To be called once.
func (l *Loop) Leave() { close(l.gone) }

// Ended is closed when the loop has ended.
func (l *Loop) Ended() <-chan struct{} { return l.done }

// do is Do for the loop's own helpers.
func (in *inbox) do(ctx context.Context, fn func()) error {
	c := command{run: fn, done: make(chan struct{})}
	select {
	case in.commands <- c:
	case <-ctx.Done():
		return ctx.Err()
	case <-in.done:
		return view.ErrStopping
	}
	<-c.done
	return nil
}

func (in *inbox) wakeWaiters() {
	in.waiters = slices.DeleteFunc(in.waiters, func(w waiter) bool {
		if !w.holds() {
			return false
		}
		close(w.done)
		return true
	})
}
