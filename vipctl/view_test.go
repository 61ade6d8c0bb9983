// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"testing"
)

func TestNatural(t *testing.T) {
	t.Parallel()
	names := []string{"a", "eth", "eth0", "eth00", "eth0.7", "eth0.10", "eth2", "eth10", "wan"}
	for i, a := range names {
		for j, b := range names {
			if got := natural(a, b); got < 0 != (i < j) || got == 0 != (i == j) {
				t.Errorf("natural(%q, %q) = %d", a, b, got)
			}
		}
	}
}
