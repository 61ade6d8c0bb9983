// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

const (
	fastStressVar = "VIPD_FAST_STRESS" // how long under stress, as Go writes durations; not by default
	fastMoves     = 0                  // the goal: transitions

	// stillBefore is how long before a transition a processor that stood still may have caused it.
	stillBefore = 100 * time.Millisecond
)

// stressTime returns the time of the variable, 0 if it is not set.
func stressTime(b *testing.B) time.Duration {
	b.Helper()
	text := os.Getenv(fastStressVar)
	if text == "" {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d <= 0 {
		b.Fatalf("%s: %q is not a duration; write it like 30m", fastStressVar, text)
	}
	return d
}

// stressBench is a pair of nodes with one group in fast mode and one per beat, so that all meet the same: a processor
// that stands still takes any group whose lease is shorter.
type stressBench struct {
	*fastBench
	paces []pace
}

// pace is how often a group advertises.
type pace struct {
	name    string
	group   string
	address netip.Addr
	counts  func(lab.GroupStatus) bool // the BACKUP waits for the MASTER as it does from then on
}

// stressRung is what was counted beside hogs.
type stressRung struct {
	moves   []float64     // transitions of both nodes, by pace
	seen    []move        // the newest of them
	late    [2]float64    // how often an election loop woke up more than 1 and 5 ms late
	longest time.Duration // that a processor stood still
	stills  int           // how often one did for more than 5 ms
}

// move is a transition under stress.
type move struct {
	api.Transition
	node  string
	stood time.Duration // how long a processor stood still in stillBefore
}

func newStressBench(b *testing.B, beats []time.Duration) *stressBench {
	b.Helper()
	s := &stressBench{}
	var configs [2]lab.NodeConfig
	add := func(name, extra string, skews [2]int, counts func(lab.GroupStatus) bool) {
		n := len(s.paces) + 1
		p := pace{name, fmt.Sprintf("eth0@%d", n), netip.AddrFrom4([4]byte{192, 0, 2, byte(100 + n)}), counts}
		s.paces = append(s.paces, p)
		for i := range configs {
			configs[i].Groups = append(configs[i].Groups, lab.Group{
				VHID: n, Addresses: []string{p.address.String() + "/24"}, AdvSkew: skews[i], Extra: extra,
			})
		}
	}
	add("fast mode", "advbase = 0\n", [2]int{fastMaster, fastBackup}, hearsMaster)
	for _, beat := range beats {
		add("beat "+beat.String(), fmt.Sprintf("beat = %q\n", beat), [2]int{0, 100}, countsBeats(beat))
	}
	s.fastBench = &fastBench{pair: newPair(b, configs[0], configs[1])}
	asShipped(b, s.a, s.b)
	return s
}

// run counts transitions beside hogs: of each kind, then of all together.
func (s *stressBench) run(lasting time.Duration) {
	s.Helper()
	s.a.Start()
	for _, p := range s.paces {
		s.a.WaitAnswering(p.group, upTimeout)
	}
	s.b.Start()
	for _, p := range s.paces {
		s.b.WaitFor(p.group, "is BACKUP and counts the adverts of a", patience, p.counts)
	}
	rungs := append(slices.Clone(hogKinds), strings.Join(hogKinds, " "))
	each := lasting / time.Duration(len(rungs))
	fmt.Printf("\ntransitions under stress, %v of each kind of hogs, two per CPU and kind; the goal is %d\n"+
		"fast mode: advbase 0, advskew %d and %d; beats: advskew 0 and 100; all groups on the same two nodes\n\n",
		each.Round(time.Second), fastMoves, fastMaster, fastBackup)
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 3, ' ', 0)
	row := func(head string, cell func(p pace, i int) string, tail string) {
		fmt.Fprintf(t, "  %s", head)
		for i, p := range s.paces {
			fmt.Fprintf(t, "\t%s", cell(p, i))
		}
		fmt.Fprintf(t, "\t%s\n", tail)
	}
	row("hogs", func(p pace, _ int) string { return p.name },
		"loop over 1 ms late\tover 5 ms\ta processor stood still, longest\tover 5 ms")
	sum := make([]float64, len(s.paces))
	var all []move
	processors := s.WatchProcessors()
	for _, kinds := range rungs {
		r := s.rung(processors, strings.Fields(kinds), each)
		row(kinds, func(_ pace, i int) string { return fmt.Sprintf("%.0f", r.moves[i]) }, fmt.Sprintf(
			"%.0f\t%.0f times\t%.1f ms\t%d times", r.late[0], r.late[1], r.longest.Seconds()*1000, r.stills))
		for i := range sum {
			sum[i] += r.moves[i]
		}
		all = append(all, r.seen...)
	}
	row("all rungs", func(_ pace, i int) string { return fmt.Sprintf("%.0f", sum[i]) }, "")
	if err := processors.Close(); err != nil {
		s.Errorf("%v", err)
	}
	row("result", func(_ pace, i int) string { return reached(sum[i], fastMoves) }, "")
	s.flush(t)
	for _, m := range all {
		fmt.Printf("  %s %s on %s: %s to %s, %s, %.1f ms late; a processor had stood still for %.1f ms\n",
			m.Time.Format("15:04:05.000"), m.Group, m.node, m.From, m.To, m.Reason, m.LagSeconds*1000,
			m.stood.Seconds()*1000)
	}
	for _, p := range s.paces {
		s.a.WaitAnswering(p.group, patience) // also after a transition: it is the better one
	}
}

// rung counts the transitions beside hogs of some kinds.
func (s *stressBench) rung(processors *lab.Processors, kinds []string, lasting time.Duration) (r stressRung) {
	s.Helper()
	began, lags, before := time.Now(), s.lags(), s.moves()
	hogs, err := startHogs(s.client, kinds, lasting)
	if err != nil {
		s.Fatalf("start the hogs: %v", err)
	}
	for end := time.Now().Add(lasting); time.Now().Before(end); {
		for _, p := range s.paces {
			s.oneOwner(p.address)
		}
		time.Sleep(min(time.Second, time.Until(end)))
	}
	for _, h := range hogs {
		h.Kill9()
		if out := h.Output(); out != "" {
			s.Errorf("%s did not load the machine: %s", h.Name, out)
		}
	}
	ended, after := time.Now(), s.lags()
	for i, bound := range [...]string{"0.001", "0.005"} {
		r.late[i] = after["+Inf"] - lags["+Inf"] - after[bound] + lags[bound]
	}
	r.longest, r.stills = processors.Longest(began, ended), processors.Count(began, ended, 5*time.Millisecond)
	r.moves = s.moves()
	for i := range r.moves {
		r.moves[i] -= before[i]
	}
	for _, n := range []*lab.Node{s.a, s.b} {
		for _, t := range history(s, n) {
			if t.Time.After(began) {
				r.seen = append(r.seen, move{t, n.Name, processors.Longest(t.Time.Add(-stillBefore), t.Time)})
			}
		}
	}
	slices.SortFunc(r.seen, func(x, y move) int { return x.Time.Compare(y.Time) })
	return r
}

// moves returns how many transitions both nodes have made, by pace.
func (s *stressBench) moves() []float64 {
	s.Helper()
	sums := make([]float64, len(s.paces))
	for i := range s.paces {
		for _, n := range []*lab.Node{s.a, s.b} {
			sums[i] += transitionsWith(n, fmt.Sprintf(`vhid="%d"`, i+1))
		}
	}
	return sums
}
