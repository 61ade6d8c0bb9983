// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
)

// TestAgenda compares the agenda with a scan of all groups.
func TestAgenda(t *testing.T) {
	t.Parallel()
	const seed = 13
	rng := rand.New(rand.NewPCG(seed, seed))
	var a agenda
	groups := make([]*group, 40)
	deadlines, slack := map[*group]election.Instant{}, map[*group]time.Duration{}
	for i := range groups {
		groups[i] = &group{name: fmt.Sprintf("eth0@%03d", i)}
	}
	most := 0
	for round := range 20000 {
		g := groups[rng.IntN(len(groups))]
		at := election.Instant(1 + rng.IntN(50))
		switch rng.IntN(4) {
		case 0:
			a.drop(&g.appointment)
			delete(deadlines, g)
		case 1:
			a.set(g, at, 0, false)
			delete(deadlines, g)
		default:
			slack[g] = time.Duration(rng.IntN(8))
			a.set(g, at, slack[g], true)
			deadlines[g] = at
		}
		now := election.Instant(rng.IntN(52))
		var first election.Instant
		var want []string
		for _, g := range groups {
			at, ok := deadlines[g]
			if !ok {
				continue
			}
			if first == 0 || at < first {
				first = at
			}
			due := at.Add(-slack[g]) <= now
			if due {
				want = append(want, fmt.Sprintf("%02d %s", at, g.name))
			}
			if g.due(now) != due {
				t.Fatalf("round %d: %s is due at %d - %d, and at %d: %v", round, g.name, at, slack[g], now, g.due(now))
			}
		}
		if first > now {
			want = nil // some may decide, and none has to
		}
		slices.Sort(want)
		var got []string
		for _, g := range a.due(now, nil) {
			got = append(got, fmt.Sprintf("%02d %s", g.appointment.at, g.name))
		}
		if !slices.Equal(got, want) || a.next() != first {
			t.Fatalf("round %d: due at %d: %v, want %v; next %d, want %d", round, now, got, want, a.next(), first)
		}
		most = max(most, len(want))
	}
	if most < len(groups)/2 {
		t.Errorf("at most %d groups were due at once", most)
	}
}

// BenchmarkAgenda is the bookkeeping of one round in which one group is due.
func BenchmarkAgenda(b *testing.B) {
	const ms = election.Instant(time.Millisecond)
	for _, n := range []int{16, 1024, 16384} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var a agenda
			for i := range n {
				a.set(&group{name: fmt.Sprint(i)}, election.Instant(i+1)*ms, 0, true)
			}
			var due []*group
			for b.Loop() {
				now := a.next()
				due = a.due(now, due[:0])
				a.set(due[0], now+election.Instant(n)*ms, 0, true)
			}
		})
	}
}
