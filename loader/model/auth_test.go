// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"

	"vipd/loader/tables"
)

// TestDigestEveryLength crosses the kernel's digest with crypto/hmac for prefixes of
// 1 to 40 addresses, with and without a link-layer address: the counter then stands
// at every place in a block that it can, and across two.
func TestDigestEveryLength(t *testing.T) {
	h := NewHarness(t)
	rng := rand.New(rand.NewPCG(1, 2))
	for n := 1; n <= 40; n++ {
		for _, lladdr := range []bool{false, true} {
			addrs := make([]netip.Addr, 0, n)
			for i := range n {
				addrs = append(addrs, netip.AddrFrom4([4]byte{10, byte(rng.Uint32()), byte(rng.Uint32()), byte(i)}))
			}
			p := prefix(1, addrs)
			if lladdr {
				p = append([]byte{2, 1, 2, 3, 4, 5, 6, 7}, p[2:]...)
			}
			key := make([]byte, rng.IntN(tables.MaxKey+1))
			for i := range key {
				key[i] = byte(rng.Uint32())
			}
			s := GoldenSpec("192.0.2.1")
			s.Contexts = []tables.AuthContext{{Key: key, Prefix: p}}
			h.Fresh(s)
			for range 5 {
				c := carp{vhid: 1, base: 1, counter: rng.Uint64()}
				c.digest = digest(key, p, c.counter)
				h.Expect(fmt.Sprintf("%d addresses, lladdr %v", n, lladdr), Packet{Payload: c.bytes()}.Bytes(),
					Want{Verdict: XDPPass, Counts: count("received"), events: 1})
			}
		}
	}
}

// TestContexts: all are accepted, the event tells which, and none after it is gone.
func TestContexts(t *testing.T) {
	h := NewHarness(t)
	p := prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")})
	s := GoldenSpec("192.0.2.1")
	s.Contexts = nil
	for i := range tables.MaxContexts {
		s.Contexts = append(s.Contexts, tables.AuthContext{Key: []byte{'k', byte('0' + i)}, Prefix: p})
	}
	if err := h.Group.Update(s); err != nil {
		t.Fatal(err)
	}
	frame := func(i int) []byte {
		c := carp{vhid: 1, base: 1, counter: uint64(i)}
		c.digest = digest(s.Contexts[i].Key, p, c.counter)
		return Packet{Payload: c.bytes()}.Bytes()
	}
	for _, i := range []int{0, 7, 3, 3, 7, 0, 5} {
		h.untold()
		h.Run(frame(i))
		evs := h.drain()
		if len(evs) != 1 || evs[0].Context != uint8(i) {
			t.Errorf("context %d: events %+v", i, evs)
		}
		if s := h.Seen(); s.Context != uint8(i) {
			t.Errorf("context %d: recorded %d", i, s.Context)
		}
	}
	last := frame(7)
	s.Contexts = s.Contexts[:2]
	if err := h.Group.Update(s); err != nil {
		t.Fatal(err)
	}
	h.Expect("withdrawn context", last, Want{Verdict: xdpDrop, Counts: count("bad_hmac")})
	s.Contexts = nil
	if err := h.Group.Update(s); err != nil {
		t.Fatal(err)
	}
	h.Expect("no context", FrameOf(Advert(1, 0, 0, 1)), Want{Verdict: xdpDrop, Counts: count("bad_hmac")})

	s.Contexts = make([]tables.AuthContext, tables.MaxContexts+1)
	if err := h.Group.Update(s); err == nil {
		t.Error("nine contexts were accepted")
	}
	s.Contexts = []tables.AuthContext{{Key: make([]byte, tables.MaxKey+1)}}
	if err := h.Group.Update(s); err == nil {
		t.Error("a key of 20 bytes was accepted")
	}
}

// TestContextCounts: each context has its count, wherever an update puts it.
func TestContextCounts(t *testing.T) {
	h := NewHarness(t)
	s := GoldenSpec("192.0.2.1")
	p := s.Contexts[0].Prefix
	key := func(k string) tables.AuthContext { return tables.AuthContext{Key: []byte(k), Prefix: p} }
	heard := func(k string, n int) {
		for i := range n {
			c := carp{vhid: 1, base: 1, counter: uint64(i)}
			c.digest = digest([]byte(k), p, c.counter)
			h.Run(FrameOf(c))
		}
	}
	check := func(keys []string, want ...uint64) {
		t.Helper()
		s.Contexts = nil
		for _, k := range keys {
			s.Contexts = append(s.Contexts, key(k))
		}
		if err := h.Group.Update(s); err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			heard(k, i+1)
		}
		st, err := h.Group.Stats()
		if err != nil || !slices.Equal(st.Contexts, want) {
			t.Errorf("%q: %v, want %v (%v)", keys, st.Contexts, want, err)
		}
	}
	check([]string{"a"}, 1)
	check([]string{"a", "b"}, 2, 2)
	check([]string{"b", "a"}, 3, 4)
	check([]string{"b", "a"}, 4, 6)
	check([]string{"c", "b"}, 1, 6)
	check([]string{"a"}, 1) // was withdrawn meanwhile
	check(nil)
	s.StrictReplay, s.RequireTrailer = true, false
	check([]string{"a", "c"}, 1, 2)
	h.Fresh(s)
	check([]string{"c"}, 1)
}
