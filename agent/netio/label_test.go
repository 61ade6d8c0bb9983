// SPDX-License-Identifier: Apache-2.0

package netio

import "testing"

func TestLabelFits(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		ifname string
		vhid   uint8
		want   string
	}{
		{"eth0", 1, "eth0:carp1"},
		{"enp129s0", 255, "enp129s0:c255"},
		{"enp129s0f0", 1, "enp129s0f0:c1"},
		{"enp129s0f0", 255, "enp129s0f0:c255"},
		{"enp129s0f0n", 255, "enp129s0f0n:255"},
		{"enp129s0f0np0", 1, "enp129s0f0np0:1"},
		{"enp129s0f0np0", 255, "enp129s:carp255"},
		{"enp129s0f0np01", 1, "enp129s0f:carp1"},
		{"enp129s0f0np012", 1, "enp129s0f:carp1"},
		{"enp129s0f0np012", 255, "enp129s:carp255"},
	} {
		got := Label(c.ifname, c.vhid)
		if got != c.want {
			t.Errorf("label of %s and VHID %d is %q, want %q", c.ifname, c.vhid, got, c.want)
		}
		if len(got) > maxLabel || got == c.ifname {
			t.Errorf("label %q of %s has %d bytes", got, c.ifname, len(got))
		}
	}
}
