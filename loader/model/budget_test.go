// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// pin keeps the test on one CPU, since budgets are per CPU.
func pin(t *testing.T) {
	t.Helper()
	runtime.LockOSThread()
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	for cpu := 0; one.Count() == 0; cpu++ {
		if old.IsSet(cpu) {
			one.Set(cpu)
		}
	}
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.SchedSetaffinity(0, &old); err != nil {
			t.Error(err)
		}
		runtime.UnlockOSThread()
	})
}

// flood runs a frame n times within the kernel and returns what was counted.
func (h *Harness) flood(frame []byte, n uint32) map[string]uint64 {
	h.T.Helper()
	before := h.counters()
	if _, err := h.Plane.Objects.VipdXdp.Run(&ebpf.RunOptions{Data: frame, Repeat: n}); err != nil {
		h.T.Fatal(err)
	}
	return since(before, h.counters())
}

func from(src string, c carp) []byte {
	return Packet{Src: netip.MustParseAddr(src), Payload: c.bytes()}.Bytes()
}

func TestBudgetStrangers(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	master := FrameOf(Advert(100, 0, 0, 100)) // its interval outlasts a slow run
	h.Expect("the master", master, Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	if h.Seen().LimitedAt != 0 {
		t.Error("limited before anything was")
	}
	start := BootNow()
	got := h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 100))), 5000)
	spent := uint64(BootNow()-start) / 20e6
	if n := got["bad_hmac"]; n < 49 || n > 51+spent {
		t.Errorf("%d digests of strangers, want 50 and %d for the time", n, spent)
	}
	if got["bad_hmac"]+got["rate_limited"] != 5000 {
		t.Errorf("counted %v", got)
	}
	if l := h.Seen().LimitedAt; l < start || l > BootNow() {
		t.Errorf("limited at %d, not between %d and now", l, start)
	}
	// A spoofed source alone is not class 1: the counter has to fit.
	got = h.flood(FrameOf(damaged(Advert(1, 0, 0, 90))), 100)
	if n := got["bad_hmac"]; n > 2+uint64(BootNow()-start)/20e6 {
		t.Errorf("a counter from the past: %v", got)
	}
	for _, counter := range []uint64{99, 109, 1 << 40, 0} {
		if got = h.flood(FrameOf(damaged(Advert(1, 0, 0, counter))), 100); got["rate_limited"] < 50 {
			t.Errorf("counter %d is none of the next few after 100: %v", counter, got)
		}
	}
	for i := range uint64(9) {
		h.Expect(
			"the master goes on",
			FrameOf(Advert(100, 0, 0, 100+i)),
			Want{Verdict: XDPPass, Counts: count("received"), events: 1},
		)
	}
	time.Sleep(45 * time.Millisecond)
	got = h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 100))), 100)
	if n := got["bad_hmac"]; n < 2 || n > 30 {
		t.Errorf("%d digests after 45 ms, want about 2", n)
	}
}

// TestLimitedDoesNotGoBack: a CPU that last read the clock before another noted that a budget ran out leaves it at
// that.
func TestLimitedDoesNotGoBack(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Run(FrameOf(Advert(100, 0, 0, 100)))
	later := uint64(BootNow() + 3600e9)
	var seen object.BPFSeen
	if err := h.Plane.Objects.Seen.Lookup(h.Group.Slot(), &seen); err != nil {
		t.Fatal(err)
	}
	seen.LimitedAt = later
	if err := h.Plane.Objects.Seen.Put(h.Group.Slot(), seen); err != nil {
		t.Fatal(err)
	}
	if got := h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 7))), 1000); got["rate_limited"] == 0 {
		t.Fatalf("flood: %v", got)
	}
	if is := h.Seen().LimitedAt; is != int64(later) {
		t.Errorf("limited at %d, was %d", is, later)
	}
}

