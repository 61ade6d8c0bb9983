// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"testing"
	"time"
)

func TestAge(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]time.Duration{
		"0.0s": -time.Second, "0.4s": 400 * time.Millisecond, "59s": 59 * time.Second, "1m5s": 65 * time.Second,
		"2h0m": 2 * time.Hour, "3d4h": 76 * time.Hour,
	} {
		if got := age(d); got != want {
			t.Errorf("age(%v) = %q, want %q", d, got, want)
		}
	}
}
