// SPDX-License-Identifier: Apache-2.0

package config

import (
	"testing"
	"time"
)

func TestDurationText(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"500ms": 500 * time.Millisecond, "0s": 0, "10s": 10 * time.Second, "1m": time.Minute, "1m30s": 90 * time.Second,
		"10m": 10 * time.Minute, "1h": time.Hour, "1h10m": 70 * time.Minute, "1h0m5s": time.Hour + 5*time.Second,
	} {
		if got := durationText(d); got != want {
			t.Errorf("durationText(%d) = %s, want %s", d, got, want)
		}
		if back, err := time.ParseDuration(want); err != nil || back != d {
			t.Errorf("%s is %v, %v", want, back, err)
		}
	}
}
