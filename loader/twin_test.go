// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// The twin says what design and protocol want of a frame: verdict, the frame as it leaves, what is counted, what the
// agent is told and what is remembered. It is written from docs/ and carp(4), not from the C, and works on one frame
// after the other with all that the agent stored before.

// twinWorld is one interface, which the VLANs of testVLANs mean as well, and its groups by VHID.
type twinWorld struct {
	groups map[uint8]*twinGroup
	full   bool              // the ring takes no more events
	rules  map[string]uint64 // how often each rule about replays and budgets decided
}

// twinGroup is a group as the agent described it, with what the data plane remembers of others.
type twinGroup struct {
	GroupSpec
	slot    uint32
	role    Role
	sent    Priority // what we last sent
	own     []twinSent
	seq     uint32 // of our newest sealed advert
	seqSet  bool
	sources []netip.Addr
	twinMemory
	peers map[netip.Addr]twinPeer
}

// twinSent is an advert of ours.
type twinSent struct {
	counter uint64
	digest  [20]byte
	Priority
}

// twinMemory is what the data plane writes for a group. Times are CLOCK_BOOTTIME ns.
type twinMemory struct {
	last    Event // zero: none was heard
	heard   uint64
	yielded uint64
	limited int64
	claimed int64
	spent   [2]int64 // up to when the digests of each class are paid for
}

// twinClock is when a frame is judged. recent may be a tick older, and serves where it says so.
type twinClock struct{ now, recent int64 }

// twinCounter is one of the counters of a VHID, of an address or of the interface.
type twinCounter struct{ of, name string }

// outcome is what a frame does.
type outcome struct {
	verdict uint32 // XDP's, or tc's of egress
	frame   []byte
	counts  map[twinCounter]uint64
	event   *Event
	group   *twinGroup // whose memory changes, if any
	after   twinMemory
	src     netip.Addr // of whom more is known now, if peer is not nil
	peer    *twinPeer
}

// again: none of the handlers has said what becomes of the frame.
const again = 0

func (o *outcome) count(of, name string, n uint64) {
	if o.counts == nil {
		o.counts = make(map[twinCounter]uint64)
	}
	o.counts[twinCounter{of, name}] += n
}

const onInterface = "interface"

func (g *twinGroup) named() string { return vhidNames[g.VHID] }

// vhidNames spares the making of a name for each frame.
var vhidNames = [...]string{"", "vhid 1", "vhid 2", "vhid 3"}

// commit makes what a frame did the state of the world.
func (o *outcome) commit() {
	if o.group != nil {
		o.group.twinMemory = o.after
	}
	if o.peer != nil {
		o.group.peers[o.src] = *o.peer
	}
}

// holds: MASTER in a generation that has not yielded.
func (g *twinGroup) holds() bool {
	return g.role.State == RoleMaster && g.yielded < g.role.Generation
}

// answering is the invariant I1: a lease that has not ended, or a claim whose own advert has left.
func (g *twinGroup) answering(c twinClock) bool {
	return g.holds() && (c.now < g.role.Lease || c.now < g.role.SendUntil && g.claimed == g.role.SendUntil)
}

// at is the group that has an address. One of IPv4 is the same in the clothes of IPv6, in which nobody sends it.
func (w *twinWorld) at(a netip.Addr) *twinGroup {
	a = a.Unmap()
	for _, g := range w.groups {
		if slices.Contains(g.VIPs, a) {
			return g
		}
	}
	return nil
}

// xdp judges a frame as it comes in. Tags are off while it is judged, and on again afterwards.
func (w *twinWorld) xdp(f []byte, c twinClock) outcome {
	tags, ids := tagsOf(f)
	known := slices.ContainsFunc(testVLANs(), func(v []uint32) bool { return slices.Equal(v, ids) })
	if tags == nil || len(ids) > 0 && !known {
		return outcome{verdict: xdpPass, frame: f}
	}
	o := w.untagged(slices.Concat(f[:12], f[12+len(tags):]), len(tags), c)
	o.frame = slices.Concat(o.frame[:12], tags, o.frame[12:])
	return o
}

// ingress is the program for tc: a tag in the frame means another network there.
func (w *twinWorld) ingress(f []byte, c twinClock) outcome {
	if isTag(f[12:]) {
		return outcome{verdict: xdpPass, frame: f}
	}
	return w.untagged(f, 0, c)
}

// testVLANs are those on which the groups are, too: protocol and id of each tag.
func testVLANs() [][]uint32 {
	return [][]uint32{{0x8100<<16 | 100}, {0x88a8<<16 | 200, 0x8100<<16 | 100}}
}

// tagsOf gives the bytes of the tags, nil if they are cut off or too many, and what they
// say: protocol and id, unless the id is 0.
func tagsOf(f []byte) (tags []byte, ids []uint32) {
	rest := f[12:]
	for isTag(rest) {
		if len(rest) < 6 || len(tags) == 8 {
			return nil, nil
		}
		if id := binary.BigEndian.Uint16(rest[2:]) & 0xfff; id != 0 {
			ids = append(ids, uint32(binary.BigEndian.Uint16(rest))<<16|uint32(id))
		}
		tags, rest = append(tags, rest[:4]...), rest[4:]
	}
	return append([]byte{}, tags...), ids
}

func isTag(b []byte) bool {
	p := binary.BigEndian.Uint16(b)
	return p == 0x8100 || p == 0x88a8
}

// untagged judges a frame that has lost tagLen bytes of tags.
func (w *twinWorld) untagged(f []byte, tagLen int, c twinClock) outcome {
	o := outcome{frame: f}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		w.arp(f, c, &o)
	case 0x0800:
		w.advert4(f, c, &o)
	case 0x86dd:
		if len(f) >= 54 && f[20] == 58 {
			w.solicitation(f, c, &o)
		} else {
			w.advert6(f, c, &o)
		}
	}
	if o.verdict == again {
		w.virtual(f, tagLen, c, &o)
	}
	return o
}

// virtual is for who has a virtual MAC: the node that answers, and no other.
func (w *twinWorld) virtual(f []byte, tagLen int, c twinClock, o *outcome) {
	o.verdict = xdpPass
	g := w.groups[f[5]]
	if g == nil || !bytes.Equal(f[:5], []byte{0, 0, 0x5e, 0, 1}) {
		return
	}
	if !g.answering(c) {
		o.verdict = xdpDrop
		o.count(g.named(), "drop_not_answering_mac", 1)
		return
	}
	if consumed(f) { // such a frame has its tags off meanwhile
		tagLen = 0
	}
	o.frame = slices.Concat(g.NICMAC[:], f[6:])
	o.count(g.named(), "packets", 1)
	o.count(g.named(), "bytes", uint64(len(f)+tagLen))
}

// consumed: of the kinds that a handler looks at.
func consumed(f []byte) bool {
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		return len(f) >= 42
	case 0x0800:
		return len(f) >= 34 && f[23] == 112
	case 0x86dd:
		return len(f) >= 54 && (f[20] == 112 || f[20] == 58)
	}
	return false
}

// reaches: to a group address, the NIC's own or the group's virtual one. The rest is somebody else's.
func (g *twinGroup) reaches(f []byte) bool {
	mac := vmac(g.VHID)
	return f[0]&1 != 0 || bytes.Equal(f[:6], g.NICMAC[:]) || bytes.Equal(f[:6], mac[:])
}
