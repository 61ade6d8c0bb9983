// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/loader/internal/kerneltest"
)

// TestAnswersUnseen: who goes on asking everybody for an address sees none of our
// answers; who asks the virtual MAC, once a while, or as many, is an ordinary client.
func TestAnswersUnseen(t *testing.T) {
	vip4 := netip.MustParseAddr("192.0.2.1")
	ask := func(from string, unicast bool) []byte {
		a := ARPFor(vip4.String())
		a.SIP = from
		if unicast {
			a.DstMAC = VMAC(1)
		}
		return a.Bytes()
	}
	same := func(f []byte, n int) (out [][]byte) {
		for range n {
			out = append(out, f)
		}
		return out
	}
	// The counters are each CPU's own.
	var all, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	one.Set(0)
	everybody, unicast, probe := ask("192.0.2.2", false), ask("192.0.2.2", true), ask("0.0.0.0", false)
	for _, tc := range []struct {
		name   string
		vip    netip.Addr
		frames [][]byte
		pause  time.Duration
		unseen bool
	}{
		{"three", vip4, same(everybody, 3), 0, false},
		{"four", vip4, same(everybody, 4), 0, true},
		{"one a second", vip4, same(everybody, 4), 1010 * time.Millisecond, true},
		{"seldom", vip4, same(everybody, 4), 1600 * time.Millisecond, false},
		{"to the virtual MAC", vip4, same(unicast, 8), 0, false},
		{
			"answered meanwhile",
			vip4,
			[][]byte{everybody, everybody, everybody, unicast, everybody, everybody, everybody},
			0,
			false,
		},
		{"probes", vip4, same(probe, 8), 0, false},
		{
			"two together",
			vip4,
			[][]byte{everybody, ask("192.0.2.3", false), everybody, ask("192.0.2.3", false), everybody, everybody},
			0,
			true,
		},
		{"nd", VIP6, same(NDFor(VIP6).Bytes(), 4), 0, true},
		{"dad", VIP6, same(dadFor(VIP6).Bytes(), 8), 0, false},
		{"nd to the virtual MAC", VIP6, same(unicastND(VIP6).Bytes(), 8), 0, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			// A subtest is another goroutine.
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			if err := unix.SchedSetaffinity(0, &one); err != nil {
				t.Fatal(err)
			}
			defer func() { _ = unix.SchedSetaffinity(0, &all) }()
			h := NewHarness(t, DualVIPs()...)
			h.Master(1)
			before := BootNow()
			for i, f := range tc.frames {
				if i > 0 {
					time.Sleep(tc.pause)
				}
				if verdict, _ := h.Run(f); verdict != XDPTX {
					t.Fatalf("frame %d: verdict %d", i, verdict)
				}
			}
			at := kerneltest.Must(h.Group.VIPStats()).Of(tc.vip).UnseenAt
			if (at != 0) != tc.unseen || at != 0 && (at < before-20e6 || at > BootNow()) {
				t.Errorf("unseen at %d, want %v", at, tc.unseen)
			}
		})
	}
}
