// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"context"
	"time"

	"vipd/loader"
)

// A restart goes on with the programs of the earlier vipd: their maps are this one's, so leases are renewed at once,
// and the new programs, which the verifier takes some 200 ms for, come when they are loaded. A goroutine of its own
// does that, and reports each interface to the loop. Until then a BACKUP takes no silence for one, and interfaces that
// had no programs wait (env.inheriting).

// exchangeRetry is how often programs are loaded again that the kernel refused.
const exchangeRetry = 30 * time.Second

// exchange is how far that has come.
type exchange struct {
	over chan struct{} // closed when all is in place, or cannot be
}

// Exchanged is closed when all programs are this vipd's, or the wait for them is given up.
func (l *Loop) Exchanged() <-chan struct{} { return l.exchange.over }

// WatchExchange runs until the programs are exchanged. It is called only if [Plane.Pending] reported at the start that
// there is something to exchange.
func (l *Loop) WatchExchange(ctx context.Context) {
	said := false
	for {
		err := l.plane.Exchange()
		if err == nil {
			break
		}
		l.log.Error("cannot load the programs of this vipd, those of the earlier one go on; other interfaces have to wait",
			"err", err)
		if !said { // the start waits for one try only
			said = true
			close(l.exchange.over)
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(exchangeRetry):
		}
	}
	if l.attachInherited(ctx) == nil && !said {
		close(l.exchange.over)
	}
}

// attachInherited makes the interfaces our own, one by one.
func (l *Loop) attachInherited(ctx context.Context) error {
	type inherited struct {
		ifindex int
		name    string
		mode    loader.Mode
	}
	var all []inherited
	err := l.do(ctx, func() {
		for _, p := range l.interfaces {
			if p.inherited {
				all = append(all, inherited{p.link.Index, p.name, l.xdpMode()})
			}
		}
	})
	if err != nil {
		return err
	}
	for _, at := range all {
		att, attachErr := l.plane.Attach(at.ifindex, at.name, at.mode)
		if err := l.do(ctx, func() { l.noteExchanged(at.ifindex, att, attachErr) }); err != nil {
			return err
		}
	}
	if err := l.do(ctx, l.exchanged); err != nil {
		return err
	}
	l.dropUnclaimed()
	return l.do(ctx, l.syncInterfaces) // what stood in the way of others is gone
}

// noteExchanged takes over that the programs of an interface are our own, or cannot be.
func (l *Loop) noteExchanged(ifindex int, att loader.Attachment, err error) {
	for _, p := range l.interfaces {
		if !p.inherited || p.link.Index != ifindex {
			continue
		}
		p.inherited = false
		if err != nil {
			l.loseInterface(p, err)
			return
		}
		p.att = att
		p.noteFallback(att.FellBack)
		p.interrupted, _ = l.plane.Attended(ifindex)
		return
	}
}

// exchanged takes over that every interface has our programs.
func (l *Loop) exchanged() {
	l.inheriting = false
	l.takeOffUnclaimed()
	l.publish()
	l.stale.statusLine = true
	l.log.Info("programs exchanged", "interfaces", len(l.interfaces))
}
