// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"github.com/cilium/ebpf"
)

// TestLeaseEndsOnTime: the clock is not read for every frame (bpf/clock.h), and still nothing is answered that came
// after the end of the lease, by ARP, at the virtual MAC or on the way out.
func TestLeaseEndsOnTime(t *testing.T) {
	h := newHarness(t)
	arp := arpFor("192.0.2.1").bytes()
	mac := packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes()
	out := packet{src: goldenSpec("192.0.2.1").VIPs[0], proto: 17, payload: make([]byte, 30)}.bytes()
	for _, way := range []struct {
		name  string
		prog  *ebpf.Program
		frame []byte
		speak uint32
	}{
		{"arp", h.d.objs.VipdXdp, arp, xdpTX},
		{"virtual mac", h.d.objs.VipdXdp, mac, xdpPass},
		{"egress", h.d.objs.VipdEgress, out, tcUnspec},
	} {
		// Longer than the slack, so that both ways of knowing are taken.
		lease := bootNow() + 1_100e6
		h.g.SetRole(Role{State: RoleMaster, Generation: h.g.Generation() + 1, Lease: lease})
		spoke, late := 0, 0
		for late < 100 {
			before := bootNow()
			verdict, _ := runProg(t, way.prog, way.frame)
			switch {
			case before >= lease && verdict == way.speak:
				t.Fatalf("%s: spoke %d ns after the end of the lease", way.name, before-lease)
			case before >= lease:
				late++
			case verdict == way.speak:
				spoke++
			case bootNow() < lease:
				t.Fatalf("%s: silent %d ns before the end of the lease", way.name, lease-bootNow())
			}
		}
		if spoke < 100 {
			t.Errorf("%s: spoke %d times in the lease", way.name, spoke)
		}
	}
}
