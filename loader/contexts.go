// SPDX-License-Identifier: Apache-2.0

package loader

import "fmt"

// contextCounts turns the kernel's counters, which go by index and never go back,
// into counts of the contexts that stand at these indices now.
type contextCounts struct {
	ctxs []bpfAuthContext
	// carried is what a context counted at earlier indices, base what the kernel had
	// counted at its index before it came there.
	carried, base []uint64
}

func (c *contextCounts) counts(now [MaxContexts]uint64) []uint64 {
	out := make([]uint64, len(c.ctxs))
	for i := range out {
		out[i] = c.carried[i] + now[i] - c.base[i]
	}
	return out
}

// replace moves the counts along to the contexts of a.
func (c *contextCounts) replace(a *bpfAuth, now [MaxContexts]uint64) {
	counts := c.counts(now)
	next := contextCounts{ctxs: a.Ctx[:a.N], carried: make([]uint64, a.N), base: now[:a.N]}
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

// switchCounts has to be called when the new contexts are live.
func (g *Group) switchCounts(a *bpfAuth) error {
	var cpus []bpfGroupStats
	if err := g.d.objs.GroupStats.Lookup(g.slot, &cpus); err != nil {
		return fmt.Errorf("read the counters of %s: %w", g.name, err)
	}
	g.contexts.replace(a, sumContexts(cpus))
	return nil
}
