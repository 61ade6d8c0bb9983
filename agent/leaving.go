// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync"
	"time"

	"vipd/agent/control/api"
)

// Leaving without goodbye has two parts. While the loop still advertises, everything ends that may take a while: the
// config is checked, clients are disconnected, hooks and files are completed, within leavePatience, and then beats end,
// whose leases no restart is within. Then the loop ends, and from there to the end of the process nothing waits.

const (
	// leavePatience bounds all that ends before the loop does, and then the end of beats.
	leavePatience = 500 * time.Millisecond
	// stopPatience bounds the wait for files at the end of a graceful stop.
	stopPatience = 2 * time.Second
)

// watchLeave runs until the daemon ends. end stops the helpers, and ended is closed when they have ended.
func (a *Agent) watchLeave(ctx context.Context, end func(), ended <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.leave:
		}
		if err := a.mayLeave(ctx); err != nil {
			a.log.Error("not leaving: the next vipd would not start", "err", err)
			continue
		}
		break
	}
	a.log.Info("leaving without goodbye, the next vipd takes over what is pinned")
	end()
	limit := time.After(leavePatience)
	var files sync.WaitGroup
	files.Go(func() {
		a.hooks.Close(hookLeave)
		a.history.Flush()
	})
	files.Go(a.checks.Close)
	finished := make(chan struct{})
	go func() {
		files.Wait()
		<-ended
		close(finished)
	}()
	select {
	case <-finished:
	case <-limit:
		a.log.Warn("leaving although something has not ended: a hook, a check or a disk that does not respond")
	}
	long, cancel := context.WithTimeout(context.WithoutCancel(ctx), leavePatience) // end has ended ctx
	defer cancel()
	if err := a.loop.EndBeats(long); err != nil {
		a.log.Warn("leaving with the short leases of a beat: the next vipd may come too late", "err", err)
	}
	a.loop.Leave()
}

// mayLeave returns why the next vipd would refuse the config. The sender of a signal does not wait for an answer: a
// check that is not possible is not a reason to stay.
func (a *Agent) mayLeave(ctx context.Context) error {
	if a.checked.Swap(false) {
		return nil
	}
	err := a.opts.checkNext(ctx, a.loop.View().Config)
	if err == nil {
		return nil
	}
	if _, invalid := invalidNext(err); !invalid {
		a.log.Warn("leaving although the config could not be checked for the next vipd", "err", err)
		return nil
	}
	return err
}

func invalidNext(err error) (*api.Error, bool) {
	e, ok := err.(*api.Error) //nolint:errorlint // made by checkNext
	return e, ok && e.Code == api.CodeInvalidConfig
}