// TestBudgetOfManyContexts: a token of class 2 buys all contexts, so that a new source has
// its 50 adverts a second also while keys are being changed.
func TestBudgetOfManyContexts(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	s := GoldenSpec("192.0.2.1")
	for i := range tables.MaxContexts - 1 {
		s.Contexts = append(s.Contexts, tables.AuthContext{Key: []byte{byte(i)}, Prefix: s.Contexts[0].Prefix})
	}
	h.Fresh(s)
	h.Run(FrameOf(Advert(100, 0, 0, 100)))
	start := BootNow()
	got := h.flood(from("192.0.2.66", damaged(Advert(1, 0, 0, 7))), 1000)
	if n, spent := got["bad_hmac"], uint64(BootNow()-start)/20e6; n < 49 || n > 51+spent {
		t.Errorf("%d adverts of strangers were looked at, want 50 and %d for the time: %v", n, spent, got)
	}
}

// TestLastGoodContextFirst: the master's next advert costs one digest, whichever key it uses.
// What it was charged tells how many it cost.
func TestLastGoodContextFirst(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	s := GoldenSpec("192.0.2.1")
	golden := s.Contexts[0]
	s.Contexts = nil
	for i := range tables.MaxContexts - 1 {
		s.Contexts = append(s.Contexts, tables.AuthContext{Key: []byte{byte(i)}, Prefix: golden.Prefix})
	}
	s.Contexts = append(s.Contexts, golden)
	h.Fresh(s)
	const cost = 10_000 // CLASS1_COST_NS of bpf/budget.h
	digests := func(c carp) uint64 {
		t.Helper()
		was := make([]object.BPFBudget, ebpf.MustPossibleCPU())
		for cpu := range was {
			was[cpu] = object.BPFBudget{Class1: uint64(BootNow()) - 50e6}
		}
		if err := h.Plane.Objects.Budget.Put(h.Group.Slot(), was); err != nil {
			t.Fatal(err)
		}
		h.Run(FrameOf(c))
		now := make([]object.BPFBudget, len(was))
		if err := h.Plane.Objects.Budget.Lookup(h.Group.Slot(), &now); err != nil {
			t.Fatal(err)
		}
		n := uint64(0)
		for cpu := range now {
			n += (now[cpu].Class1 - was[cpu].Class1) / cost
		}
		return n
	}
	h.Expect("the master", FrameOf(Advert(100, 0, 0, 1)), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
	if n := digests(Advert(100, 0, 0, 2)); n != 1 {
		t.Errorf("the next one cost %d digests, want 1", n)
	}
	if n := digests(damaged(Advert(100, 0, 0, 3))); n != tables.MaxContexts {
		t.Errorf("a forged one cost %d digests, want one for each of %d contexts", n, tables.MaxContexts)
	}
}

func TestBudgetSpoofedMaster(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Run(FrameOf(Advert(100, 0, 0, 100)))
	start := BootNow()
	got := h.flood(FrameOf(damaged(Advert(1, 0, 0, 101))), 60000)
	spent := uint64(BootNow()-start) / 10e3
	if n := got["bad_hmac"]; n < 10000 || n > 10001+spent {
		t.Errorf("%d digests of class 1, want 10000 and at most %d for the time", n, spent)
	}
	h.drain()
	h.Expect("a new source still has its class", from("192.0.2.3", Advert(1, 0, 0, 9)),
		Want{Verdict: XDPPass, Counts: count("received"), events: 1})
}

// TestBudgetReserve: while the last good source is silent, its reserve serves others.
func TestBudgetReserve(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	stranger := from("192.0.2.66", damaged(Advert(1, 0, 0, 5)))
	serves := func(name string, yes bool) {
		t.Helper()
		got := h.flood(stranger, 1000)
		if limited := got["rate_limited"] > 0; limited == yes {
			t.Errorf("%s: %v", name, got)
		}
	}
	serves("nobody was heard yet", true)
	h.Fresh(GoldenSpec("192.0.2.1"))
	h.Run(FrameOf(Advert(0, 1, 0, 5))) // an interval of 3.9 ms
	time.Sleep(10 * time.Millisecond)
	serves("an interval was missed", true)
	h.Fresh(GoldenSpec("192.0.2.1"))
	h.Run(FrameOf(Advert(255, 255, 0, 5)))
	serves("goodbye", true)
	h.Fresh(GoldenSpec("192.0.2.1"))
	h.Run(FrameOf(Advert(100, 0, 0, 5)))
	serves("within the interval", false)
}
