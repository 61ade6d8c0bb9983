// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"vipd/tests/lab"
)

const (
	// Size of BenchmarkFast, and the variables that change it.
	fastKills, fastKillsVar = "20", "VIPD_FAST_KILLS"

	fastMaster, fastBackup = 1, 2 // advskew
	fastOver               = 15 * time.Second
	fastSpacing            = time.Millisecond // of the client's pings

	// The goals: percent of a core on each node, and milliseconds of each gap.
	fastCPU, fastGap = 2, 15
)

// BenchmarkFast measures fast mode with the scheduling of packaging/vipd.service: CPU time, and the gap that a client
// sees after kill -9 of the MASTER. It measures keepalived with its shortest interval, 10 ms, on the same links before,
// so that ratios can be compared between machines. Then come beats, beside a thread that only sleeps and sends, and
// also after the loss of the MASTER's link. Or it counts the transitions that hogs cause, and nothing else: see
// stressBench.
//
// No figure has a bound; the benchmark fails if no node takes over or two nodes own the VIP.
func BenchmarkFast(b *testing.B) {
	require(b, needNetNS, needBPF, needKeepalived)
	kills := positiveNumber(b, fastKillsVar, cmp.Or(os.Getenv(fastKillsVar), fastKills))
	beats := beatsToMeasure(b)
	if stress := stressTime(b); stress > 0 {
		for b.Loop() {
			newStressBench(b, beats).run(stress)
		}
		return
	}
	for b.Loop() {
		f := &fastBench{pair: newPair(b, fast(fastMaster), fast(fastBackup)), kills: kills, spacing: fastSpacing}
		asShipped(b, f.a, f.b)
		theirs := f.measure(&fastKeepalived{pair: f.pair})
		ours := f.measure(fastVIPD{f.pair})
		bare := f.clientPort.BareSender(strangeAdvert(), fastMaster*time.Second/256, fastOver)
		f.print(ours, theirs, bare)
		if len(beats) > 0 {
			f.beats(beats)
		}
	}
}

// fastBench is the usual pair of nodes and what is measured on it.
type fastBench struct {
	*pair
	kills   int
	spacing time.Duration // of the client's pings
}

// contender is one of the two programs that are compared. Each runs on both hosts, the better instance on a.
type contender interface {
	address() netip.Addr
	start() (master, backup *lab.Proc)
	// kill kills the MASTER outright and returns the time just before.
	kill() time.Time
	// taken waits until the BACKUP has taken over.
	taken()
	// back starts the killed instance and waits until it is MASTER again and the other one BACKUP.
	back()
	// end stops both, unless the pair is needed longer.
	end()
}

// fastFigures are those of one contender: percent of a core, and milliseconds in ascending order.
type fastFigures struct {
	cpu             [2]float64
	gaps, takeovers []float64
	stall           time.Duration
}

func (f *fastBench) measure(c contender) (r fastFigures) {
	f.Helper()
	master, backup := c.start()
	r.cpu = percentOfCore(fastOver, master, backup)
	for round := range f.kills {
		o := f.failover(c)
		ping := o.ping
		if ping.Doubles > 0 {
			f.Errorf("%v, kill %d: %d pings were answered twice", c.address(), round+1, ping.Doubles)
		}
		r.gaps = append(r.gaps, ping.Gap.Seconds()*1000)
		r.takeovers = append(r.takeovers, o.took.Seconds()*1000)
		r.stall = max(r.stall, ping.Stall)
		c.back()
	}
	slices.Sort(r.gaps)
	slices.Sort(r.takeovers)
	c.end()
	return r
}

// outage is what a client saw of a failover.
type outage struct {
	ping   lab.PingReport
	killed time.Time
	took   time.Duration // until the other host first spoke for the address
}

