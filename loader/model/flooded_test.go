// SPDX-License-Identifier: Apache-2.0

package model

import (
	"cmp"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
	"vipd/loader/tables"
)

// spend leaves no token in either class for some seconds, as a flood that goes on does:
// on these CPUs, or on all if none are given.
func (h *Harness) spend(cpus ...int) {
	h.T.Helper()
	spent := make([]object.BPFBudget, ebpf.MustPossibleCPU())
	if err := h.Plane.Objects.Budget.Lookup(h.Group.Slot(), &spent); err != nil {
		h.T.Fatal(err)
	}
	until := uint64(BootNow()) + 60e9
	for cpu := range spent {
		if len(cpus) == 0 || slices.Contains(cpus, cpu) {
			spent[cpu] = object.BPFBudget{Class1: until, Class2: until}
		}
	}
	if err := h.Plane.Objects.Budget.Put(h.Group.Slot(), spent); err != nil {
		h.T.Fatal(err)
	}
}

// TestFloodFollowsTheCounter: an attacker on the segment sees the master's adverts, and floods with its address and
// the number that comes next. No budget is left then. A master with trailers is heard all the same, and what is refused
// says nothing about it.
func TestFloodFollowsTheCounter(t *testing.T) {
	h := NewHarness(t)
	s := ProvenSpec("192.0.2.1")
	other := [16]byte{1}
	s.Contexts = append(s.Contexts,
		tables.AuthContext{Key: []byte("new"), Prefix: s.Contexts[0].Prefix, TrailerKey: other})
	h.Fresh(s)
	p := prio(100, 0, 0)
	limited := Want{Verdict: xdpDrop, Counts: count("rate_limited")}
	last := provenAdvert(10, PeerAddr, p)
	h.Expect("the master", FrameOf(last), wellHeard)
	h.spend()
	next := provenAdvert(11, PeerAddr, p)
	forged := next
	forged.base = 1
	h.Expect("the master's own, another priority", FrameOf(forged), limited)
	h.Expect("the master's own, another digest", FrameOf(damaged(next)), limited)
	if h.Seen().LimitedAt != 0 {
		t.Error("the agent is told that silence proves nothing")
	}
	stripped := next
	stripped.trailer = nil
	h.Expect("the master's own, stripped", FrameOf(stripped), badTrailer)
	h.Expect("the last once more", FrameOf(last), replayed)
	h.Expect("from a stranger", from("192.0.2.66", stripped), limited)
	if h.Seen().LimitedAt == 0 {
		t.Error("the agent is not told that adverts were refused unread")
	}
	h.Expect("the master goes on", FrameOf(next), wellHeard)
	h.Expect("and that once more", FrameOf(next), replayed)
	rotated := carp{vhid: 1, base: 100, counter: 12}
	rotated.digest = digest([]byte("new"), s.Contexts[1].Prefix, rotated.counter)
	h.Expect("the master, with its new key", FrameOf(rotated.provenBy(other, PeerAddr)), wellHeard)
	goodbye := carp{vhid: 1, base: 255, skew: 255, counter: 13}
	goodbye.digest = digest([]byte("new"), s.Contexts[1].Prefix, goodbye.counter)
	h.Expect("its goodbye", FrameOf(goodbye.provenBy(other, PeerAddr)), wellHeard)
}

// TestFloodOnAnotherCPU: budgets are each CPU's own, what a group has heard is not. So
// where the flood takes one CPU the master is heard on another, and its next advert is of
// class 1 on whatever CPU the NIC puts it.
func TestFloodOnAnotherCPU(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	var cpus []int
	for cpu := 0; len(cpus) < min(2, all.Count()); cpu++ {
		if all.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	if len(cpus) < 2 {
		t.Skip("one CPU")
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	on := func(cpu int) {
		t.Helper()
		var one unix.CPUSet
		one.Set(cpu)
		if err := unix.SchedSetaffinity(0, &one); err != nil {
			t.Fatal(err)
		}
	}
	defer func() {
		if err := unix.SchedSetaffinity(0, &all); err != nil {
			t.Error(err)
		}
	}()
	h := NewHarness(t)
	heard := Want{Verdict: XDPPass, Counts: count("received"), events: 1}
	limited := Want{Verdict: xdpDrop, Counts: count("rate_limited")}
	on(cpus[0])
	h.Expect("the master", FrameOf(Advert(100, 0, 0, 1)), heard)
	h.spend(cpus[0])
	h.Expect("on the flooded one", FrameOf(Advert(100, 0, 0, 2)), limited)
	on(cpus[1])
	stranger := from("192.0.2.66", damaged(Advert(1, 0, 0, 2)))
	if got := h.flood(stranger, 1000); got["rate_limited"] < 900 { // uses class 2 up
		t.Errorf("strangers: %v", got)
	}
	for counter := range uint64(5) {
		h.Expect("on another", FrameOf(Advert(100, 0, 0, 2+counter)), heard)
	}
	h.spend(cpus[1])
	h.Expect("flooded as well", FrameOf(Advert(100, 0, 0, 7)), limited)
	on(cpus[0])
	h.Expect("the first one's are still spent", FrameOf(Advert(100, 0, 0, 7)), limited)
}

// TestFloodAroundALateMaster: a master that is some milliseconds late is silent by the letter, and its reserve is lent
// to strangers. A flood of them must not find the bottom of it: without a trailer the master would not be heard then.
func TestFloodAroundALateMaster(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	h.Run(FrameOf(Advert(0, 1, 0, 5))) // an interval of 3.9 ms
	time.Sleep(5 * time.Millisecond)
	before := h.counters()
	stranger := &ebpf.RunOptions{Data: from("192.0.2.66", damaged(Advert(0, 1, 0, 5))), Repeat: 40_000}
	least := int64(10_000)
	for range 10 { // what a pause of the machine gives back at the end of one flood it does not at all of them
		if _, err := h.Plane.Objects.VipdXdp.Run(stranger); err != nil {
			t.Fatal(err)
		}
		now := BootNow()
		var spent []object.BPFBudget
		if err := h.Plane.Objects.Budget.Lookup(h.Group.Slot(), &spent); err != nil {
			t.Fatal(err)
		}
		class1 := slices.MaxFunc(spent, func(a, b object.BPFBudget) int { return cmp.Compare(a.Class1, b.Class1) }).Class1
		least = min(least, (now-int64(class1))/10_000)
	}
	if counted := since(before, h.counters()); counted["bad_hmac"] < 5000 || counted["rate_limited"] == 0 {
		t.Fatalf("nothing was lent, or all: %v", counted)
	}
	if least < 5000 {
		t.Errorf("%d of the master's 10000 digests were left", least)
	}
}
