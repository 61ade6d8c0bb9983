// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/vishvananda/netlink"
)

// rcvbuf is the requested size of the netlink receive buffer. If it overruns, the watcher hints to read
// everything again, as after any other event.
const rcvbuf = 1 << 20

// Watcher reports that links or addresses changed, without details: events can be lost (ENOBUFS) or
// outdated, so the agent always reads the present state.
type Watcher struct {
	changed chan struct{}
	links   atomic.Bool // changed since LinksChanged
	log     *slog.Logger
	rcvbuf  int // bytes
}

// NewWatcher returns a watcher that is not running yet.
func NewWatcher(log *slog.Logger) *Watcher {
	return &Watcher{changed: make(chan struct{}, 1), log: log, rcvbuf: rcvbuf}
}

// Changed returns a channel that gets a token when links or addresses may have changed. At most one token
// is pending.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// LinksChanged reports whether links, and not only addresses, may have changed since the last call.
func (w *Watcher) LinksChanged() bool { return w.links.Swap(false) }

// Run subscribes to events until ctx ends. If a subscription fails, Run gives a hint and subscribes again.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.subscribe(ctx)
		w.hint(true)
		if ctx.Err() != nil {
			return nil
		}
		w.log.Warn("netlink subscription ended; subscribing again", "err", err)
		select {
		case <-ctx.Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	return nil
}

func (w *Watcher) subscribe(ctx context.Context) error {
	done := make(chan struct{})
	defer close(done)
	failed := make(chan error, 2) // one per subscription
	onError := func(err error) {
		select {
		case failed <- err:
		default:
		}
	}
	links := make(chan netlink.LinkUpdate, 64)
	if err := netlink.LinkSubscribeWithOptions(links, done, netlink.LinkSubscribeOptions{
		ErrorCallback: onError, ReceiveBufferSize: w.rcvbuf,
	}); err != nil {
		return fmt.Errorf("subscribe to link events: %w", err)
	}
	defer func() { go drain(links) }()
	addrs := make(chan netlink.AddrUpdate, 64)
	if err := netlink.AddrSubscribeWithOptions(addrs, done, netlink.AddrSubscribeOptions{
		ErrorCallback: onError, ReceiveBufferSize: w.rcvbuf,
	}); err != nil {
		return fmt.Errorf("subscribe to address events: %w", err)
	}
	defer func() { go drain(addrs) }()
	w.hint(true) // for changes before the subscription
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return err
		case _, ok := <-links:
			if !ok {
				return fmt.Errorf("link events: closed")
			}
			w.hint(true)
		case u, ok := <-addrs:
			if !ok {
				return fmt.Errorf("address events: closed")
			}
			if !ownRenewal(u) {
				w.hint(false)
			}
		}
	}
}

// drain reads the remaining events of a subscription, so that its goroutine, which may be blocked on the
// channel, can end.
func drain[T any](events <-chan T) {
	for range events {
	}
}

func (w *Watcher) hint(links bool) {
	if links {
		w.links.Store(true)
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// ownRenewal reports whether the event is the echo of Place's renewal, which comes every second and
// changes nothing. The removal or change of a VIP is a different event.
func ownRenewal(u netlink.AddrUpdate) bool {
	p, ok := prefixOfAddr(&u.LinkAddress)
	return ok && u.NewAddr && ours(p, u.Scope, u.Flags, u.PreferedLft, u.ValidLft)
}
