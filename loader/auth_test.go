// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
)

// TestDigestEveryLength crosses the kernel's digest with crypto/hmac for prefixes of
// 1 to 40 addresses, with and without a link-layer address: the counter then stands
// at every place in a block that it can, and across two.
func TestDigestEveryLength(t *testing.T) {
	h := newHarness(t)
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
			key := make([]byte, rng.IntN(MaxKey+1))
			for i := range key {
				key[i] = byte(rng.Uint32())
			}
			s := goldenSpec("192.0.2.1")
			s.Contexts = []AuthContext{{Key: key, Prefix: p}}
			h.fresh(s)
			for range 5 {
				c := carp{vhid: 1, base: 1, counter: rng.Uint64()}
				c.digest = digest(key, p, c.counter)
				h.expect(fmt.Sprintf("%d addresses, lladdr %v", n, lladdr), packet{payload: c.bytes()}.bytes(),
					want{verdict: xdpPass, counts: count("received"), events: 1})
			}
		}
	}
}

// TestContexts: all are accepted, the event tells which, and none after it is gone.
func TestContexts(t *testing.T) {
	h := newHarness(t)
	p := prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")})
	s := goldenSpec("192.0.2.1")
	s.Contexts = nil
	for i := range MaxContexts {
		s.Contexts = append(s.Contexts, AuthContext{Key: []byte{'k', byte('0' + i)}, Prefix: p})
	}
	if err := h.g.Update(s); err != nil {
		t.Fatal(err)
	}
	frame := func(i int) []byte {
		c := carp{vhid: 1, base: 1, counter: uint64(i)}
		c.digest = digest(s.Contexts[i].Key, p, c.counter)
		return packet{payload: c.bytes()}.bytes()
	}
	for _, i := range []int{0, 7, 3, 3, 7, 0, 5} {
		h.run(frame(i))
		evs := h.drain()
		if len(evs) != 1 || evs[0].Context != uint8(i) {
			t.Errorf("context %d: events %+v", i, evs)
		}
		if s := h.seen(); s.Context != uint8(i) {
			t.Errorf("context %d: recorded %d", i, s.Context)
		}
	}
	last := frame(7)
	s.Contexts = s.Contexts[:2]
	if err := h.g.Update(s); err != nil {
		t.Fatal(err)
	}
	h.expect("withdrawn context", last, want{verdict: xdpDrop, counts: count("bad_hmac")})
	s.Contexts = nil
	if err := h.g.Update(s); err != nil {
		t.Fatal(err)
	}
	h.expect("no context", frameOf(advert(1, 0, 0, 1)), want{verdict: xdpDrop, counts: count("bad_hmac")})

	s.Contexts = make([]AuthContext, MaxContexts+1)
	if err := h.g.Update(s); err == nil {
		t.Error("nine contexts were accepted")
	}
	s.Contexts = []AuthContext{{Key: make([]byte, MaxKey+1)}}
	if err := h.g.Update(s); err == nil {
		t.Error("a key of 20 bytes was accepted")
	}
}

// TestContextCounts: each context has its count, wherever an update puts it.
func TestContextCounts(t *testing.T) {
	h := newHarness(t)
	s := goldenSpec("192.0.2.1")
	p := s.Contexts[0].Prefix
	key := func(k string) AuthContext { return AuthContext{Key: []byte(k), Prefix: p} }
	heard := func(k string, n int) {
		for i := range n {
			c := carp{vhid: 1, base: 1, counter: uint64(i)}
			c.digest = digest([]byte(k), p, c.counter)
			h.run(frameOf(c))
		}
	}
	check := func(keys []string, want ...uint64) {
		t.Helper()
		s.Contexts = nil
		for _, k := range keys {
			s.Contexts = append(s.Contexts, key(k))
		}
		if err := h.g.Update(s); err != nil {
			t.Fatal(err)
		}
		for i, k := range keys {
			heard(k, i+1)
		}
		st, err := h.g.Stats()
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
	s.StrictReplay, s.RequireSeal = true, false
	check([]string{"a", "c"}, 1, 2)
	h.fresh(s)
	check([]string{"c"}, 1)
}

func frameOf(c carp) []byte { return packet{payload: c.bytes()}.bytes() }
