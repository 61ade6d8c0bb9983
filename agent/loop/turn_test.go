// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"testing"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/loader"
)

// quiet is a data plane that writes nothing down, which would cost more than the turn that is measured.
type quiet struct{ fakePlane }

func (q quiet) AddGroup(spec loader.GroupSpec) (PlaneGroup, error) {
	g, err := q.fakePlane.AddGroup(spec)
	return quietGroup{g.(*fakeGroup)}, err
}

type quietGroup struct{ *fakeGroup }

func (g quietGroup) SetRole(r loader.Role)                      { g.role = r }
func (quietGroup) SetSentPriority(loader.Priority)              {}
func (quietGroup) RecordSent(uint64, [20]byte, loader.Priority) {}
func (quietGroup) ConfirmSent(uint64)                           {}

// BenchmarkTurn measures what the loop does with an advert of one group in fast mode: that a MASTER sends, or that a
// BACKUP finds in what the kernel withheld when it would be due. System calls and waiting are not in it.
func BenchmarkTurn(b *testing.B) {
	fast := testGroup("eth0", 1, "192.0.2.100/24")
	fast.AdvBase, fast.AdvSkew = 0, 1

	b.Run("MASTER", func(b *testing.B) {
		bench := newTurnBench(b, fast)
		plane := bench.planes["10@1"]
		bench.untilDue()
		bench.pass(0)
		bench.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
		bench.turns(b, bench.untilDue)
		if seen := float64(plane.read) / float64(b.N); bench.sent != b.N {
			b.Errorf("%d adverts in %d turns, %.1f times read", bench.sent, b.N, seen)
		}
		b.ReportMetric(float64(plane.read)/float64(b.N), "lookups/op")
	})
	b.Run("BACKUP", func(b *testing.B) {
		bench := newTurnBench(b, fast)
		plane := bench.planes["10@1"]
		ev := bench.advert("eth0@1", 0)
		ev.AdvBase, ev.AdvSkew, ev.Proven = 0, 1, true
		bench.ring = append(bench.ring, ev)
		bench.pass(0)
		plane.read = 0
		if plane.withhold[0] != ev.At {
			b.Fatal("the kernel may not withhold repetitions")
		}
		bench.turns(b, func() {
			bench.untilDue()
			plane.heard[0] = loader.Heard{At: bench.now - 1000, Counter: uint64(bench.now)}
		})
		bench.expectState("eth0@1", election.Backup, election.ReasonStartup)
		b.ReportMetric(float64(plane.read)/float64(b.N), "lookups/op")
	})
}

// turnBench is a bench whose host and wire only count.
type turnBench struct {
	*bench
	sent, clocks int
}

func newTurnBench(b *testing.B, groups ...config.Group) *turnBench {
	b.Helper()
	t := &turnBench{bench: newBench(b, groups...)}
	t.plane = quiet{fakePlane{t.bench}}
	for _, g := range t.groups.order {
		g.entry.plane = quietGroup{g.entry.plane.(*fakeGroup)}
	}
	return t
}

// untilDue moves the clock to when the loop would wake.
func (t *turnBench) untilDue() { t.now = int64(t.groups.agenda.next()) }

// turns lets the loop go round b.N times, each after next.
func (t *turnBench) turns(b *testing.B, next func()) {
	b.Helper()
	t.Loop.sendAll = func(frames []netio.Frame) { t.sent += len(frames) }
	boot := t.boot
	t.boot = func() int64 { t.clocks++; return boot() }
	t.sent, t.clocks = 0, 0
	for _, p := range t.planes {
		p.read = 0
	}
	b.ReportAllocs()
	b.ResetTimer()
	var retryAt election.Instant
	for range b.N {
		next()
		_, _ = t.nextWake(election.Instant(t.now), &retryAt)
		t.catchUp()
		t.tick()
	}
	b.StopTimer()
	b.ReportMetric(float64(t.clocks)/float64(b.N), "clocks/op")
}
