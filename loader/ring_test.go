// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"runtime"
	"slices"
	"testing"
	"time"

	"vipd/loader/internal/kerneltest"
)

func TestEvent(t *testing.T) {
	h := newHarness(t)
	h.g.SetRole(Role{State: RoleBackup, Generation: 42})
	before := bootNow()
	h.run(frameOf(advert(3, 4, 5, 6)))
	select {
	case <-h.d.Wake():
	case <-time.After(5 * time.Second):
		t.Fatal("no token")
	}
	evs := h.drain()
	if len(evs) != 1 {
		t.Fatalf("%d events", len(evs))
	}
	e := evs[0]
	if e.At < before || e.At > bootNow() {
		t.Errorf("at %d, not between %d and now", e.At, before)
	}
	want := Event{
		At: e.At, IfIndex: loIndex, VHID: 1, Slot: h.g.Slot(), Generation: 42, Src: peerAddr, SrcMAC: vmac(1),
		AdvBase: 3, AdvSkew: 4, Demote: 5, Counter: 6, TTL: 255, DemoteAware: true, DemoteEver: true,
	}
	if e != want {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
	s := h.seen()
	if s.Event != want || s.Count != 1 || s.YieldedGeneration != 0 {
		t.Errorf("recorded %+v", s)
	}
}

// TestWake: each batch is announced, also one that arrives while nobody listens.
func TestWake(t *testing.T) {
	h := newHarness(t)
	for i := range 200 {
		h.run(frameOf(advert(1, 0, 0, uint64(i))))
		if i%3 == 0 { // drained without taking the token, as on a timer
			if n := len(h.drain()); n != 1 {
				t.Fatalf("round %d: %d events", i, n)
			}
			continue
		}
		for got := 0; got == 0; { // a token of an earlier batch finds nothing
			select {
			case <-h.d.Wake():
			case <-time.After(5 * time.Second):
				t.Fatalf("round %d: no token", i)
			}
			got = len(h.drain())
		}
	}
}

func TestRingFull(t *testing.T) {
	pin(t)
	h := newHarness(t)
	frame := frameOf(advert(1, 0, 0, 7))
	var received, lost uint64
	for range 4 {
		got := h.flood(frame, 8000)
		received += got["received"]
		lost += got["events_lost"]
		time.Sleep(110 * time.Millisecond) // class 1 has to recover
	}
	if received != 32000 || lost == 0 {
		t.Fatalf("received %d, lost %d", received, lost)
	}
	h.master(1)
	h.g.SetSentPriority(Priority{AdvBase: 1})
	if v, _ := h.run(frame); v != xdpPass {
		t.Errorf("verdict %d with a full ring", v)
	}
	if s := h.seen(); s.Count != received+1 || s.YieldedGeneration != 1 {
		t.Errorf("with a full ring: count %d, yielded %d", s.Count, s.YieldedGeneration)
	}
	evs := h.drain()
	if uint64(len(evs)) != received-lost {
		t.Errorf("%d events, want %d", len(evs), received-lost)
	}
	if !slices.IsSortedFunc(evs, func(a, b Event) int { return int(a.At - b.At) }) {
		t.Error("not in kernel time order")
	}
	h.expect("after the drain", frame, want{verdict: xdpPass, counts: count("received"), events: 1})
}

func TestClosed(t *testing.T) {
	h := newHarness(t)
	h.master(1)
	if err := h.d.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := h.d.Drain(nil); !errors.Is(err, ErrClosed) {
		t.Errorf("drain: %v", err)
	}
	if _, err := h.g.Seen(); !errors.Is(err, ErrClosed) {
		t.Errorf("seen: %v", err)
	}
	if _, err := h.g.Stats(); !errors.Is(err, ErrClosed) {
		t.Errorf("stats: %v", err)
	}
	if _, err := h.d.Readings(bootNow()); !errors.Is(err, ErrClosed) {
		t.Errorf("readings: %v", err)
	}
	h.g.SetRole(Role{State: RoleMaster}) // harmless
	if _, err := h.d.AddGroup(goldenSpec("192.0.2.1")); !errors.Is(err, ErrClosed) {
		t.Errorf("add group: %v", err)
	}
	if err := errors.Join(h.d.Remove(), h.d.Close()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestNoDescriptorLeft: what Open got is closed, also when it failed on the way.
func TestNoDescriptorLeft(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func() {
		o := Options{Dir: testDir(), MaxGroups: 4, MaxVIPs: 4}
		d, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
	kerneltest.Require(t, kerneltest.BPF)
	round() // opens what libraries keep
	runtime.GC()
	before := open()
	for range 5 {
		round()
	}
	runtime.GC() // the read-only data's map has no owner that could close it
	if after := open(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
