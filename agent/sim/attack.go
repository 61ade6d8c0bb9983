// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/wire"
)

// The attacker sees every frame of the segment and keeps it as long as he likes, but does not have the password.

const (
	// maxTape is how many frames an attacker keeps: those of some minutes.
	maxTape = 4096
	// maxMissing is how many frames he keeps of which he knows that a host did not receive them.
	maxMissing = 64
)

// overhear lets attackers capture a frame once it has reached all hosts. Without an attacker it costs nothing.
func (w *World) overhear(f *frame) {
	if w.attacked() {
		w.at(w.now+w.net.flight, func() { w.capture(f) })
	}
}

func (w *World) capture(f *frame) {
	if len(w.tape) < maxTape {
		w.tape = append(w.tape, f)
		return
	}
	w.tape[w.attacks.below(maxTape)] = f
}

// captureMissing notes a frame that a host did not receive: to send it there is the most promising attack.
func (w *World) captureMissing(f *frame) {
	if !w.attacked() || f.from == nil {
		return
	}
	if len(w.missing) == maxMissing {
		w.missing = w.missing[1:]
	}
	w.missing = append(w.missing, f)
}

func (w *World) beginHostile(f *fault, g *group) {
	f.what = fmt.Sprintf("@%d", g.vhid)
	switch f.kind {
	case faultHairpin:
		w.net.hairpin = true
		f.end = func() { w.net.hairpin = false }
	case faultGarbage:
		w.attack(f, 20*time.Millisecond, w.garbage)
	case faultReplay:
		w.attack(f, 500*time.Millisecond, func(*wire.AdvertFrame) {})
	case faultForge:
		w.attack(f, 500*time.Millisecond, w.alter)
	default:
	}
}

// attack sends captured adverts as changed by forge.
func (w *World) attack(f *fault, every time.Duration, forge func(*wire.AdvertFrame)) {
	f.end = func() {}
	var next func()
	next = func() {
		if f.over {
			return
		}
		if old := w.captured(); old != nil {
			if a, err := wire.ParseAdvertFrame(old.bytes); err == nil {
				forge(&a)
				w.spoof(old, a)
			}
		}
		w.at(w.now+w.attacks.between(0, every), next)
	}
	next()
}

// captured returns one of the captured frames: any, a recent one, or one that a host did not receive.
func (w *World) captured() *frame {
	n := len(w.tape)
	switch draw, from := w.attacks.below(3), w.attacks.uint64(); {
	case n == 0:
		return nil
	case draw == 1 && len(w.missing) > 0:
		return w.missing[from%uint64(len(w.missing))]
	case draw == 2:
		recent := min(n, 16)
		return w.tape[n-recent+int(from%uint64(recent))]
	default:
		return w.tape[from%uint64(n)]
	}
}

// spoof sends a frame that was made from an old one.
func (w *World) spoof(old *frame, a wire.AdvertFrame) {
	g := old.group
	if vhid := int(a.Advert.VHID); vhid != int(g.vhid) && vhid > 0 && vhid <= len(w.groups) {
		g = w.groups[vhid-1]
	}
	if b, err := a.AppendBinary(nil); err == nil {
		f := &frame{bytes: b, group: g}
		if slices.Equal(b, old.bytes) {
			f.copied = old
		}
		w.inject(f)
	}
}

// alter changes an authentic advert: fields that CARP's digest does not cover, and the trailer.
func (w *World) alter(a *wire.AdvertFrame) {
	s := w.attacks
	if s.chance(700) {
		a.Advert.AdvBase = oneOf[uint8](s, 0, 1, 1, 2, 255)
		a.Advert.AdvSkew = oneOf[uint8](s, 0, 1, 100, 240, 255)
	}
	if s.chance(300) {
		a.Advert.Demote = uint8(s.below(256))
	}
	if s.chance(500) {
		w.move(a)
	}
	if s.chance(100) {
		a.Advert.VHID = uint8(1 + s.below(len(w.groups)))
	}
	switch other := w.captured(); s.below(4) {
	case 0:
		a.Trailer = nil
	case 1: // that of another advert
		if b, err := wire.ParseAdvertFrame(other.bytes); err == nil {
			a.Trailer = b.Trailer
		}
	}
}

// move changes the source of an advert to that of a node, in either family, or to one that no node has or that several
// may have.
func (w *World) move(a *wire.AdvertFrame) {
	s := w.attacks
	six := a.Src.Is6() != (w.Families == FamilyDual && s.chance(300))
	addrs := w.hosts[s.below(len(w.hosts))].addrs
	src := addrs[boolWord(six)]
	switch b := byte(s.below(256)); s.below(6) {
	case 0:
		src = netip.AddrFrom4([4]byte{192, 0, 2, b})
		if six {
			src = netip.AddrFrom16([16]byte{0xfe, 0x80, 14: 0xff, 15: b})
		}
	case 1:
		src = netip.IPv4Unspecified()
		if six {
			src = netip.IPv6Unspecified()
		}
	}
	a.Src, a.Dst = src, wire.MulticastV4
	if six {
		a.Dst = wire.MulticastV6
	}
	a.DstMAC = wire.MulticastMAC(a.Dst)
}

// garbage changes an advert so that it is not authentic.
func (w *World) garbage(a *wire.AdvertFrame) {
	s := w.attacks
	a.Advert.AdvSkew = uint8(s.below(2))
	switch s.below(4) {
	case 0:
		a.TTL = uint8(s.below(ttl))
	case 1:
		a.Advert.Counter ^= 1 << s.below(64)
	case 2:
		a.Advert.Digest[s.below(20)] ^= 1 << s.below(8)
	default:
		a.Advert.VHID ^= 1 << s.below(8)
	}
}

// strikeTapes starts faultTape until the given time. It has its own stream, so that other runs do not change.
func (w *World) strikeTapes(until time.Duration) {
	if w.Faults&(1<<faultTape) == 0 {
		return
	}
	w.recur(w.tapes, 2*max(w.Pace, time.Second), until, w.beginTape)
}

// beginTape plays the adverts of one node from some time on, at the speed of then or slower.
func (w *World) beginTape() {
	from := w.tapes.between(0, w.now)
	if w.tapes.chance(500) {
		from = max(0, w.now-w.tapes.between(0, 10*time.Second))
	}
	h := w.hosts[w.tapes.below(len(w.hosts))]
	slower := time.Duration(1 + w.tapes.below(3))
	f := &fault{kind: faultTape, what: fmt.Sprintf("%s from %v on, %d times slower", h.name, from, slower), end: func() {}}
	w.started(f, w.tapes.between(0, oneOf(w.tapes, 5*time.Second, 30*time.Second)))
	began := w.now
	for _, old := range w.tape {
		if old.from.host != h || old.at < from {
			continue
		}
		w.at(began+(old.at-from)*slower, func() {
			if !f.over {
				w.inject(&frame{bytes: old.bytes, group: old.group, copied: old})
			}
		})
	}
}
