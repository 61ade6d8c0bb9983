// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"slices"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/sdnotify"
	"vipd/agent/view"
)

// inbox is how other goroutines get work done by the loop.
type inbox struct {
	commands chan command
	waiters  []waiter
	arrivals chan func()      // the next thing that the loop is to do for others
	alarm    *netio.Alarm     // where the loop waits
	gone     chan struct{}    // closed when the loop is to end without goodbye
	left     bool             // it is to end now, for that
	stopBy   election.Instant // when a graceful stop ends at the latest
	done     chan struct{}    // closed when the loop has ended
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
	return inbox{
		commands: make(chan command), arrivals: make(chan func(), 1),
		gone: make(chan struct{}), done: make(chan struct{}),
	}
}

// receive takes what others have for the loop, and rings for each, until the loop has ended. The loop itself waits for
// nothing but its alarm: to wait for channels beside a timer costs several times as much.
func (l *Loop) receive(stop <-chan struct{}, links *netio.Watcher) {
	for {
		var do func()
		select {
		case <-stop:
			stop, do = nil, l.beginStop
		case <-l.plane.Wake():
			do = func() {} // every round reads the ring
		case <-links.Changed():
			do = func() { l.resync.want(links.LinksChanged()) }
		case r := <-l.upkeep.done:
			do = func() { l.catchUp(); l.noteRepair(r) }
		case <-l.checks.Changed():
			do = l.syncChecks
		case c := <-l.commands:
			do = func() { l.obey(c) }
		case <-l.gone:
			do = func() { l.left = true }
		case <-l.done:
			return
		}
		select {
		case l.arrivals <- do:
			l.alarm.Ring()
		case <-l.done:
			return
		}
	}
}

// beginStop begins the graceful stop.
func (l *Loop) beginStop() {
	l.catchUp()
	l.supervision.tell(sdnotify.Stopping)
	l.releaseAll()
}

// obey runs a command.
func (l *Loop) obey(c command) {
	l.catchUp()
	c.run()
	l.stale.reach, l.stale.idle = true, true
	close(c.done)
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
	select {
	case <-c.done:
		return nil
	case <-in.done:
	}
	select {
	case <-c.done: // the last thing that the loop did
		return nil
	default:
		return view.ErrStopping
	}
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
