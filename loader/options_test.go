// SPDX-License-Identifier: Apache-2.0

package loader

import "testing"

// TestRoom: new tables follow the config, and a reload can add some groups.
func TestRoom(t *testing.T) {
	for _, tc := range []struct{ groups, vips, maxGroups, maxVIPs int }{
		{0, 0, 256, 1024},
		{200, 800, 256, 1024},
		{1020, 1020, 1280, 1280},
		{16384, 32768, 20480, 40960},
	} {
		o := Options{Groups: tc.groups, VIPs: tc.vips}.withDefaults()
		if o.MaxGroups != tc.maxGroups || o.MaxVIPs != tc.maxVIPs {
			t.Errorf("%d groups, %d VIPs: room for %d and %d, want %d and %d", tc.groups, tc.vips, o.MaxGroups, o.MaxVIPs,
				tc.maxGroups, tc.maxVIPs)
		}
	}
}
