// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
)

// kernel is the data plane of one group on one host, after bpf/role.h, bpf/prove.h and bpf/accept.h. The agent writes
// role and priority; frames change the rest.
type kernel struct {
	role     election.SetRole
	priority election.Priority // of the last advert sent

	yielded uint64           // generation; only rises
	claimed election.Instant // SendUntil of the claim whose advert was sent
	record  seen
	known   bool            // record is valid
	pinned  bool            // written by an agent, and no reboot since
	sources []source        // that send no trailers
	sent    *[sentSize]sent // entries of the loop check; nil before the first advert
	nsent   int

	peers     []peer // that have proven themselves by a trailer
	ownNumber uint64 // no advert from an own address with this number or a lower one is new
	highest   uint64 // of the numbers that were proven in the group, or sent

	told    [2]told             // by family
	heard   [2]seen             // the last advert that was withheld
	settled [2]election.Instant // of what the agent permits to withhold repeats
}

// told is the last advert of a family that was not withheld.
type told struct {
	election.Advert
	proven bool
}

const (
	sentSize   = 8
	maxSources = 64 // the LRU map of the data plane is larger, and shared
	// notDoubled is the time after which two frames with the same counter are two adverts, not a doubled frame.
	notDoubled = 100 * time.Millisecond
)

// seen is an accepted advert, as stored in the seen entry and the ring.
type seen struct {
	election.Advert
	counter uint64
	proven  bool // it has a valid trailer: counter is the number of a vipd node

	withheld bool // from the ring
}

type source struct {
	addr       netip.Addr
	counter    uint64 // of its last advert
	demoteEver bool
	varies     bool             // its counter has been seen to change
	constant   bool             // its counter has been seen to stay
	since      election.Instant // of counter
}

type sent struct {
	counter uint64
	digest  [20]byte
	prio    election.Priority
}

// holds reports whether the role is MASTER in a generation that has not yielded.
func (k *kernel) holds() bool {
	return k.role.State == election.Master && k.yielded < k.role.Generation
}

func (k *kernel) answering(now election.Instant) bool {
	return k.holds() && now < k.silentAt()
}

// silentAt returns until when it answers: a claim counts once its advert was sent.
func (k *kernel) silentAt() election.Instant {
	if k.claimed == k.role.SendUntil {
		return max(k.role.Lease, k.role.SendUntil)
	}
	return k.role.Lease
}

// advertise returns the egress program's verdict on an own advert.
func (k *kernel) advertise(now election.Instant, goodbye bool) bool {
	if goodbye || k.holds() && now < k.role.Lease {
		return true
	}
	if !k.holds() || now >= k.role.SendUntil {
		return false
	}
	k.claimed = k.role.SendUntil
	return true
}

// recordSent stores an advert before it is sent, so that its echo is recognised.
func (k *kernel) recordSent(counter uint64, digest [20]byte, p election.Priority) {
	if k.sent == nil {
		k.sent = new([sentSize]sent)
	}
	k.sent[k.nsent%sentSize] = sent{counter, digest, p}
	k.nsent++
}

// isLoop reports whether the frame is an own advert that came back unchanged.
func (k *kernel) isLoop(f *frame, own *host) bool {
	if k.sent == nil || !own.owns(f.advert.Src) {
		return false
	}
	for i := range k.sent {
		s := &k.sent[i]
		if s.counter == f.advert.Advert.Counter && s.digest == f.advert.Advert.Digest && s.prio == f.prio {
			return true
		}
	}
	return false
}

// source returns the entry of a frame's sender, or nil.
func (k *kernel) source(f *frame) *source {
	src := f.advert.Src
	for i := range k.sources {
		if s := &k.sources[i]; s.addr == src {
			return s
		}
	}
	return nil
}

// newSource adds an entry, in place of the oldest if there is no room.
func (k *kernel) newSource(f *frame, now election.Instant) *source {
	if len(k.sources) == maxSources {
		copy(k.sources, k.sources[1:])
		k.sources = k.sources[:maxSources-1]
	}
	k.sources = append(k.sources, source{addr: f.advert.Src, counter: f.advert.Advert.Counter, since: now})
	return &k.sources[len(k.sources)-1]
}

// learn updates the source and reports whether it uses demote bytes: its counter stayed the same since its last change
// (OpenBSD's cookie) or, unless twice is set, it has sent a demote byte other than 0 and its counter has never changed.
func (s *source) learn(f *frame, now election.Instant, twice bool) (aware bool) {
	counter := f.advert.Advert.Counter
	s.demoteEver = s.demoteEver || f.prio.Demote != 0
	if s.counter != counter {
		s.varies, s.counter, s.since, s.constant = true, counter, now, false
	}
	s.constant = s.constant || now.Sub(s.since) >= notDoubled
	return s.constant || s.demoteEver && !s.varies && !twice
}

// accept handles an advert that passed the checks: it updates the seen entry, yields if necessary, and returns the
// ring's entry. Hooks and known findings change it.
func (k *kernel) accept(f *frame, m *member, now election.Instant, w *World) seen {
	s := seen{counter: f.advert.Advert.Counter, proven: w.trailed(f), Advert: election.Advert{
		At: now, Src: f.advert.Src, Priority: f.prio, Generation: k.role.Generation,
	}}
	if s.proven {
		if !m.host.beatless {
			s.Beat = time.Duration(f.advert.Trailer.Beat) * time.Microsecond
		}
		s.DemoteEver = k.learnPeer(f, now, &w.hooks)
	} else {
		src := k.source(f)
		if src == nil {
			src = k.newSource(f, now)
		}
		s.Aware = src.learn(f, now, w.Known&KnownAware != 0)
		s.DemoteEver = src.demoteEver
	}
	if k.role.State == election.Master && !w.hooks.NeverYield {
		outlived := now >= k.role.Lease && now >= k.role.SendUntil
		if outlived || election.Superior(f.prio, k.priority, s.Aware) {
			s.Yielded = true
			k.yielded = max(k.yielded, k.role.Generation)
		}
	}
	s.withheld = k.withhold(&s)
	if !k.known || now >= k.record.At {
		k.record, k.known = s, true
	}
	return s
}

// withhold reports whether the advert repeats what the agent permits to withhold, and notes it (bpf/repeat.h).
func (k *kernel) withhold(s *seen) bool {
	f := election.FamilyOf(s.Src) - election.IPv4
	t := &k.told[f]
	same := t.Src == s.Src && t.Priority == s.Priority && t.Beat == s.Beat && t.Aware == s.Aware &&
		t.DemoteEver == s.DemoteEver && t.proven == s.proven
	if k.role.State == election.Backup && t.At > 0 && k.settled[f] == t.At && same {
		if s.At >= k.heard[f].At {
			k.heard[f] = *s
		}
		return true
	}
	before := t.At
	*t = told{s.Advert, s.proven}
	if s.At <= before {
		t.At = 0 // the time does not tell them apart
	}
	return false
}

// heardLast reports whether the last advert received from one of these sources is the given one.
func (k *kernel) heardLast(of [2]lastSent) bool {
	for _, last := range of {
		for i := range k.sources {
			if s := &k.sources[i]; s.addr == last.src && s.counter == last.counter {
				return true
			}
		}
		if p := k.peer(last.src); p != nil && p.number == last.counter {
			return true
		}
	}
	return false
}
