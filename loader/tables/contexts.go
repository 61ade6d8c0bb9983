// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"slices"

	"vipd/loader/object"
)

// contextCounts converts the kernel's counters, which go by index and never decrease, into counts of the contexts at
// these indices now.
type contextCounts struct {
	ctxs []object.BPFAuthContext // a copy: an entry of the map has room for eight, and nearly all groups have one
	// carried is what a context counted at earlier indices; base is the kernel's counter when the context came to its
	// index.
	carried, base []uint64
}

func (c *contextCounts) counts(now [MaxContexts]uint64) []uint64 {
	out := make([]uint64, len(c.ctxs))
	for i := range out {
		out[i] = c.carried[i] + now[i] - c.base[i]
	}
	return out
}

// replace carries the counts over to the contexts of a.
func (c *contextCounts) replace(a *object.BPFAuth, now [MaxContexts]uint64) {
	counts := c.counts(now)
	next := contextCounts{ctxs: slices.Clone(a.Ctx[:a.N]), carried: make([]uint64, a.N), base: slices.Clone(now[:a.N])}
	for i, ctx := range next.ctxs {
		for j, old := range c.ctxs {
			if ctx == old {
				next.carried[i] = counts[j]
				break
			}
		}
	}
	*c = next
}

// switchCounts must be called when the new contexts are live.
func (g *Group) switchCounts(a *object.BPFAuth) error {
	var cpus []object.BPFGroupStats
	if err := g.t.maps.GroupStats.Lookup(g.slot, &cpus); err != nil {
		return fmt.Errorf("read the counters of %s: %w", g.name, err)
	}
	g.contexts.replace(a, sumContexts(cpus))
	return nil
}
