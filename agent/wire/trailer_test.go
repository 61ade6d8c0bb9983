// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"fmt"
	"net/netip"
	"testing"
)

func trailerAdvert(key Key) Advert {
	a := Advert{VHID: 1, AdvBase: 1, AdvSkew: 100, Demote: 3, AuthLen: AuthLen, Counter: 1_764_000_000_000_000}
	a.Digest = key.Digest(DigestPrefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}, nil), a.Counter)
	return a
}

func goldenKey(t *testing.T) Key {
	key, err := NewKey([]byte("goodpass"))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// TestTrailerBytes pins the bytes on the wire.
func TestTrailerBytes(t *testing.T) {
	key := goldenKey(t)
	a := trailerAdvert(key)
	for _, c := range []struct {
		src, want string
		beat      uint16
	}{
		{"192.0.2.2", "56010000000000000273476ea21fdfe00000de1c", 0},
		{"192.0.2.2", "560103e800000000a95a720155c7fe630000368f", 1000},
		{"fe80::2", "56010000000000004d67cc3bcae5907300003502", 0},
	} {
		b, err := key.TrailerKey().Trailer(netip.MustParseAddr(c.src), a, c.beat).AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprintf("%x", b); got != c.want {
			t.Errorf("from %s with a beat of %d: %s, want %s", c.src, c.beat, got, c.want)
		}
	}
}

// TestTrailerBalances: every receiver's checksum is right, over 36 bytes and over all of them, and a VRRP receiver's,
// over the first 44, is wrong.
func TestTrailerBalances(t *testing.T) {
	key := goldenKey(t)
	a := trailerAdvert(key)
	for beat := range 32768 {
		tr := Trailer{Beat: uint16(beat), Tag: uint64(beat) * 0x9e3779b97f4a7c15}
		p, err := a.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		if p, err = tr.AppendBinary(p); err != nil {
			t.Fatal(err)
		}
		if len(p) != AdvertSize+TrailerSize || Checksum(p[:AdvertSize]) != 0 || Checksum(p) != 0 {
			t.Fatalf("beat %d: checksums %#x and %#x of %x", beat, Checksum(p[:AdvertSize]), Checksum(p), p)
		}
		if Checksum(p[:44]) == 0 {
			t.Fatalf("beat %d: the first 44 bytes are VRRP with 7 addresses: %x", beat, p)
		}
		back, ok := ParseTrailer(p)
		if !ok || back != tr {
			t.Fatalf("parsed %+v, %v, want %+v", back, ok, tr)
		}
	}
}

// TestTagCoversAll: each field that a receiver goes by changes the tag.
func TestTagCoversAll(t *testing.T) {
	key := goldenKey(t)
	src, a, tr := netip.MustParseAddr("192.0.2.2"), trailerAdvert(key), Trailer{Beat: 1000}
	k := key.TrailerKey()
	good := k.Tag(src, a, tr)
	for name, change := range map[string]func(src *netip.Addr, a *Advert, tr *Trailer, k *TrailerKey){
		"source":  func(src *netip.Addr, _ *Advert, _ *Trailer, _ *TrailerKey) { *src = src.Next() },
		"family":  func(src *netip.Addr, _ *Advert, _ *Trailer, _ *TrailerKey) { *src = netip.MustParseAddr("::c000:202") },
		"vhid":    func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.VHID++ },
		"advbase": func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.AdvBase++ },
		"advskew": func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.AdvSkew++ },
		"demote":  func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.Demote++ },
		"counter": func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.Counter++ },
		"digest":  func(_ *netip.Addr, a *Advert, _ *Trailer, _ *TrailerKey) { a.Digest[19]++ },
		"beat":    func(_ *netip.Addr, _ *Advert, tr *Trailer, _ *TrailerKey) { tr.Beat++ },
		"flags":   func(_ *netip.Addr, _ *Advert, tr *Trailer, _ *TrailerKey) { tr.Flags++ },
		"key":     func(_ *netip.Addr, _ *Advert, _ *Trailer, k *TrailerKey) { k[15]++ },
	} {
		src, a, tr, k := src, a, tr, k
		change(&src, &a, &tr, &k)
		if k.Tag(src, a, tr) == good {
			t.Errorf("%s: the tag is the same", name)
		}
	}
}

func TestNoTrailer(t *testing.T) {
	key := goldenKey(t)
	p, err := trailerAdvert(key).AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := Trailer{Tag: 1}.AppendBinary(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := ParseTrailer(whole); !ok {
		t.Fatal("a trailer was not found")
	}
	later := append([]byte(nil), whole...)
	later[AdvertSize+1] = 2
	for name, b := range map[string][]byte{
		"an ordinary advert": p,
		"one byte less":      whole[:len(whole)-1],
		"one byte more":      append(whole, 0),
		"a later version":    later,
	} {
		if _, ok := ParseTrailer(b); ok {
			t.Errorf("%s has a trailer", name)
		}
	}
}

func TestTrailerKeyIsNotPrinted(t *testing.T) {
	if s := fmt.Sprintf("%v %x", goldenKey(t).TrailerKey(), goldenKey(t).TrailerKey()); s != "[redacted] [redacted]" {
		t.Error(s)
	}
}
