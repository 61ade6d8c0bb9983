// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

const (
	// The beats that BenchmarkFast measures, and the variable that changes them: durations with commas, or nothing for
	// none.
	fastBeats, fastBeatVar = "1ms,2ms,5ms,10ms", "VIPD_FAST_BEAT"

	beatSpacing = 500 * time.Microsecond // of the client's pings

	// The goals: percent of a core on each node, and milliseconds of 95 % of the gaps and of all.
	beatCPU, beatMost, beatAll = 3, 5, 8
)

// beatsToMeasure returns the beats of the variable.
func beatsToMeasure(b *testing.B) (beats []time.Duration) {
	b.Helper()
	text, set := os.LookupEnv(fastBeatVar)
	if !set {
		text = fastBeats
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' || r == ' ' }) {
		beat, err := time.ParseDuration(word)
		if err != nil || beat < time.Millisecond || beat > 30*time.Millisecond {
			b.Fatalf("%s: %q is not a beat of 1ms to 30ms", fastBeatVar, word)
		}
		beats = append(beats, beat)
	}
	return beats
}

// beatVIPD is vipd with a beat.
type beatVIPD struct {
	fastVIPD
	beat  time.Duration
	pulls bool // the cable of the MASTER instead of killing it
}

func (f beatVIPD) start() (master, backup *lab.Proc) {
	for i, n := range []*lab.Node{f.a, f.b} {
		n.WriteConfig(beating(100*i, f.beat))
	}
	f.a.Start()
	f.a.WaitAnswering(group, upTimeout)
	f.b.Start()
	f.counts()
	return f.a.Proc(), f.b.Proc()
}

// counts waits until the backup counts the beats of the master.
func (f beatVIPD) counts() {
	f.b.WaitFor(group, "counts the beats of a", patience, countsBeats(f.beat))
}

func (f beatVIPD) kill() time.Time {
	if !f.pulls {
		return f.fastVIPD.kill()
	}
	at := time.Now()
	f.portA.SetCarrier(false)
	return at
}

func (f beatVIPD) back() {
	if f.pulls {
		f.portA.SetCarrier(true)
	} else {
		f.a.Start()
	}
	f.a.WaitAnswering(group, patience)
	f.counts()
}

// believes restarts the backup if it doubts the beats: it forgets its doubt with that. It reports whether it did so.
func (f beatVIPD) believes() (restarted bool) {
	f.Eventually(patience, 0, func() (bool, string) {
		if f.b.Group(group).BeatDistrust == nil {
			return true, ""
		}
		restarted = true
		f.b.Stop()
		f.b.Start()
		f.counts()
		return false, "b doubts the beats of a each time it has just started"
	})
	return restarted
}

func (f beatVIPD) end() {
	f.b.Stop() // first: it would take over
	f.a.Stop()
}

// beatFigures are those of one beat.
type beatFigures struct {
	beat  time.Duration
	bare  lab.BareReport
	cpu   [2]float64
	late  [3]float64    // wake-ups of both loops that were later than lateBounds, per 1,000
	gaps  [2][]gap      // after kill -9 and after the loss of the link
	anew  int           // how often the BACKUP was restarted before a crash, since it doubted
	stall time.Duration // the pinger's own
}

// gap is what a crash cost a client.
type gap struct {
	ms    float64
	stood time.Duration // how long a processor of this machine stood still meanwhile
}

const (
	stillTime = time.Millisecond      // a processor that stands still for longer costs beats
	stillBack = 10 * time.Millisecond // before a crash, still counts
)

var (
	lateBounds = [3]string{"0.001", "0.0025", "0.005"}
	crashes    = [2]string{"kill -9", "link loss"}
)

// beats measures each beat, and prints what was found.
func (f *fastBench) beats(beats []time.Duration) {
	f.Helper()
	f.spacing = beatSpacing
	for _, n := range []*lab.Node{f.b, f.a} {
		n.Stop()
	}
	all := make([]beatFigures, 0, len(beats))
	for _, beat := range beats {
		all = append(all, f.beatOf(beat))
	}
	f.printBeats(all)
}