// failover kills the MASTER at any moment between two of its advertisements.
func (f *fastBench) failover(c contender) outage {
	f.Helper()
	pinger := f.client.PingPromptly(c.address(), f.spacing)
	pinger.AwaitAnswer(time.Now(), patience)
	old, successor := f.portA.Sniff(), f.portB.Sniff()
	defer old.Close()
	defer successor.Close()
	time.Sleep(50*time.Millisecond + rand.N(50*time.Millisecond))
	killed := c.kill()
	c.taken()
	pinger.AwaitAnswer(time.Now(), patience)
	first := successor.FirstSpeaking(killed, patience, c.address(), vmac)
	report := pinger.Stop()
	f.oneOwner(c.address())
	if spoken := old.Frames().FromHost().After(first.At).Speaking(c.address(), vmac); len(spoken) > 0 {
		f.Errorf("two hosts own %v: the killed one spoke after the other had taken over:\n%v", c.address(), spoken)
	}
	return outage{report, killed, first.At.Sub(killed)}
}

// oneOwner fails if two hosts answer for an address. The answers of one request may come from before and after a
// takeover, so it asks again.
func (f *fastBench) oneOwner(address netip.Addr) {
	f.Helper()
	for range 2 {
		if n := len(f.clientPort.AnswersARP(addrClient, address, 20*time.Millisecond)); n < 2 {
			return
		}
	}
	f.Errorf("two hosts own %v: both answer for it", address)
}

func (f *fastBench) flush(t *tabwriter.Writer) {
	f.Helper()
	if err := t.Flush(); err != nil {
		f.Fatalf("print the table: %v", err)
	}
}

// print writes the table.
func (f *fastBench) print(ours, theirs fastFigures, bare lab.BareReport) {
	f.Helper()
	fmt.Printf("\nfast mode: advbase 0, advskew %d on MASTER and %d on BACKUP, one VIP, real-time priority of the unit\n"+
		"keepalived: VRRPv3, advert_int 0.01, priority 254 and 253; its address is removed with the kill\n"+
		"CPU over %v, %d kills of each, pings every %v (longest stall of the pinger itself %.1f ms)\n\n",
		fastMaster, fastBackup, fastOver, f.kills, fastSpacing, max(ours.stall, theirs.stall).Seconds()*1000)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  figure\tvipd\tgoal\tresult\tkeepalived\tvipd / keepalived")
	compare := func(what, unit string, goal, ours, theirs float64) {
		fmt.Fprintf(t, "  %s\t%.1f %s\t%s\t%.1f %s\t%.2f x\n", what, ours, unit, verdict(ours, goal, unit), theirs, unit,
			ours/theirs)
	}
	for i, role := range []string{lab.Master, lab.Backup} {
		compare("CPU of "+role+", of a core", "%", fastCPU, ours.cpu[i], theirs.cpu[i])
	}
	for _, s := range []struct {
		what         string
		ours, theirs []float64
	}{
		{"gap of the client", ours.gaps, theirs.gaps},
		{"kill -9 to the first frame of the new MASTER", ours.takeovers, theirs.takeovers},
	} {
		compare(s.what+", median", "ms", fastGap, quantile(s.ours, 0.5), quantile(s.theirs, 0.5))
		compare(s.what+", 95 %", "ms", fastGap, quantile(s.ours, 0.95), quantile(s.theirs, 0.95))
		compare(s.what+", longest", "ms", fastGap, quantile(s.ours, 1), quantile(s.theirs, 1))
	}
	f.flush(t)
	fmt.Printf("\n  A thread of that priority that only sleeps and sends as often takes %.1f %% of a core.\n"+
		"  The BACKUP waits %.1f ms after the last advertisement (keepalived: %.1f ms).\n", bare.Percent,
		fastDown(fastMaster, fastBackup).Seconds()*1000, 10*(3+float64(256-fastKeepalivedBackup)/256))
}

// verdict returns a goal and whether the figure reaches it, as two cells.
func verdict(figure, goal float64, unit string) string {
	result := "reached"
	if figure > goal {
		result = strings.TrimSpace(fmt.Sprintf("missed by %.1f %s", figure-goal, unit))
	}
	return strings.TrimSpace(fmt.Sprintf("at most %.0f %s", goal, unit)) + "\t" + result
}

// quantile returns the smallest of the ascending figures that is not below this share of them.
func quantile(ascending []float64, share float64) float64 {
	return ascending[int(math.Ceil(share*float64(len(ascending))))-1]
}
