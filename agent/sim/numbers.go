// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
)

// numbering is the state of a host's numbers: microseconds, at the start not less than the time of day, which rise
// with every advert and with time (docs/authentication.md).
type numbering struct {
	last     uint64        // drawn or heard
	ahead    int64         // numbers are this much ahead of the host's clock
	reserved uint64        // on disk
	slow     time.Duration // how far the host's time of day is behind
	jumped   time.Duration // true time when it heard a number far above its own
}

const (
	// epoch is the true time of day at the start of a run, in microseconds.
	epoch = 1_700_000_000_000_000
	// reserve is how far ahead of need numbers are reserved on disk.
	reserve = uint64(10 * time.Second / time.Microsecond)
	// maxSlow is how far a clock without a battery may be behind.
	maxSlow = 10 * time.Hour
	// saveEvery is how old a number in state_dir may be.
	saveEvery = time.Minute
)

func micros(t election.Instant) int64 { return int64(t) / int64(time.Microsecond) }

// timeOfDay returns the host's time of day in microseconds.
func (h *host) timeOfDay(now time.Duration) uint64 {
	return uint64(epoch + int64((now-h.slow)/time.Microsecond))
}

// startNumbers continues from the reservation on disk.
func (h *host) startNumbers(now time.Duration) {
	h.last, h.ahead = 0, 0
	h.raise(max(h.reserved, h.timeOfDay(now)), h.clock.local(now))
}

// draw returns the next number. The agent draws it a varying number of microseconds after it woke up. Without that, two
// masters of this model could draw equal numbers for ever, and refuse each other's.
func (h *host) draw(now election.Instant) uint64 {
	took := (h.last*0x9e3779b97f4a7c15 + uint64(h.id)*0xbf58476d1ce4e5b9) >> 61
	h.last = max(h.last+1, uint64(h.ahead+micros(now))+took)
	h.reserve()
	return h.last
}

// raise makes the host's numbers go on from one that was heard at the given time, so that it is above all that it has
// heard (Lamport 1978).
func (h *host) raise(number uint64, at election.Instant) {
	h.last = max(h.last, number)
	h.ahead = max(h.ahead, int64(number)-micros(at))
	h.reserve()
}

// reserve writes ahead of need.
func (h *host) reserve() {
	if h.last+reserve/2 > h.reserved {
		h.reserved = h.last + reserve
	}
}

// forget loses the disk of a host whose clock is also behind.
func (h *host) forget() {
	h.reserved, h.slow = 0, maxSlow
	for _, m := range h.members {
		m.saved = m.saved[:0]
	}
}

// savedPeer is what state_dir holds about a peer.
type savedPeer struct {
	addr   netip.Addr
	number uint64
}

// note lets the agent learn from an advert that it read.
func (w *World) note(m *member, s *seen) {
	if !s.proven || w.hooks.NeverRaise {
		return
	}
	before := m.host.ahead
	m.host.raise(s.counter, s.At)
	if m.host.ahead-before > micros(election.Instant(crossing)) {
		m.host.jumped = w.now
	}
	for i := range m.saved {
		if p := &m.saved[i]; p.addr == s.Src {
			if s.counter > p.number+uint64(saveEvery/time.Microsecond) {
				p.number = s.counter
			}
			return
		}
	}
	m.saved = append(m.saved, savedPeer{s.Src, s.counter})
}

// recall gives a new data plane what state_dir holds about peers.
func (w *World) recall(m *member) {
	now := m.host.clock.local(w.now)
	for _, s := range m.saved {
		m.kernel.peers = append(m.kernel.peers, peer{
			addr: s.addr, number: s.number, pace: s.number, at: now, interval: interval(m.cfg),
			fake: true, base: base{number: s.number, at: now, taken: w.now},
		})
		m.kernel.highest = max(m.kernel.highest, s.number)
	}
}

// remind raises the host's numbers above those that the data plane has heard.
func (h *host) remind(m *member) {
	for i := range m.kernel.peers {
		p := &m.kernel.peers[i]
		h.raise(p.number, p.at)
	}
	h.last = max(h.last, m.kernel.highest)
}