func (f *fastBench) beatOf(beat time.Duration) beatFigures {
	f.Helper()
	r := beatFigures{beat: beat, bare: f.clientPort.BareSender(strangeAdvert(), beat, fastOver)}
	vipd := beatVIPD{fastVIPD: fastVIPD{f.pair}, beat: beat}
	master, backup := vipd.start()
	before := f.lags()
	r.cpu = percentOfCore(fastOver, master, backup)
	after := f.lags()
	for i, bound := range lateBounds {
		wakeups := after["+Inf"] - before["+Inf"]
		r.late[i] = 1000 * (wakeups - after[bound] + before[bound]) / wakeups
	}
	f.crash(&vipd, &r)
	vipd.end()
	return r
}

// crash measures the crashes of one beat.
func (f *fastBench) crash(vipd *beatVIPD, r *beatFigures) {
	f.Helper()
	processors := f.WatchProcessors()
	for i := range crashes {
		vipd.pulls = i == 1
		for round := range (f.kills + i) / 2 {
			if vipd.believes() {
				r.anew++
			}
			o := f.failover(*vipd)
			if o.ping.Doubles > 0 {
				f.Errorf("a beat of %v, %s %d: %d pings were answered twice", r.beat, crashes[i], round+1, o.ping.Doubles)
			}
			stood := processors.Longest(o.killed.Add(-stillBack), o.killed.Add(o.ping.Gap))
			r.gaps[i] = append(r.gaps[i], gap{o.ping.Gap.Seconds() * 1000, stood})
			r.stall = max(r.stall, o.ping.Stall)
			vipd.back()
		}
	}
	if err := processors.Close(); err != nil {
		f.Errorf("%v", err)
	}
}

// lags returns the distribution of the wake-ups of both loops.
func (f *fastBench) lags() map[string]float64 {
	f.Helper()
	sum := map[string]float64{}
	for _, n := range []*lab.Node{f.a, f.b} {
		for le, count := range lagCounts(n.Metrics()) {
			sum[le] += count
		}
	}
	return sum
}

// strangeAdvert is a frame like those of vipd, of a group that no node has.
func strangeAdvert() []byte {
	const vhid = 250
	frame, err := wire.AdvertFrame{
		SrcMAC: lab.VirtualMAC(vhid), DstMAC: wire.MulticastMAC(wire.MulticastV4), Src: addrClient,
		Dst: wire.MulticastV4, TTL: 255,
		Advert: wire.Advert{VHID: vhid, AdvBase: 1, AuthLen: wire.AuthLen}, Trailer: &wire.Trailer{},
	}.AppendBinary(nil)
	if err != nil {
		panic(err) // of constants
	}
	return frame
}

// late returns how many of the wake-ups were later than a bound, per 1,000.
func late(r lab.BareReport, bound time.Duration) float64 {
	n := 0
	for _, d := range r.Late {
		if d > bound {
			n++
		}
	}
	return 1000 * float64(n) / float64(len(r.Late))
}

func (f *fastBench) printBeats(all []beatFigures) {
	f.Helper()
	fmt.Printf("\nbeat: advbase 1, advskew 0 on MASTER and 100 on BACKUP, one VIP, real-time priority of the unit\n"+
		"bare thread: one of that priority that sleeps and sends such a frame, with nothing else running, is the least that "+
		"it costs here\nCPU over %v; goal at most %d %% of a core on each node\n\n", fastOver, beatCPU)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  beat\tMASTER\tresult\tBACKUP\tresult\tbare thread\tMASTER / bare\t"+
		"late > 1, 2.5, 5 ms of 1,000\tbare thread")
	for _, r := range all {
		fmt.Fprintf(t, "  %v\t%.1f %%\t%s\t%.1f %%\t%s\t%.1f %%\t%.1f x\t%.1f, %.1f, %.1f\t%.1f, %.1f, %.1f\n", r.beat,
			r.cpu[0], reached(r.cpu[0], beatCPU), r.cpu[1], reached(r.cpu[1], beatCPU), r.bare.Percent,
			r.cpu[0]/r.bare.Percent, r.late[0], r.late[1], r.late[2], late(r.bare, time.Millisecond),
			late(r.bare, 2500*time.Microsecond), late(r.bare, 5*time.Millisecond))
	}
	f.flush(t)
	f.printGaps(all)
	holds := slices.IndexFunc(all, func(r beatFigures) bool { return max(r.cpu[0], r.cpu[1]) <= beatCPU })
	if holds >= 0 {
		fmt.Printf("\n  The first of these beats that costs at most %d %% of a core is %v.\n", beatCPU, all[holds].beat)
	} else {
		fmt.Printf("\n  None of these beats costs at most %d %% of a core here.\n", beatCPU)
	}
}

