// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
)

// This file is "What a receiver checks" of docs/authentication.md, after bpf/prove.h.

// peer is what the data plane knows about a source that has proven itself to be a vipd node.
type peer struct {
	addr       netip.Addr
	number     uint64
	pace       uint64           // the number that was expected at that time, if that was late
	at         election.Instant // when its last advert was heard
	interval   time.Duration    // as it last stated, except in goodbyes
	demoteEver bool

	// For the invariants.
	fake bool // only an attacker's adverts were heard from it, or none since state_dir was read
	base base
}

// numberSlack and the intervals of a peer are how far its numbers may fall behind the time, apart from a quarter of it.
const (
	numberSlack          = time.Second
	numberSlackIntervals = 3
)

// crossing is how far a number may be below the highest one of the group: adverts cross, and those of two families
// overtake each other.
const crossing = 100 * time.Millisecond

// trailed reports whether a frame with a trailer is more than an ordinary advert.
func (w *World) trailed(f *frame) bool { return f.advert.Trailer != nil && w.Trailers != TrailersOff }

// check returns why the data plane refuses a well-formed frame.
func (k *kernel) check(f *frame, m *member, now election.Instant, w *World) reject {
	switch {
	case w.trailed(f):
		return k.checkProven(f, m, now, w)
	case k.lacksTrailer(f, m.host, now, w):
		return rejectTrailer
	case !f.authentic(m.accepts):
		return rejectDigest
	case k.isLoop(f, m.host):
		return rejectLoop
	default:
		return rejectNone
	}
}

func (k *kernel) checkProven(f *frame, m *member, now election.Instant, w *World) reject {
	switch {
	case !f.proven(m.accepts, &w.hooks):
		if f.authentic(m.accepts) {
			return rejectTrailer
		}
		return rejectDigest
	case k.isLoop(f, m.host):
		return rejectLoop
	case !k.isNew(f, m.host, now, &w.hooks):
		return rejectReplay
	case !f.authentic(m.accepts):
		return rejectDigest // another list of addresses
	default:
		return rejectNone
	}
}

// lacksTrailer reports whether an advert without a trailer can only be forged: it claims to be this host's or that of a
// peer that has proven itself.
func (k *kernel) lacksTrailer(f *frame, own *host, now election.Instant, w *World) bool {
	switch w.Trailers {
	case TrailersOff:
		return false
	case TrailersRequired:
		return true
	default:
		return w.hooks.checks(CheckOwn) && own.owns(f.advert.Src) ||
			w.hooks.checks(CheckStripped) && k.remembers(f.advert.Src, now, w.PeerMemory)
	}
}

// remembers reports whether a source has proven itself within the given time; 0: ever.
func (k *kernel) remembers(src netip.Addr, now election.Instant, memory time.Duration) bool {
	p := k.peer(src)
	return p != nil && (memory == 0 || now.Sub(p.at) < memory)
}

// isNew reports whether a number shows that an advert was not sent by this host, not heard before and not kept for
// long.
func (k *kernel) isNew(f *frame, own *host, now election.Instant, hooks *Hooks) bool {
	number := f.advert.Advert.Counter
	if own.owns(f.advert.Src) && number <= k.ownNumber {
		return false
	}
	p := k.peer(f.advert.Src)
	above := number+uint64(crossing/time.Microsecond) > k.highest
	switch {
	case f.advert.Src.IsUnspecified():
		return number > k.highest
	case p == nil:
		return number > k.highest || !hooks.checks(CheckUnknown)
	case number <= p.number:
		return !hooks.checks(CheckRise)
	case !above && hooks.checks(CheckHighest):
		return false
	default:
		return p.inTime(number, now) || !hooks.checks(CheckPace)
	}
}

// inTime reports whether a number has risen as fast as time did: the peer may have sent, and an attacker kept, what did
// not reach this host.
func (p *peer) inTime(number uint64, now election.Instant) bool {
	slack := numberSlackIntervals*p.interval + numberSlack
	return number+uint64(slack/time.Microsecond) >= p.expected(now)
}

// expected returns the number that a peer would send now, at least: numbers that came late do not make it lower, or
// each of a sequence could be later than the one before.
func (p *peer) expected(now election.Instant) uint64 {
	past := uint64(max(now.Sub(p.at), 0))
	return p.pace + past>>10 - past>>12
}

// peer returns the entry of a source, or nil. Several nodes may send from no address, so nothing is known of that.
func (k *kernel) peer(src netip.Addr) *peer {
	for i := range k.peers {
		if p := &k.peers[i]; p.addr == src {
			return p
		}
	}
	return nil
}

// learnPeer notes an accepted advert with a trailer, and reports whether its sender ever sent a demote byte.
func (k *kernel) learnPeer(f *frame, now election.Instant, hooks *Hooks) bool {
	number := f.advert.Advert.Counter
	k.highest = max(k.highest, number)
	p := k.peer(f.advert.Src)
	if p == nil {
		if f.advert.Src.IsUnspecified() {
			return f.prio.Demote != 0
		}
		k.peers = append(k.peers, peer{addr: f.advert.Src, at: now, interval: f.prio.Interval()})
		p = &k.peers[len(k.peers)-1]
	}
	late := p.expected(now)
	p.number, p.pace, p.at = number, number, now
	if hooks.checks(CheckPaceKept) {
		p.pace = max(number, late)
	}
	p.demoteEver = p.demoteEver || f.prio.Demote != 0
	if !f.prio.Goodbye() {
		p.interval = f.prio.Interval()
	}
	return p.demoteEver
}
