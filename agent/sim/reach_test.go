// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"testing"
	"time"

	"vipd/agent/sim"
)

// wide is many hosts on one segment with one group; deep is many groups on fewer hosts.
func wide(hosts int, virtual time.Duration) sim.Scenario {
	return sim.Scenario{
		Seed: 1, Hosts: hosts, Groups: 1, AdvBase: 1, Skews: sim.SkewsSpread, Preempt: true,
		Trailers: sim.TrailersRequired, Latency: time.Millisecond, Drift: 50, Course: sim.Course{Chaos: virtual},
	}
}

func deep(hosts, groups int, virtual time.Duration) sim.Scenario {
	s := wide(hosts, virtual)
	s.Groups = groups
	return s
}

func report(tb testing.TB, s sim.Scenario, r sim.Result, took time.Duration) {
	tb.Helper()
	if r.Violation != nil {
		tb.Fatal(r.Violation)
	}
	tb.Logf("%d hosts, %d groups, %v virtual: %.1f s, %d deliveries, %d adverts, %d steps, %d transitions; "+
		"%.2f million events per second",
		s.Hosts, s.Groups, r.Virtual, took.Seconds(), r.Stats.Deliveries, r.Stats.Adverts, r.Stats.Steps, r.Stats.Transitions,
		float64(r.Stats.Total())/took.Seconds()/1e6)
}

// TestLargeSegmentsRunInSeconds is the short version of BenchmarkReach.
func TestLargeSegmentsRunInSeconds(t *testing.T) {
	t.Parallel()
	all := []sim.Scenario{wide(2000, time.Minute), deep(40, 255, 15*time.Second)}
	if testing.Short() {
		all = []sim.Scenario{wide(500, 20*time.Second), deep(10, 64, 10*time.Second)}
	}
	for _, s := range all {
		start := time.Now()
		r := s.Run()
		report(t, s, r, time.Since(start))
		// One advert a second to everybody else, once the first claims are made.
		if least := (s.Hosts - 1) * s.Groups * int(s.Chaos/time.Second-5); r.Stats.Deliveries < least {
			t.Errorf("%d deliveries, want %d or more", r.Stats.Deliveries, least)
		}
	}
}

// BenchmarkReach runs what one core can simulate in about a minute:
//
//	go test ./agent/sim -run '^$' -bench Reach -benchtime 1x
func BenchmarkReach(b *testing.B) {
	for _, c := range []struct {
		name string
		s    sim.Scenario
	}{
		{"wide", wide(5000, time.Hour)},
		{"deep", deep(200, 255, 10*time.Minute)},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				start := time.Now()
				r := c.s.Run()
				report(b, c.s, r, time.Since(start))
			}
		})
	}
}
