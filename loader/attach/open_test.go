// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"os"
	"testing"

	"vipd/loader"
	"vipd/loader/internal/kerneltest"
)

// openTest opens a small data plane, which has to leave nothing behind.
func openTest(t testing.TB, o loader.Options) *loader.Dataplane {
	t.Helper()
	o.MaxGroups, o.MaxVIPs = 16, 64
	kerneltest.Require(t, kerneltest.BPF)
	if o.Dir == "" {
		o.Dir = kerneltest.TestDir()
	}
	d, err := loader.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(o.Dir); err == nil {
			t.Errorf("%s is left", o.Dir)
		}
	})
	return d
}
