// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"testing"

	"vipd/loader/object"
)

// A group with one context does not keep the memory of eight.
func TestContextsKeepNoRoomForOthers(t *testing.T) {
	var c contextCounts
	c.replace(&object.BPFAuth{N: 1}, [MaxContexts]uint64{})
	if cap(c.ctxs) == MaxContexts || cap(c.base) == MaxContexts {
		t.Errorf("one context keeps room for %d and %d", cap(c.ctxs), cap(c.base))
	}
}
