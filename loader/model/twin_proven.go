// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"vipd/loader/tables"
)

// Adverts with trailers, by docs/authentication.md.

// twinProven is what is known about a source that has proven itself to be a vipd node.
type twinProven struct {
	number   uint64
	at       int64
	demoted  bool // has ever sent a demote byte
	interval int64
	pace     uint64 // the number that was expected at that time
	hello    uint64 // number of its last hello
	helloAt  int64
	told     int64 // when the agent was last told that its adverts are for another list
}

// trailed reports whether the advert has a trailer of version 1.
func (a *twinAdvert) trailed() bool { return len(a.p) == 56 && a.p[36] == 'V' && a.p[37] == 1 }

// proven judges an advert with a trailer; is is false if its tag is wrong.
func (a *twinAdvert) proven(m *twinMemory, o *outcome) (reason string, is bool) {
	beat, flags := binary.BigEndian.Uint16(a.p[38:]), binary.BigEndian.Uint16(a.p[40:])
	tagged := func(c tables.AuthContext) bool {
		return c.TrailerKey != [16]byte{} && bytes.Equal(tagOf(c.TrailerKey, a.src, a.p, beat, flags), a.p[44:52])
	}
	for k, c := range a.g.Contexts {
		if !tagged(c) {
			continue
		}
		e := a.event(k)
		if !is {
			is = true
			loop, own := a.cameBack()
			switch {
			case loop:
				return "loop", true
			case a.stale(m):
				return "replay", true
			}
			e.OwnCounter = own
		}
		if a.signedBy(k) {
			_, e.OwnCounter = a.cameBack()
			e.Proven, e.Beat = true, beat
			a.learn(o, &e)
			a.taken(m, o, e)
			return "", true
		}
	}
	if is {
		a.spent(o)
	}
	return "bad_hmac", is
}

// spent notes an advert of a node with the key that is for another list of addresses: nothing but its number counts.
// The agent is told of the node, at most every three seconds, unless that says hello.
func (a *twinAdvert) spent(o *outcome) {
	if nobody(a.src) {
		return
	}
	p, met := a.g.proven[a.src]
	number := a.counter()
	p.pace = max(number, p.expected(a.c.now))
	if !met {
		p.pace = number
	}
	p.number, p.at = number, a.c.now
	o.src, o.proven, o.spent = a.src, &p, true
	last := max(p.told, p.helloAt)
	if last > 0 && a.c.now-last < 3e9 {
		a.w.rules["another list, told"]++
		return
	}
	a.w.rules["another list"]++
	if !a.w.full {
		p.told = a.c.now
		o.hello = &tables.HelloEvent{
			At: a.c.now, IfIndex: LoIndex, VHID: a.g.VHID, Slot: a.g.slot, Src: a.src, SrcMAC: [6]byte(a.frame[6:12]),
			Number: number,
		}
	}
}

// nobody reports whether many nodes may send from an address.
func nobody(a netip.Addr) bool { return a.Unmap().IsUnspecified() }

// stale reports whether the number is not a new one.
func (a *twinAdvert) stale(m *twinMemory) bool {
	number, top := a.counter(), max(m.highest, a.g.sentNow)
	p, met := a.g.proven[a.src]
	rule, is := "", false
	slack := uint64(3*cmp.Or(p.interval, 1e9)/1000) + 1e6
	switch {
	case nobody(a.src):
		is = number <= top
		rule = map[bool]string{true: "nobody's, old", false: "nobody's, new"}[is]
	case a.ours() && number <= a.g.number:
		rule, is = "ours", true
	case !met:
		is = number <= top
		rule = map[bool]string{true: "unknown, old", false: "unknown, new"}[is]
	case number+100_000 <= top: // adverts that cross are apart by less
		rule, is = "known, far below the group's", true
	case number <= p.number:
		rule, is = "did not rise", true
	case number+slack < p.expected(a.c.now):
		rule, is = "rose too slowly", true
	default:
		rule = "rose"
	}
	a.w.rules["number: "+rule]++
	return is
}

// expected is what number is the least that a peer would send now: late ones do not lower it.
func (p *twinProven) expected(now int64) uint64 {
	past := uint64(max(0, now-p.at))
	return p.pace + past/1024 - past/4096
}

// learn notes what the advert says about its source.
func (a *twinAdvert) learn(o *outcome, e *tables.Event) {
	p, met := a.g.proven[a.src]
	p.pace = max(e.Counter, p.expected(e.At))
	if !met {
		p.pace = e.Counter
	}
	p.number, p.at, p.demoted = e.Counter, e.At, p.demoted || e.Demote != 0
	if !isGoodbye(e.AdvBase, e.AdvSkew) { // whose interval says nothing
		p.interval = interval(e.AdvBase, e.AdvSkew)
	}
	e.DemoteEver = p.demoted
	if !nobody(a.src) {
		o.src, o.proven = a.src, &p
	}
}

// stripped reports whether the source is known to send trailers, as we do.
func (a *twinAdvert) stripped() bool {
	p, met := a.g.proven[a.src]
	all := !slices.ContainsFunc(a.g.Contexts, func(c tables.AuthContext) bool { return c.TrailerKey == [16]byte{} })
	switch {
	case all && a.ours() && !nobody(a.src):
		a.w.rules["stripped, ours"]++
		return true
	case !met:
		return false
	case a.g.PeerMemory == 0:
		a.w.rules["stripped"]++
		return true
	case time.Duration(max(0, a.c.recent-max(p.at, p.helloAt))) < a.g.PeerMemory:
		a.w.rules["stripped, remembered"]++
		return true
	}
	a.w.rules["stripped, forgotten"]++
	return false
}
