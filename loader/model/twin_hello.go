// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"reflect"
	"slices"

	"vipd/loader/tables"
)

// Hellos, by docs/authentication.md.

const (
	hellosCost, hellosSaved = 5e4, 1e8
	helloApart              = 1e8 // between two of a source
)

// helloTag returns the tag of a hello, whose own tag it ignores.
func helloTag(key [16]byte, src, dst netip.Addr, p []byte) []byte {
	from, to := src.As16(), dst.As16()
	m := slices.Concat(from[:], to[:], p[:16], p[24:])
	return binary.LittleEndian.AppendUint64(nil, sipHash(key, m))
}

// helloOf returns a hello of a number of bytes, a multiple of eight.
func helloOf(key [16]byte, vhid uint8, number uint64, n int, src, dst netip.Addr) []byte {
	p := binary.BigEndian.AppendUint16([]byte{0xf1, vhid}, uint16(n))
	p = binary.BigEndian.AppendUint64(append(p, 0, 0, 0, 0), number)
	for len(p) < n {
		p = append(p, byte(len(p)))
	}
	copy(p[16:], helloTag(key, src, dst, p))
	return p
}

// hello judges a hello; an empty reason means that it is accepted.
func (a *twinAdvert) hello(whole bool, o *outcome) string {
	g, m := a.g, a.g.twinMemory
	p := a.p
	switch {
	case a.ttl != 255 && a.g.TTL != tables.TTLAny:
		return "bad_ttl"
	case !whole || len(p) < 56 || len(p) > 512 || len(p)%8 != 0 || int(binary.BigEndian.Uint16(p[2:])) != len(p):
		return "bad_length"
	}
	o.group = g
	defer func() { o.after = m }()
	if !m.take(2, 0, a.c.now) {
		return "rate_limited"
	}
	k := slices.IndexFunc(g.Contexts, func(c tables.AuthContext) bool {
		return c.TrailerKey != [16]byte{} && bytes.Equal(helloTag(c.TrailerKey, a.src, a.dst, p), p[16:24])
	})
	if k < 0 {
		return "bad_trailer"
	}
	number := a.counter()
	peer, met := g.proven[a.src]
	switch {
	case nobody(a.src),
		met && (number <= peer.hello || number <= peer.number),
		!met && number <= max(m.highest, g.sentNow):
		a.w.rules["old hello"]++
		return "replay"
	case met && a.c.now-peer.helloAt < helloApart:
		a.w.rules["hello too soon"]++
		return "rate_limited"
	case !met:
		peer.number, peer.pace, peer.at = number, number, a.c.now
	}
	peer.hello, peer.helloAt = number, a.c.now
	o.src, o.proven = a.src, &peer
	if !a.w.full {
		o.hello = &tables.HelloEvent{
			At: a.c.now, IfIndex: LoIndex, VHID: g.VHID, Slot: g.slot, Src: a.src, SrcMAC: [6]byte(a.frame[6:12]),
			Context: uint8(k), Payload: slices.Clone(p),
		}
	}
	return ""
}

// helloDiffers compares what the agent was told.
func (x *twinned) helloDiffers(o *outcome, got observed) string {
	if (o.hello == nil) != (got.hello == nil) {
		return fmt.Sprintf("hello %+v, want %+v", got.hello, o.hello)
	}
	if o.hello == nil {
		return ""
	}
	want := *o.hello
	if is := got.hello.At; is >= got.from && is <= got.to {
		want.At = is
	}
	if !reflect.DeepEqual(want, *got.hello) {
		return fmt.Sprintf("hello %+v, want %+v", *got.hello, want)
	}
	return ""
}
