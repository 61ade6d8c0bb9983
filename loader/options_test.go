// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"vipd/loader/object"
)

// TestDefaultBounds holds the bounds of both sides together.
func TestDefaultBounds(t *testing.T) {
	s, err := object.LoadBPF()
	if err != nil {
		t.Fatal(err)
	}
	if n := s.Maps[object.BPFMapGroups].MaxEntries; n != DefaultMaxGroups {
		t.Errorf("%d groups in C", n)
	}
	if n := s.Maps[object.BPFMapVips].MaxEntries; n != DefaultMaxVIPs {
		t.Errorf("%d vips in C", n)
	}
}
