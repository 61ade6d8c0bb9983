// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/attach"
	"vipd/loader/livetest"
	"vipd/loader/tables"
)

const (
	liveFrames = 4096 // a burst: below a millisecond where frames are dropped, some where the stack has them
	liveRounds = 150
	// liveBatch frames are under way at once: as many as a driver takes at one poll. More is no cheaper, for each is a
	// page that the CPU's caches have to hold: with 64, 128 and 192 a dropped frame took 144, 155 and 182 ns, and 4, 5 and
	// 20 of a hundred rounds lost one to a ring that was full.
	liveBatch = 64
)

// requireCosts: live frames are measured, never held: what a round takes is the machine's business.
func requireCosts(t *testing.T) {
	t.Helper()
	if os.Getenv("VIPD_COSTS") == "" {
		t.Skip("measured by make bench-xdp")
	}
}

// lane is one thing to measure: frames that a generator sends out of one interface, each of which arrives, or has its
// answer arrive, at another, the sink. All lanes stand side by side, so that nothing is changed while one measures.
type lane struct {
	name       string
	gen        *livetest.Generator
	from, sink netlink.Link
}

// arrived is what the sink's driver has taken so far; a program there that drops counts nothing itself.
func (l lane) arrived(t *testing.T) uint64 {
	t.Helper()
	now, err := netlink.LinkByIndex(l.sink.Attrs().Index)
	if err != nil {
		t.Fatal(err)
	}
	return now.Attrs().Statistics.RxPackets
}

// burst sends one and returns what a frame took in ns. 0: some were lost, because the machine let a ring run over.
func (l lane) burst(t *testing.T) float64 {
	t.Helper()
	before := l.arrived(t)
	took, err := l.gen.Send(l.from.Attrs().Index, liveFrames, liveBatch)
	if err != nil && !errors.Is(err, livetest.ErrInterrupted) {
		t.Fatal(err)
	}
	if err != nil || l.arrived(t)-before != liveFrames {
		time.Sleep(5 * time.Millisecond) // what is late must not be taken for the next burst's
		return 0
	}
	return float64(took.Nanoseconds())
}

// race has every lane send a burst, one after the other, again and again, and returns of each round what a frame took
// in each lane, in ns. A machine changes its pace from one second to the next: only what one round measured is
// compared. Rounds in which a frame was lost do not count.
func race(t *testing.T, lanes []lane) [][]float64 {
	t.Helper()
	var rounds [][]float64
	for round := range liveRounds {
		took := make([]float64, len(lanes))
		for i := range lanes {
			i = (i + round) % len(lanes) // none has always the same one before it
			took[i] = lanes[i].burst(t)
		}
		if !slices.Contains(took, 0) {
			rounds = append(rounds, took)
		}
	}
	if len(rounds) < liveRounds/4 {
		t.Fatalf("%d of %d rounds without a lost frame: the machine is too busy to measure", len(rounds), liveRounds)
	}
	t.Logf(
		"%d of %d rounds without a lost frame, %d frames each, %d at once",
		len(rounds),
		liveRounds,
		liveFrames,
		liveBatch,
	)
	return rounds
}

// quartiles of something that is reckoned for each round.
type quartiles struct{ low, median, high float64 }

func over(rounds [][]float64, f func(round []float64) float64) quartiles {
	values := make([]float64, 0, len(rounds))
	for _, r := range rounds {
		values = append(values, f(r))
	}
	slices.Sort(values)
	n := len(values)
	return quartiles{values[n/4], values[n/2], values[n*3/4]}
}

func (q quartiles) format(verb string) string {
	return fmt.Sprintf(verb+" ("+verb+" to "+verb+")", q.median, q.low, q.high)
}

// attachXDP attaches until the end of the test.
func attachXDP(t *testing.T, l netlink.Link, p *ebpf.Program, mode link.XDPAttachFlags) {
	t.Helper()
	x, err := link.AttachXDP(link.XDPOptions{Program: p, Interface: l.Attrs().Index, Flags: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
}

// attachMaster attaches vipd's own program, with a group that answers.
func attachMaster(t *testing.T, d *plane, l netlink.Link, mode attach.Mode) {
	t.Helper()
	if _, err := d.Attach(l.Attrs().Index, l.Attrs().Name, mode); err != nil {
		t.Fatal(err)
	}
	s := GoldenSpec("192.0.2.1")
	s.IfIndex = l.Attrs().Index
	g, err := d.AddGroup(s)
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: BootNow() + 600e9})
}
