// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"

	"github.com/cilium/ebpf"

	"vipd/loader/tables"
)

// TestLeaseEndsOnTime: the clock is not read for every frame (bpf/clock.h), and still nothing is answered that came
// after the end of the lease, by ARP, at the virtual MAC or on the way out.
func TestLeaseEndsOnTime(t *testing.T) {
	h := NewHarness(t)
	arp := ARPFor("192.0.2.1").Bytes()
	mac := Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes()
	out := Packet{Src: GoldenSpec("192.0.2.1").VIPs[0], Proto: 17, Payload: make([]byte, 30)}.Bytes()
	for _, way := range []struct {
		name  string
		prog  *ebpf.Program
		frame []byte
		speak uint32
	}{
		{"arp", h.Plane.Objects.VipdXdp, arp, XDPTX},
		{"virtual mac", h.Plane.Objects.VipdXdp, mac, XDPPass},
		{"egress", h.Plane.Objects.VipdEgress, out, TCUnspec},
	} {
		// Longer than the slack, so that both ways of knowing are taken.
		lease := BootNow() + 1_100e6
		h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: h.Group.Generation() + 1, Lease: lease})
		spoke, late := 0, 0
		for late < 100 {
			before := BootNow()
			verdict, _ := RunProg(t, way.prog, way.frame)
			switch {
			case before >= lease && verdict == way.speak:
				t.Fatalf("%s: spoke %d ns after the end of the lease", way.name, before-lease)
			case before >= lease:
				late++
			case verdict == way.speak:
				spoke++
			case BootNow() < lease:
				t.Fatalf("%s: silent %d ns before the end of the lease", way.name, lease-BootNow())
			}
		}
		if spoke < 100 {
			t.Errorf("%s: spoke %d times in the lease", way.name, spoke)
		}
	}
}
