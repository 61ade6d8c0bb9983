// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"fmt"
	"time"

	"vipd/agent/wire"
)

// maxCaptured is how many adverts an attacker keeps.
const maxCaptured = 64

// overhear lets attackers capture a frame once it has reached all hosts. Without an attacker it costs nothing.
func (w *World) overhear(f *frame) {
	if w.Faults&(1<<faultReplay|1<<faultForge|1<<faultGarbage) != 0 {
		w.at(w.now+w.net.flight, func() { w.capture(f) })
	}
}

func (w *World) capture(f *frame) {
	if len(w.captured) < maxCaptured {
		w.captured = append(w.captured, f)
		return
	}
	w.captured[w.attacks.below(maxCaptured)] = f
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
		w.attack(f, 500*time.Millisecond, func(a wire.AdvertFrame) wire.AdvertFrame { return a })
	case faultForge:
		w.attack(f, 500*time.Millisecond, w.alter)
	default:
	}
}

// attack sends captured adverts as changed by forge.
func (w *World) attack(f *fault, every time.Duration, forge func(wire.AdvertFrame) wire.AdvertFrame) {
	f.end = func() {}
	var next func()
	next = func() {
		if f.over {
			return
		}
		if len(w.captured) > 0 {
			old := w.captured[w.attacks.below(len(w.captured))]
			if a, err := wire.ParseAdvertFrame(old.bytes); err == nil {
				w.spoof(old.group, forge(a))
			}
		}
		w.at(w.now+w.attacks.between(0, every), next)
	}
	next()
}

func (w *World) spoof(g *group, a wire.AdvertFrame) {
	bytes, err := a.AppendBinary(nil)
	if err == nil {
		w.inject(g, bytes)
	}
}

// alter changes fields that CARP's digest does not cover.
func (w *World) alter(a wire.AdvertFrame) wire.AdvertFrame {
	s := w.attacks
	if s.chance(700) {
		a.Advert.AdvBase = oneOf[uint8](s, 0, 1, 1, 2, 255)
		a.Advert.AdvSkew = oneOf[uint8](s, 0, 1, 100, 240, 255)
	}
	if s.chance(300) {
		a.Advert.Demote = uint8(s.below(256))
	}
	if s.chance(500) {
		family := 0
		if a.Src.Is6() {
			family = 1
		}
		a.Src = w.hosts[s.below(len(w.hosts))].addrs[family]
	}
	return a
}

// garbage changes an advert so that it is not authentic.
func (w *World) garbage(a wire.AdvertFrame) wire.AdvertFrame {
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
	return a
}
