// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"cmp"
	"slices"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// Standby reports whether a peer would take over, as far as is known now.
func Standby(p *view.Peer, now election.Instant) bool {
	h := &p.Hello
	return p.Fresh(now) && h.State == wire.HelloBackup && !h.Disabled && h.TakesOverIn < wire.NeverTakesOver
}

// Standbys returns the peers that would take over, the one that would do so first if the MASTER died now at the
// beginning. Of those that wait for the same time, the one that advertises more often wins.
func Standbys(list []view.Peer, now election.Instant) []*view.Peer {
	var out []*view.Peer
	for i := range list {
		if Standby(&list[i], now) {
			out = append(out, &list[i])
		}
	}
	slices.SortStableFunc(out, func(a, b *view.Peer) int {
		return cmp.Or(
			cmp.Compare(a.Hello.TakesOverIn, b.Hello.TakesOverIn),
			cmp.Compare(interval(&a.Hello), interval(&b.Hello)),
			a.Addr.Compare(b.Addr),
		)
	})
	return out
}

func interval(h *wire.Hello) time.Duration {
	return election.Priority{AdvBase: h.EffectiveAdvBase, AdvSkew: h.EffectiveAdvSkew}.Interval()
}
