// SPDX-License-Identifier: Apache-2.0

package model

import (
	"slices"
	"testing"
	"time"

	"vipd/loader/tables"
)

func TestEvent(t *testing.T) {
	h := NewHarness(t)
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 42})
	before := BootNow()
	h.Run(FrameOf(Advert(3, 4, 5, 6)))
	select {
	case <-h.Plane.Wake():
	case <-time.After(5 * time.Second):
		t.Fatal("no token")
	}
	evs := h.drain()
	if len(evs) != 1 {
		t.Fatalf("%d events", len(evs))
	}
	e := evs[0]
	if e.At < before || e.At > BootNow() {
		t.Errorf("at %d, not between %d and now", e.At, before)
	}
	want := tables.Event{
		At: e.At, IfIndex: LoIndex, VHID: 1, Slot: h.Group.Slot(), Generation: 42, Src: PeerAddr, SrcMAC: VMAC(1),
		AdvBase: 3, AdvSkew: 4, Demote: 5, Counter: 6, TTL: 255, DemoteAware: true, DemoteEver: true,
	}
	if e != want {
		t.Errorf("got %+v\nwant %+v", e, want)
	}
	s := h.Seen()
	if s.Event != want || s.Count != 1 || s.YieldedGeneration != 0 {
		t.Errorf("recorded %+v", s)
	}
}

// TestWake: each batch is announced, also one that arrives while nobody listens.
func TestWake(t *testing.T) {
	h := NewHarness(t)
	for i := range 200 {
		h.untold()
		h.Run(FrameOf(Advert(1, 0, 0, uint64(i))))
		if i%3 == 0 { // drained without taking the token, as on a timer
			if n := len(h.drain()); n != 1 {
				t.Fatalf("round %d: %d events", i, n)
			}
			continue
		}
		for got := 0; got == 0; { // a token of an earlier batch finds nothing
			select {
			case <-h.Plane.Wake():
			case <-time.After(5 * time.Second):
				t.Fatalf("round %d: no token", i)
			}
			got = len(h.drain())
		}
	}
}

func TestRingFull(t *testing.T) {
	pin(t)
	h := NewHarness(t)
	frame := FrameOf(Advert(1, 0, 0, 7))
	var received, lost uint64
	for range 4 {
		got := h.floodTold(frame, 4000) // slower than class 1 recovers
		received += got["received"]
		lost += got["events_lost"]
	}
	if received != 16000 || lost == 0 {
		t.Fatalf("received %d, lost %d", received, lost)
	}
	h.Master(1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	h.untold()
	if v, _ := h.Run(frame); v != XDPPass {
		t.Errorf("verdict %d with a full ring", v)
	}
	if s := h.Seen(); s.Count != received+1 || s.YieldedGeneration != 1 {
		t.Errorf("with a full ring: count %d, yielded %d", s.Count, s.YieldedGeneration)
	}
	evs := h.drain()
	if uint64(len(evs)) != received-lost {
		t.Errorf("%d events, want %d", len(evs), received-lost)
	}
	if !slices.IsSortedFunc(evs, func(a, b tables.Event) int { return int(a.At - b.At) }) {
		t.Error("not in kernel time order")
	}
	h.Expect("after the drain", frame, Want{Verdict: XDPPass, Counts: count("received"), events: 1})
}
