// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/tests/executable"
	"vipd/tests/lab"
)

// BenchmarkWakeupLag says how late the election loop wakes on a busy machine, without and with the real-time priority
// of packaging/vipd.service, and with that of the loop's first thread alone (as CPUSchedulingResetOnFork=yes would
// leave it): a MASTER with an interval of 3.9 ms for ten seconds, beside eight processes a core that do nothing but
// count.
func BenchmarkWakeupLag(b *testing.B) {
	for _, mode := range []struct{ name, chrt string }{
		{"idle", ""}, {"busy", ""}, {"busy_rr", "chrt -r 55"}, {"busy_rr_reset", "chrt -R -r 55"},
	} {
		b.Run(mode.name, func(b *testing.B) {
			for b.Loop() {
				wakeupLag(b, mode.chrt, mode.name != "idle")
			}
		})
	}
}

func wakeupLag(b *testing.B, chrt string, busy bool) {
	b.Helper()
	built, err := binaries()
	if err != nil {
		b.Fatal(err)
	}
	l := lab.New(b)
	host := l.NewHost("a")
	l.NewSegment("lan").Join(host, "eth0", addrA.String()+"/24")
	wrapped := filepath.Join(l.Dir(), "bin")
	if err := os.Mkdir(wrapped, 0o755); err != nil {
		b.Fatal(err)
	}
	executable.Script(b, filepath.Join(wrapped, "vipd"), "exec "+chrt+" "+filepath.Join(built, "vipd")+` "$@"`)
	n := host.NewNode(wrapped, lab.NodeConfig{Groups: []lab.Group{{
		Addresses: []string{vip.String() + "/24"}, AdvSkew: 1, Extra: "advbase = 0",
	}}})
	n.Start()
	n.WaitAnswering(group, patience)
	if busy {
		for range 8 * runtime.NumCPU() {
			host.Spawn("hog", "timeout", "60", "sh", "-c", "while :; do :; done")
		}
	}
	before := lagCounts(n.Metrics())
	time.Sleep(10 * time.Second)
	after := lagCounts(n.Metrics())
	total := after["+Inf"] - before["+Inf"]
	for _, le := range []string{"0.001", "0.005", "0.01", "0.025", "0.05", "0.1"} {
		b.ReportMetric(total-(after[le]-before[le]), "over_"+le+"s")
	}
	transitions := strings.Count(n.Proc().Output(), "from=MASTER")
	b.ReportMetric(float64(transitions), "lost_master")
	b.ReportMetric(total, "wakeups")
	for _, p := range []*lab.Node{n} {
		p.Kill9()
	}
}

// lagCounts returns the cumulated buckets of the histogram by their upper bound.
func lagCounts(text string) map[string]float64 {
	out := map[string]float64{}
	for line := range strings.Lines(text) {
		rest, ok := strings.CutPrefix(line, `vipd_agent_wakeup_lag_seconds_bucket{le="`)
		if !ok {
			continue
		}
		le, count, _ := strings.Cut(rest, `"} `)
		if v, err := strconv.ParseFloat(strings.TrimSpace(count), 64); err == nil {
			out[le] = v
		}
	}
	return out
}
