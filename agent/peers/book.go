// SPDX-License-Identifier: Apache-2.0

// Package peers is what a node knows of the other vipd nodes of its groups from their hellos: who is a standby, who
// would take over, and in what their configs differ from its own (docs/authentication.md, "Hello"). Nothing of this
// reaches the election. It is pure: no clock, no I/O, no goroutine.
package peers

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// maxPeers bounds how many peers of a group are listed. The one that was silent longest makes room, unless what it said
// last still counts.
const maxPeers = 128

// ErrFull is the error for the hello of a peer for which there is no room.
var ErrFull = errors.New("too many vipd nodes in this group")

// Book is what is known of the other nodes in one group. The zero Book is empty.
type Book struct {
	entries []entry     // sorted by address
	shown   []view.Peer // what readers have, nil: to be made again
	oldest  election.Instant
}

type entry struct {
	view.Peer
	body     []byte           // of the hello's payload, without number and tag
	answered election.Instant // 0: never
}

// Note takes the hello that came from addr and mac at a time, and keeps nothing of payload. voice is that of addr. It
// returns what is known of the peer now, and whether it says anything new. Readers of [Book.Peers] see the time of a
// hello that does not.
func (b *Book) Note(
	addr netip.Addr, mac [6]byte, at election.Instant, payload []byte, voice *view.Voice,
) (p view.Peer, news bool, err error) {
	i, known := b.find(addr)
	if known && at < b.entries[i].At() {
		return b.entries[i].Peer, false, nil
	}
	if known {
		e := &b.entries[i]
		if e.MAC == mac && e.Voice() == voice && bytes.Equal(e.body, body(payload)) {
			e.HeardAgain(at)
			return e.Peer, false, nil
		}
	}
	h, err := wire.ParseHello(payload)
	if err != nil {
		return view.Peer{}, false, fmt.Errorf("hello from %s: %w", addr, err)
	}
	if !known {
		if !b.makeRoom(addr, mac, at, &h) {
			return view.Peer{}, false, fmt.Errorf("hello from %s: %w, %d are listed", addr, ErrFull, maxPeers)
		}
		i, _ = b.find(addr)
		b.entries = slices.Insert(b.entries, i, entry{})
	}
	e := &b.entries[i]
	e.Peer, e.body = view.NewPeer(addr, mac, at, h, voice), append(e.body[:0], body(payload)...)
	b.shown = nil
	b.setOldest()
	return e.Peer, true, nil
}

// body returns the part of a payload that says something, the number and the tag being different each time.
func body(payload []byte) []byte { return payload[min(wire.HelloBody, len(payload)):] }

func (b *Book) find(addr netip.Addr) (int, bool) {
	return slices.BinarySearchFunc(b.entries, addr, func(e entry, addr netip.Addr) int { return e.Addr.Compare(addr) })
}

// makeRoom makes room for a new peer. A node of that name and MAC which spoke from an address of the other family is
// this one: it reports in one family at a time. It returns false if there is no room.
func (b *Book) makeRoom(addr netip.Addr, mac [6]byte, at election.Instant, h *wire.Hello) bool {
	b.entries = slices.DeleteFunc(b.entries, func(e entry) bool {
		return e.Hello.Node == h.Node && e.MAC == mac && e.Addr.Is4() != addr.Is4()
	})
	if len(b.entries) < maxPeers {
		return true
	}
	oldest := 0
	for i := range b.entries {
		if b.entries[i].At() < b.entries[oldest].At() {
			oldest = i
		}
	}
	if b.entries[oldest].Fresh(at) {
		return false
	}
	b.entries = slices.Delete(b.entries, oldest, oldest+1)
	return true
}

// Forget removes a peer, and reports whether there was one.
func (b *Book) Forget(addr netip.Addr) bool {
	i, known := b.find(addr)
	if !known {
		return false
	}
	b.entries = slices.Delete(b.entries, i, i+1)
	b.shown = nil
	b.setOldest()
	return true
}

// Expire forgets the peers that have been silent for too long, and reports whether there are any.
func (b *Book) Expire(now election.Instant) bool {
	if len(b.entries) == 0 || now.Sub(b.oldest) <= view.PeerKept {
		return false
	}
	before := len(b.entries)
	b.entries = slices.DeleteFunc(b.entries, func(e entry) bool { return now.Sub(e.At()) > view.PeerKept })
	b.setOldest()
	if len(b.entries) == before {
		return false
	}
	b.shown = nil
	return true
}

// setOldest notes a time that no entry is older than: they only get younger.
func (b *Book) setOldest() {
	b.oldest = 0
	for i := range b.entries {
		if at := b.entries[i].At(); i == 0 || at < b.oldest {
			b.oldest = at
		}
	}
}

// Peers returns the peers, sorted by address. The list does not change afterwards, except for the times of the last
// hellos.
func (b *Book) Peers() []view.Peer {
	if b.shown == nil && len(b.entries) > 0 {
		b.shown = make([]view.Peer, 0, len(b.entries))
		for i := range b.entries {
			b.shown = append(b.shown, b.entries[i].Peer)
		}
	}
	return b.shown
}

// MAC returns where the hellos of addr came from.
func (b *Book) MAC(addr netip.Addr) (mac [6]byte, known bool) {
	i, known := b.find(addr)
	if !known {
		return mac, false
	}
	return b.entries[i].MAC, true
}

// Answer reports whether the hello of addr is to be answered now, and notes that it is: at most once per [MinGap].
func (b *Book) Answer(addr netip.Addr, now election.Instant) bool {
	i, known := b.find(addr)
	if !known {
		return false
	}
	e := &b.entries[i]
	if e.answered != 0 && now.Sub(e.answered) < MinGap-slack {
		return false
	}
	e.answered = now
	return true
}
