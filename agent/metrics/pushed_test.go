// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// TestPushedAsTheLibrary: pushed series are written as the library writes its own.
func TestPushedAsTheLibrary(t *testing.T) {
	t.Parallel()
	m := New(&fixed{}, Options{})
	registry := prometheus.NewRegistry()
	group := []string{"interface", "vhid"}
	transitions := prometheus.NewCounterVec(
		prometheus.CounterOpts{Name: nameTransitions, Help: "h"},
		append(group, "from", "to", "reason"),
	)
	runs := prometheus.NewCounterVec(prometheus.CounterOpts{Name: nameHookRuns, Help: "h"}, append(group, "outcome"))
	durations := prometheus.NewHistogramVec(
		prometheus.HistogramOpts{Name: nameHookDuration, Help: "h", Buckets: hookBuckets()},
		group,
	)
	registry.MustRegister(transitions, runs, durations)
	for n := range 300 {
		ifname, vhid := fmt.Sprintf("eth%d", n*7%3), uint8(n*5%12+1)
		from, reason := states()[n%3], []string{"startup", "preempt"}[n%2]
		m.ObserveTransition(ifname, vhid, from, "MASTER", reason)
		transitions.WithLabelValues(ifname, vhidLabel(vhid), from, "MASTER", reason).Inc()
		m.PrepareHook(ifname, vhid)
		for _, o := range hookOutcomes() {
			runs.WithLabelValues(ifname, vhidLabel(vhid), o)
		}
		durations.WithLabelValues(ifname, vhidLabel(vhid))
		if vhid == 1 { // the hook of this one never runs
			continue
		}
		took := []time.Duration{0, 5 * time.Millisecond, 10 * time.Millisecond, 30 * time.Second, time.Minute, time.Hour}[n%6]
		m.ObserveHook(ifname, vhid, "ok", took)
		runs.WithLabelValues(ifname, vhidLabel(vhid), "ok").Inc()
		if took > 0 {
			durations.WithLabelValues(ifname, vhidLabel(vhid)).Observe(took.Seconds())
		}
	}
	var want bytes.Buffer
	registered, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range registered {
		if _, err := expfmt.MetricFamilyToText(&want, f); err != nil {
			t.Fatal(err)
		}
	}
	_, got := scrape(t, m)
	if want, got := samples(want.String()), samples(string(got)); len(want) < 200 {
		t.Errorf("only %d samples: the test compares too few", len(want))
	} else if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("samples (-the library's +ours):\n%s", diff)
	}
}

// samples returns the lines of the pushed metrics.
func samples(page string) []string {
	return slices.DeleteFunc(strings.Split(page, "\n"), func(line string) bool {
		return !strings.HasPrefix(line, nameTransitions) && !strings.HasPrefix(line, nameHookRuns) &&
			!strings.HasPrefix(line, nameHookDuration)
	})
}

// TestPushedMeanwhile: groups are added and removed while they are counted and scraped.
func TestPushedMeanwhile(t *testing.T) {
	t.Parallel()
	m := New(&fixed{}, Options{})
	var workers sync.WaitGroup
	for vhid := range uint8(8) {
		workers.Go(func() {
			for n := range 200 {
				m.PrepareHook("eth0", vhid)
				m.ObserveTransition("eth0", vhid, "BACKUP", "MASTER", "preempt")
				m.ObserveTransition("eth1", 1, "BACKUP", "MASTER", "preempt")
				m.ObserveHook("eth0", vhid, "ok", time.Second)
				if n%20 == 10 {
					m.ForgetGroup("eth0", vhid)
				}
			}
		})
	}
	for range 20 {
		scrape(t, m)
	}
	workers.Wait()
	_, body := scrape(t, m)
	for _, want := range []string{
		`vipd_transitions_total{from="BACKUP",interface="eth1",reason="preempt",to="MASTER",vhid="1"} 1600`,
		`vipd_transitions_total{from="BACKUP",interface="eth0",reason="preempt",to="MASTER",vhid="7"} 9`,
		`vipd_hook_duration_seconds_count{interface="eth0",vhid="7"} 9`,
	} {
		if !strings.Contains(string(body), want+"\n") {
			t.Errorf("no %s", want)
		}
	}
}
