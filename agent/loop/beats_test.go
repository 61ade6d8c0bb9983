// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/loader"
)

const beat = 5 * time.Millisecond

func beatingGroup() config.Group {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	g.Beat = beat
	return g
}

// beats returns the microseconds that the adverts state which leave while do runs.
func (b *bench) beats(do func()) (stated []uint16) {
	b.t.Helper()
	b.sending = func(frames []netio.Frame) {
		for _, f := range frames {
			stated = append(stated, parse(b.t, f).Trailer.Beat)
		}
	}
	do()
	b.sending = nil
	return stated
}

// A MASTER advertises once per beat, and its trailers say so; a goodbye states none.
func TestBeatIsStated(t *testing.T) {
	b := newBench(t, beatingGroup())
	b.master()
	for range 4 {
		if got := b.beats(func() { b.pass(beat) }); len(got) != 1 || got[0] != uint16(beat/time.Microsecond) {
			t.Errorf("after a beat: %v us stated", got)
		}
	}
	before := len(b.calls)
	stated := b.beats(func() {
		for b.releaseAll(); !b.group("eth0@1").machine.View().Leaving && len(b.calls) < before+20; {
			b.pass(beat)
		}
	})
	for _, beat := range stated {
		if beat != 0 {
			t.Errorf("while it leaves: %v us stated", stated)
			break
		}
	}
	if !slices.Contains(b.drain(), "advert 255/255 from 192.0.2.11") {
		t.Error("no goodbye")
	}
}

// beaten is an advert of a better node with a beat, received now.
func (b *bench) beaten(proven bool) loader.Event {
	ev := b.advert("eth0@1", 0)
	ev.Proven, ev.Beat = proven, uint16(beat/time.Microsecond)
	return ev
}

// The machine of a BACKUP hears the beat that a trailer proves, also in what the kernel withheld, and takes over after
// three. A beat without proof is none.
func TestBeatIsHeard(t *testing.T) {
	for _, proven := range []bool{false, true} {
		cfg := testGroup("eth0", 1, "192.0.2.100/24")
		cfg.AdvSkew = 100
		b := newBench(t, cfg)
		g := b.group("eth0@1")
		b.pass(time.Second) // beats do not count sooner after a start
		b.ring = append(b.ring, b.beaten(proven))
		b.pass(0)
		if !proven {
			if v := g.machine.View(); v.Master.Beat != 0 || v.DownTime < 3*time.Second {
				t.Errorf("without proof: a beat of %v, down time %v", v.Master.Beat, v.DownTime)
			}
			continue
		}
		if ahead := g.ahead(); ahead != beat/4 {
			t.Errorf("looks %v ahead", ahead)
		}
		for i := range 20 {
			b.now += int64(3 * beat)
			p := b.planeOf("eth0@1")
			if p.withhold[0] == 0 {
				t.Fatal("repetitions are not withheld")
			}
			p.heard[0] = loader.Heard{At: b.now, Counter: uint64(i)}
			b.pass(0)
			v := g.machine.View()
			if v.State != election.Backup || v.Master.Beat != beat || v.DownTime < 3*beat || v.DownTime > 4*beat {
				t.Fatalf("%s, a beat of %v, down time %v", v.State, v.Master.Beat, v.DownTime)
			}
		}
		b.pass(4 * beat)
		if s := g.machine.State(); s != election.Master {
			t.Errorf("%s four beats after the last one", s)
		}
	}
}

// A master that ends its beats is named, and so is one whose beats did not all arrive, until they count again.
func TestBeatsAreNamed(t *testing.T) {
	var out bytes.Buffer
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.env.log = slog.New(slog.NewTextHandler(&out, nil))
	g := b.group("eth0@1")
	src := b.advert("eth0@1", 0).Src
	trusted, ended := election.View{}, election.View{}
	ended.BeatsEnded, ended.Master.Src = 7, src
	distrusted := election.View{DownTime: 40 * time.Millisecond, Distrust: election.Distrust{
		Distrusted: src, DistrustUntil: g.env.clock.Now().Add(time.Minute), DistrustTimes: 2,
	}}
	for _, c := range []struct {
		was, now election.View
		said     string
	}{
		{trusted, distrusted, "waits=40ms for=1m0s in_succession=2"},
		{distrusted, trusted, "count as stated again"},
		{trusted, ended, "no beat any more"},
		{ended, trusted, ""},
	} {
		out.Reset()
		g.nameBeats(&c.was, &c.now)
		if said := out.String(); !strings.Contains(said, c.said) || c.said == "" && said != "" {
			t.Errorf("%q, want %q", said, c.said)
		}
	}
}

// Before a vipd leaves to the next one, its owners state their interval until their leases outlast the start of that
// one. Groups without a beat, and those that are not MASTER, are left alone.
func TestBeatsEndBeforeARestart(t *testing.T) {
	b := newBench(t, beatingGroup(), testGroup("eth0", 2, "192.0.2.102/24"))
	b.master()
	other := b.group("eth0@2").machine.View()
	l := b.run()
	ended := make(chan error, 1)
	go func() { ended <- l.EndBeats(t.Context()) }()
	l.until("the beats end", func() bool { return b.group("eth0@1").machine.View().Beat == 0 })
	for range 40 { // while the lease is short, adverts keep their pace
		l.pass(beat)
	}
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	l.at(func() {
		v := b.group("eth0@1").machine.View()
		if left := v.Lease.Sub(election.Instant(b.now)); v.State != election.Master || left < 2*time.Second {
			t.Errorf("%s, lease %v", v.State, left)
		}
		if got := b.group("eth0@2").machine.View(); got.Generation != other.Generation || got.State != other.State {
			t.Errorf("the other group: %+v", got)
		}
	})
}

// A beat costs what an ordinary advert costs: the same allocations, readings of the kernel and calls that send.
func TestBeatCostsAnAdvert(t *testing.T) {
	cost := func(cfg config.Group, interval time.Duration) (allocations float64, reads, calls int) {
		b := newBench(t, cfg)
		for range 4 * time.Second / interval { // MASTER, and nothing left to announce
			b.pass(interval)
		}
		p := b.planeOf("eth0@1")
		const rounds = 100
		before, sent := p.read, len(b.calls)
		allocations = testing.AllocsPerRun(rounds, func() { b.pass(interval); b.drain() })
		return allocations, (p.read - before) / rounds, (len(b.calls) - sent) / rounds
	}
	ordinary := testGroup("eth0", 1, "192.0.2.100/24")
	ordinary.AdvBase, ordinary.AdvSkew = 0, 13 // 50.78 ms: nothing else is due more often than with a beat
	allocations, reads, calls := cost(ordinary, 51*time.Millisecond)
	beating := beatingGroup()
	beating.Beat = 30 * time.Millisecond
	gotAllocations, gotReads, gotCalls := cost(beating, beating.Beat)
	// One more or less: under the race detector a sync.Pool forgets some of what it is given.
	if gotAllocations > allocations+1 || gotReads != reads || gotCalls != calls || calls != 1 {
		t.Errorf("%.0f allocations, %d readings and %d calls per beat; %.0f, %d and %d per ordinary advert",
			gotAllocations, gotReads, gotCalls, allocations, reads, calls)
	}
}
