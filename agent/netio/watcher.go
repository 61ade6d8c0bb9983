// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// rcvbuf is the wish for the netlink receive buffer. Too small is not fatal:
// an overrun is a hint to read everything again, like any other event.
const rcvbuf = 1 << 20

// Watcher tells that something about links or addresses changed. It carries no
// content on purpose: events can be lost (ENOBUFS) or overtaken, so the agent
// always reads the present state instead of trusting a message about the past.
type Watcher struct {
	changed chan struct{}
	log     *slog.Logger
	rcvbuf  int // bytes
}

// NewWatcher returns a watcher that is not running yet.
func NewWatcher(log *slog.Logger) *Watcher {
	return &Watcher{changed: make(chan struct{}, 1), log: log, rcvbuf: rcvbuf}
}

// Changed yields a token when links or addresses may differ from what was read
// last. Tokens do not pile up.
func (w *Watcher) Changed() <-chan struct{} { return w.changed }

// Run subscribes and forwards hints until ctx ends. A subscription that breaks
// is opened anew, with a hint in between.
func (w *Watcher) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		err := w.subscribe(ctx)
		w.hint()
		if ctx.Err() != nil {
			return nil
		}
		w.log.Warn("netlink subscription ended, opening it anew", "err", err)
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
	failed := make(chan error, 2) // one for each subscription's callback
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
	w.hint() // what happened before the subscription is read now
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
		case u, ok := <-addrs:
			if !ok {
				return fmt.Errorf("address events: closed")
			}
			if ownRenewal(u) {
				continue
			}
		}
		w.hint()
	}
}

// drain takes what a subscription still has to say, so that its reader, which may be
// waiting for somebody to take an event, gets to see that it is over.
func drain[T any](events <-chan T) {
	for range events {
	}
}

func (w *Watcher) hint() {
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// ownRenewal recognises the once-a-second echo of our own SetVIP; reading the
// host again for each of them would be work for nothing. A VIP that somebody
// removes is a different event and does count.
func ownRenewal(u netlink.AddrUpdate) bool {
	ones, bits := u.LinkAddress.Mask.Size()
	return u.NewAddr && ones == bits && u.Scope == unix.RT_SCOPE_HOST
}
