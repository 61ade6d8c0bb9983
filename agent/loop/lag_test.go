// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// TestSlowRounds: a round is slow after a quarter of the shortest lease, which is logged once a minute and always
// counted.
func TestSlowRounds(t *testing.T) {
	t.Parallel()
	fast := testGroup("eth0", 2, "192.0.2.2/24")
	fast.AdvBase, fast.AdvSkew = 0, 128 // a lease of 1.5 s
	b := newBench(t, testGroup("eth0", 1, "192.0.2.1/24"), fast)
	var log bytes.Buffer
	b.Loop.log = slog.New(slog.NewTextHandler(&log, nil))
	round := func(took time.Duration) {
		began := b.clock.Now()
		b.now += int64(took)
		b.noteRound(began, b.clock.Now())
	}
	slow := func(counted, logged int) {
		t.Helper()
		b.metrics.Outdate() // pages are shared for a while
		w := httptest.NewRecorder()
		b.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
		_, after, _ := strings.Cut(w.Body.String(), "\nvipd_agent_slow_rounds_total ")
		value, _, _ := strings.Cut(after, "\n")
		if lines := strings.Count(log.String(), "level=WARN"); value != string(rune('0'+counted)) || lines != logged {
			t.Errorf("%q slow rounds counted, want %d; %d logged, want %d:\n%s", value, counted, lines, logged, &log)
		}
	}
	round(370 * time.Millisecond)
	slow(0, 0)
	round(380 * time.Millisecond)
	slow(1, 1)
	round(time.Second)
	round(time.Second)
	slow(3, 1)
	b.now += int64(slowAgain)
	round(time.Second)
	slow(4, 2)
	if !strings.Contains(log.String(), "took=1s") || !strings.Contains(log.String(), "slow_rounds=3") {
		t.Errorf("the log does not say how long and how many: %s", &log)
	}
}
