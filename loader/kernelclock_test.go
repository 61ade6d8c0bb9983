// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"strings"
	"testing"
	"time"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
)

func TestClockOfTheKernel(t *testing.T) {
	kerneltest.Require(t, kerneltest.BPF)
	now := model.BootNow
	if err := CheckClock(now); err != nil {
		t.Error(err)
	}
	for _, off := range []time.Duration{time.Hour, -time.Hour, 20 * time.Millisecond, -20 * time.Millisecond} {
		err := CheckClock(func() int64 { return now() + int64(off) })
		if !errors.Is(err, ErrClock) || !strings.Contains(err.Error(), "nsenter --time=/proc/1/ns/time") {
			t.Errorf("off by %s: %v", off, err)
		}
	}
}
