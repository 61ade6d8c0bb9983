// SPDX-License-Identifier: Apache-2.0

// Package model is for tests only. It has a twin of the data plane in Go, written from the docs and carp(4), builders
// of frames, random frames, and a harness that runs frames through the programs. Its own tests compare the programs
// with the twin.
package model

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"vipd/loader/tables"
)

// The twin says what design and protocol demand of a frame: verdict, outgoing frame, counters, what the agent is told
// and what is kept. It is written from docs/ and carp(4), not from the C, and judges one frame after the other, given
// everything that the agent stored before.

// twinWorld is one interface, which includes the VLANs of testVLANs, and its groups by VHID.
type twinWorld struct {
	groups map[uint8]*twinGroup
	full   bool              // the ring takes no more events
	rules  map[string]uint64 // how often each rule about replays and budgets decided
}

// twinGroup is a group as the agent described it, with what the data plane knows about others.
type twinGroup struct {
	tables.GroupSpec
	slot    uint32
	role    tables.Role
	sent    tables.Priority // what we last sent
	own     []twinSent
	number  uint64 // of our newest advert
	sentNow uint64 // of the newest one that we sent, 0 for none
	sources []netip.Addr
	settled [2]int64 // whose repetitions are withheld, by family
	twinMemory
	peers  map[netip.Addr]twinPeer
	proven map[netip.Addr]twinProven
}

// twinSent is an advert of ours.
type twinSent struct {
	counter uint64
	digest  [20]byte
	tables.Priority
}

// twinMemory is what the data plane writes for a group. Times are CLOCK_BOOTTIME ns.
type twinMemory struct {
	last    tables.Event // zero: none was heard
	heard   uint64
	yielded uint64
	limited int64
	claimed int64
	told    twinTold
	repeats [2]twinRepeats // by family
	spent   [3]int64       // up to when the digests of each class are paid for, and hellos
	highest uint64         // number that a vipd node has proved
	noRoom  int64          // when there was last no room for a peer; the random worlds have room for all
}

// twinClock is when a frame is judged. recent may be a tick older; it is used where the design allows that.
type twinClock struct{ now, recent int64 }

// twinCounter is one of the counters of a VHID, of an address or of the interface.
type twinCounter struct{ of, name string }

// outcome is the result of a frame.
type outcome struct {
	verdict uint32 // XDP's, or tc's of egress
	frame   []byte
	counts  map[twinCounter]uint64
	event   *tables.Event
	claim   *tables.Claim
	hello   *tables.HelloEvent
	group   *twinGroup // whose memory changes, if any
	after   twinMemory
	src     netip.Addr // the source that peer and proven are about, if they are not nil
	peer    *twinPeer
	proven  *twinProven
	spent   bool // nothing but the number of the advert counts
}

// again means that no handler has decided yet.
const again = 0

func (o *outcome) count(of, name string, n uint64) {
	if o.counts == nil {
		o.counts = make(map[twinCounter]uint64)
	}
	o.counts[twinCounter{of, name}] += n
}

const onInterface = "interface"

func (g *twinGroup) named() string { return vhidNames[g.VHID] }

// vhidNames avoids building a name for each frame.
var vhidNames = [...]string{"", "vhid 1", "vhid 2", "vhid 3"}

// commit applies the outcome to the world.
func (o *outcome) commit() {
	if o.group != nil {
		o.group.twinMemory = o.after
	}
	if o.peer != nil {
		o.group.peers[o.src] = *o.peer
	}
	if o.proven != nil {
		o.group.proven[o.src] = *o.proven
	}
}

// holds reports whether the role is MASTER in a generation that has not yielded.
func (g *twinGroup) holds() bool {
	return g.role.State == tables.RoleMaster && g.yielded < g.role.Generation
}

// answering is invariant I1: the lease has not ended, or the advert of a claim has left.
func (g *twinGroup) answering(c twinClock) bool {
	return g.holds() && (c.now < g.role.Lease || c.now < g.role.SendUntil && g.claimed == g.role.SendUntil)
}

// at returns the group that has an address. An IPv4-mapped IPv6 address counts as the IPv4 address; no host sends it.
func (w *twinWorld) at(a netip.Addr) *twinGroup {
	a = a.Unmap()
	for _, g := range w.groups {
		if slices.Contains(g.VIPs, a) {
			return g
		}
	}
	return nil
}

// xdp judges an incoming frame. Its tags are removed while it is judged and put back afterwards.
func (w *twinWorld) xdp(f []byte, c twinClock) outcome {
	tags, ids := tagsOf(f)
	known := slices.ContainsFunc(testVLANs(), func(v []uint32) bool { return slices.Equal(v, ids) })
	if tags == nil || len(ids) > 0 && !known {
		return outcome{verdict: XDPPass, frame: f}
	}
	o := w.untagged(slices.Concat(f[:12], f[12+len(tags):]), len(tags), c)
	o.frame = slices.Concat(o.frame[:12], tags, o.frame[12:])
	return o
}

// ingress judges a frame for the tc program: a tag in the frame means another network there.
func (w *twinWorld) ingress(f []byte, c twinClock) outcome {
	if isTag(f[12:]) {
		return outcome{verdict: XDPPass, frame: f}
	}
	return w.untagged(f, 0, c)
}

// testVLANs are the VLANs that the groups are on too: protocol and id of each tag.
func testVLANs() [][]uint32 {
	return [][]uint32{{0x8100<<16 | 100}, {0x88a8<<16 | 200, 0x8100<<16 | 100}}
}

// tagsOf returns the bytes of the tags (nil if they are truncated or too many) and their protocols and ids, except
// those with id 0.
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
			w.discovery(f, c, &o)
		} else {
			w.advert6(f, c, &o)
		}
	}
	if o.verdict == again {
		w.virtual(f, tagLen, c, &o)
	}
	return o
}

// virtual judges a frame to a virtual MAC: only the answering node takes it.
func (w *twinWorld) virtual(f []byte, tagLen int, c twinClock, o *outcome) {
	o.verdict = XDPPass
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

// consumed reports whether a handler looks at this kind of frame.
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

// reaches reports whether the frame goes to a group address, the NIC's own or the virtual MAC. All others are not ours.
func (g *twinGroup) reaches(f []byte) bool {
	mac := VMAC(g.VHID)
	return f[0]&1 != 0 || bytes.Equal(f[:6], g.NICMAC[:]) || bytes.Equal(f[:6], mac[:])
}
