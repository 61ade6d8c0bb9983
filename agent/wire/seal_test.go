// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"net/netip"
	"testing"

	"pgregory.net/rapid"
)

// The vectors of the SipHash paper and its reference implementation: key 00..0f,
// messages 00, 00 01, ... of the given length.
func TestSipHashVectors(t *testing.T) {
	var key [16]byte
	for i := range key {
		key[i] = byte(i)
	}
	vectors := map[int]uint64{
		0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 7: 0xab0200f58b01d137,
		8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5,
	}
	for n, want := range vectors {
		msg := make([]byte, n)
		for i := range msg {
			msg[i] = byte(i)
		}
		if got := sipHash(key, msg); got != want {
			t.Errorf("%d bytes: %#016x, want %#016x", n, got, want)
		}
	}
}

func sealKey(t *testing.T, password string) SealKey {
	t.Helper()
	k, err := NewKey([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return k.SealKey()
}

func TestSealCoversAllFields(t *testing.T) {
	key := sealKey(t, "secret")
	p := Sealed{Src: netip.MustParseAddr("192.0.2.11"), AdvBase: 1, AdvSkew: 100}
	const seq = 0x01020304
	c := key.Counter(seq, p)
	if got, v := key.Open(c, p); v != SealValid || got != seq {
		t.Fatalf("own seal: sequence %#x, verdict %d", got, v)
	}
	altered := map[string]Sealed{
		"source":  {Src: netip.MustParseAddr("192.0.2.12"), AdvBase: 1, AdvSkew: 100},
		"advbase": {Src: p.Src, AdvBase: 0, AdvSkew: 100},
		"advskew": {Src: p.Src, AdvBase: 1, AdvSkew: 0},
		"demote":  {Src: p.Src, AdvBase: 1, AdvSkew: 100, Demote: 1},
		"goodbye": {Src: p.Src, AdvBase: 255, AdvSkew: 255},
	}
	for what, q := range altered {
		if _, v := key.Open(c, q); v != SealBroken {
			t.Errorf("%s altered: verdict %d, want SealBroken", what, v)
		}
	}
	if _, v := sealKey(t, "other").Open(c, p); v != SealNone {
		t.Errorf("another key: verdict %d, want SealNone", v)
	}
}

// FreeBSD, NetBSD and ucarp adopt a counter that they received and add 1 per advert: they must be
// recognised as ordinary peers.
func TestAdoptedCounterIsNotASeal(t *testing.T) {
	key := sealKey(t, "secret")
	rapid.Check(t, func(t *rapid.T) {
		p := Sealed{Src: netip.MustParseAddr("192.0.2.11"), AdvBase: 1}
		c := key.Counter(rapid.Uint32().Draw(t, "seq"), p)
		n := rapid.Uint64Range(1, 1<<16-1).Draw(t, "adverts since")
		peer := Sealed{Src: netip.MustParseAddr("192.0.2.12"), AdvBase: 1}
		if _, v := key.Open(c+n, peer); v != SealNone {
			t.Fatalf("counter %#x + %d: verdict %d, want SealNone", c, n, v)
		}
	})
}

func TestSequenceRises(t *testing.T) {
	tests := []struct {
		last, next uint32
		want       bool
	}{
		{0, 1, true},
		{1, 1, false},
		{2, 1, false},
		{0xffffffff, 0, true},
		{0, 0xffffffff, false},
		{0, 0x7fffffff, true},
		{0, 0x80000000, false},
	}
	for _, tt := range tests {
		if got := SequenceRises(tt.last, tt.next); got != tt.want {
			t.Errorf("SequenceRises(%#x, %#x) = %v, want %v", tt.last, tt.next, got, tt.want)
		}
	}
}
