// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"testing"

	"vipd/agent/control/api"
)

func TestDataplaneText(t *testing.T) {
	t.Parallel()
	for want, d := range map[string]api.Dataplane{
		"not attached":            {},
		"XDP native":              {Mode: "native"},
		"XDP generic, egress tcx": {Mode: "generic", Egress: "tcx"},
		"tc ingress, egress clsact; eth0 has another XDP program": {
			Mode:   "tc",
			Egress: "clsact",
			Note:   "eth0 has another XDP program",
		},
		"XDP generic; programs detached by another process and reattached: 2": {
			Mode: "generic", ProgramsLost: 2,
		},
		"XDP native on eth0; 3 frames dropped because their VLAN tags could not be restored": {
			Mode: "native", Parent: "eth0", TagsLost: 3,
		},
		"XDP native on eth0, egress tcx": {
			Mode: "native", Parent: "eth0", Egress: "tcx",
		},
	} {
		if got := dataplaneText(&d); got != want {
			t.Errorf("%+v: %q, want %q", d, got, want)
		}
	}
}