// printGaps prints what the crashes cost: of all, and of those in which no processor stood still.
func (f *fastBench) printGaps(all []beatFigures) {
	f.Helper()
	fmt.Printf("\n  gap of the client, %d crashes per beat, pings every %v; goal at most %d ms in 95 %% and %d ms in all"+
		"\n  stood still: a processor of this machine ran nothing for more than %v, or up to %v before\n"+
		"  restarted: beats had been missed while the MASTER lived, so that the BACKUP would have waited longer for a "+
		"minute\n",
		f.kills, beatSpacing, beatMost, beatAll, stillTime, stillBack)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(t, "  beat\tcrash\tmedian\t95 %\tlongest\tat most 5 ms\tat most 8 ms\t"+
		"BACKUP waits\tstood still\trestarted\tlongest stall of the pinger")
	for _, r := range all {
		both := slices.Concat(r.gaps[:]...)
		for i, name := range crashes {
			f.printGap(t, r, name, r.gaps[i])
		}
		f.printGap(t, r, "both", both)
		f.printGap(t, r, "of these, none stood still", slices.DeleteFunc(slices.Clone(both), func(g gap) bool {
			return g.stood > stillTime
		}))
	}
	f.flush(t)
}

func (f *fastBench) printGap(t *tabwriter.Writer, r beatFigures, name string, gaps []gap) {
	f.Helper()
	if len(gaps) == 0 {
		fmt.Fprintf(t, "  %v\t%s\t-\t-\t-\t0 of 0\t0 of 0\t%.1f ms\t0\t\t-\n", r.beat, name, beatWait(r.beat))
		return
	}
	ms := make([]float64, 0, len(gaps))
	stood, anew := 0, ""
	for _, g := range gaps {
		ms = append(ms, g.ms)
		if g.stood > stillTime {
			stood++
		}
	}
	if name == "both" {
		anew = strconv.Itoa(r.anew)
	}
	slices.Sort(ms)
	fmt.Fprintf(t, "  %v\t%s\t%.1f ms\t%.1f ms\t%.1f ms\t%d of %d\t%d of %d\t%.1f ms\t%d\t%s\t%.1f ms\n", r.beat, name,
		quantile(ms, 0.5), quantile(ms, 0.95), quantile(ms, 1), within(ms, beatMost), len(ms), within(ms, beatAll), len(ms),
		beatWait(r.beat), stood, anew, r.stall.Seconds()*1000)
}

// reached says whether a goal is.
func reached(figure, goal float64) string {
	if figure > goal {
		return fmt.Sprintf("missed by %.1f", figure-goal)
	}
	return "reached"
}

// within counts figures up to a bound.
func within(ascending []float64, most float64) int {
	n, _ := slices.BinarySearchFunc(ascending, most, func(x, most float64) int {
		return cmp.Or(cmp.Compare(x, most), -1) // those that equal it count
	})
	return n
}

// beatWait is how many milliseconds the BACKUP waits at most: three beats and its rank of 100.5/256.
func beatWait(beat time.Duration) float64 { return beat.Seconds() * 1000 * (3 + 100.5/256) }
