// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/agent/sim"
)

var (
	seedFlag  = flag.Uint64("sim.seed", 0, "the seed that TestSeed replays and explains")
	knownFlag = flag.Uint("sim.known", uint(sim.KnownAll), "the open findings that TestSeed goes around, as bits")
	timeFlag  = flag.Duration("sim.time", 0, "how long TestRandom tries random seeds; 0: a few fixed ones")
	mixedFlag = flag.Bool("sim.mixed", false, "TestSeed and TestRandom with BSD peers, IPv6, other timers and adoption")
	fastFlag  = flag.Bool("sim.fast", false, "TestSeed and TestRandom in fast mode, advbase 0")
	beatFlag  = flag.Bool("sim.beat", false, "TestSeed and TestRandom with beats")
	fromFlag  = flag.Uint64("sim.from", 0, "the first seed of TestRandom; 0 with -sim.time: a new one each time")
)

// scenario returns the scenario of a seed under the flags.
func scenario(seed uint64, known sim.Known, mixed, beat bool) sim.Scenario {
	s := sim.Random(seed).Around(known)
	if *fastFlag {
		s = s.Fast()
	}
	if mixed {
		s = s.Mixed()
	}
	if beat {
		s = s.Beating()
	}
	return s
}

// failSeed fails t with the command and the trace of a seed.
func failSeed(t *testing.T, seed uint64, known sim.Known, mixed, beat bool, r sim.Result) {
	t.Helper()
	flags := ""
	if known != sim.KnownAll {
		flags = fmt.Sprintf(" -sim.known=%d", known)
	}
	if *fastFlag {
		flags += " -sim.fast"
	}
	if mixed {
		flags += " -sim.mixed"
	}
	if beat {
		flags += " -sim.beat"
	}
	t.Errorf("seed %d: %v\nreplay with:\n\n\tgo test ./agent/sim -run '^TestSeed$' -count=1 -v -sim.seed=%d%s\n\n%s",
		seed, r.Violation, seed, flags, scenario(seed, known, mixed, beat).Explain())
}

// TestSeed replays a seed and prints its trace.
func TestSeed(t *testing.T) {
	if *seedFlag == 0 {
		t.Skip("no -sim.seed")
	}
	s := scenario(*seedFlag, sim.Known(*knownFlag), *mixedFlag, *beatFlag)
	r := s.Run()
	t.Logf("%d hosts, %d groups, %+v\n%s", s.Hosts, s.Groups, r.Stats, s.Explain())
	if r.Violation != nil {
		t.Fail()
	}
}

// TestRandom runs a fixed number of seeds, or as many as fit into -sim.time. It also checks that every simulated fault
// and reason occurs.
func TestRandom(t *testing.T) {
	t.Parallel()
	from, count, until := uint64(1), uint64(1500), time.Time{}
	if testing.Short() {
		count = 200
	}
	if *timeFlag > 0 {
		from, count, until = uint64(time.Now().UnixNano()), 1<<62, time.Now().Add(*timeFlag)
		t.Logf("first seed %d", from)
	}
	if *fromFlag > 0 {
		from = *fromFlag
	}
	var next, events, failed atomic.Uint64
	var mu sync.Mutex
	var sum sim.Stats
	var wg sync.WaitGroup
	began := time.Now()
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for failed.Load() < 5 {
				n := next.Add(1) - 1
				if n >= count || !until.IsZero() && time.Now().After(until) {
					return
				}
				// Every other run is mixed, and every fourth of either kind has beats.
				mixed := *mixedFlag || !*fastFlag && n%2 == 1
				beat := *beatFlag || n/2%4 == 3
				r := scenario(from+n, sim.KnownAll, mixed, beat).Run()
				events.Add(uint64(r.Stats.Total()))
				mu.Lock()
				sum.Add(r.Stats)
				mu.Unlock()
				if r.Violation != nil {
					failed.Add(1)
					failSeed(t, from+n, sim.KnownAll, mixed, beat, r)
				}
			}
		})
	}
	wg.Wait()
	t.Logf("%d seeds, %d events, %.2f million a second: %+v", next.Load(), events.Load(),
		float64(events.Load())/time.Since(began).Seconds()/1e6, sum)
	checkCoverage(t, sum)
}

// checkCoverage checks that every reason and fault occurred.
func checkCoverage(t *testing.T, s sim.Stats) {
	t.Helper()
	for _, r := range []election.Reason{
		election.ReasonMasterTimeout, election.ReasonPreempt, election.ReasonGoodbye, election.ReasonBetterAdvert,
		election.ReasonEqualAdvert, election.ReasonDemoted, election.ReasonLeaseExpired, election.ReasonLinkDown,
		election.ReasonLinkUp, election.ReasonSendFailed, election.ReasonDisabled,
	} {
		if s.Reasons[r] == 0 {
			t.Errorf("%v never happened", r)
		}
	}
	for name, n := range map[string]int{
		"overlap": s.Overlaps, "loss": s.Lost, "forgery": s.Forged, "rejection": s.Rejected, "full ring": s.RingFull,
		"withheld advert": s.Withheld, "takeover in beats": s.InBeats,
	} {
		if n == 0 {
			t.Errorf("no %s ever happened", name)
		}
	}
	for name, n := range s.Kinds() {
		if n == 0 && (!*fastFlag || name != "base") { // which would end fast mode
			t.Errorf("the fault %s never happened", name)
		}
	}
}

// lines returns the words of each line of a list of seeds, without comments.
func lines(t *testing.T, name string) [][]string {
	t.Helper()
	f, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var all [][]string
	for in := bufio.NewScanner(f); in.Scan(); {
		text, _, _ := strings.Cut(in.Text(), "#")
		if words := strings.Fields(text); len(words) > 0 {
			all = append(all, words)
		}
	}
	return all
}

// TestSeeds runs seeds that failed earlier.
func TestSeeds(t *testing.T) {
	t.Parallel()
	for _, words := range lines(t, "seeds.txt") {
		seed := number(t, words[0])
		if r := sim.Random(seed).Around(sim.KnownAll).Run(); r.Violation != nil {
			failSeed(t, seed, sim.KnownAll, false, false, r)
		}
	}
}

func number(t *testing.T, s string) (n uint64) {
	t.Helper()
	if _, err := fmt.Sscan(s, &n); err != nil {
		t.Fatalf("%q is not a number: %v", s, err)
	}
	return n
}

// TestOpenFindingsAreReported logs which open findings still fail, so that it is visible when a change closed one.
func TestOpenFindingsAreReported(t *testing.T) {
	t.Parallel()
	names := map[string]sim.Known{
		"aware": sim.KnownAware,
	}
	for _, words := range lines(t, "open.txt") {
		finding, ok := names[words[0]]
		if !ok {
			t.Fatalf("open.txt: %q is not a finding", words[0])
		}
		fails := 0
		for _, seed := range words[1:] {
			if r := sim.Random(number(t, seed)).Around(sim.KnownAll &^ finding).Run(); r.Violation != nil {
				fails++
			}
		}
		t.Logf("%s: %d of %d seeds fail", words[0], fails, len(words)-1)
		if fails == 0 {
			t.Logf("%s seems to be closed: take it out of sim.Known and open.txt, and move its seeds to seeds.txt", words[0])
		}
	}
}
