// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"testing"
)

// During a reload there are the groups of both configs, and of a group that changes the longer list of addresses.
func TestDuringReload(t *testing.T) {
	t.Parallel()
	group := func(vhid uint8, addresses int) Group {
		return Group{Interface: "eth0", VHID: vhid, Addresses: make([]netip.Prefix, addresses)}
	}
	was := &Config{Groups: []Group{group(1, 2), group(2, 3), group(3, 1)}}
	next := &Config{Groups: []Group{group(1, 5), group(2, 1), group(4, 7)}}
	if got, want := was.DuringReload(next), (Size{Groups: 4, Addresses: 5 + 3 + 1 + 7}); got != want {
		t.Errorf("%+v, want %+v", got, want)
	}
	if got, want := was.DuringReload(was), was.Size(); got != want {
		t.Errorf("without a change: %+v, want %+v", got, want)
	}
	for _, tc := range []struct {
		room   Size
		within bool
	}{{Size{3, 6}, true}, {Size{2, 6}, false}, {Size{3, 5}, false}} {
		if was.Size().Within(tc.room) != tc.within {
			t.Errorf("%+v within %+v: %v", was.Size(), tc.room, !tc.within)
		}
	}
}
