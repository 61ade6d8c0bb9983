// SPDX-License-Identifier: Apache-2.0

package election

import "time"

// speakers are the newest adverts of those who may own the addresses, one from each
// source. In peace there is one; each of two families counts.
type speakers [6]speaker

type speaker struct {
	Advert
	used bool
}

// quiet is when the owner that sent a has fallen silent, if that is its last advert: its
// lease counts from before a was sent. How long it is only the owner knows; ours is the
// estimate, with its advbase. What says goodbye is silent.
func (c Config) quiet(a Advert) Instant {
	if a.Goodbye() {
		return a.At
	}
	unit := time.Duration(a.AdvBase) * time.Second
	if a.AdvBase == 0 {
		unit = a.Interval()
	}
	return a.At.Add(time.Duration(c.DeadRatio * float64(unit)))
}

// noteSpeaker takes a as the newest advert of its source and returns the one before; nil
// if none is remembered. Where there are more than can
// be remembered, who has been silent for longest is forgotten, and who may be alive last:
// the worst of them, since it is the better ones that a takeover waits for.
func (m *Machine) noteSpeaker(a Advert) (last *Advert) {
	var before *speaker
	place := &m.speakers[0]
	for i := range m.speakers {
		s := &m.speakers[i]
		if s.used && s.Src == a.Src {
			before = s
		}
		if m.dispensable(s, place, a.At) {
			place = s
		}
	}
	if before != nil {
		if a.At < before.At {
			return nil
		}
		known := before.Advert
		m.mergeFamilies(a, known)
		place, last = before, &known
	}
	*place = speaker{Advert: a, used: true}
	return last
}

// dispensable reports whether s is to be forgotten rather than o.
func (m *Machine) dispensable(s, o *speaker, now Instant) bool {
	if !s.used || !o.used {
		return o.used
	}
	past, other := m.cfg.quiet(s.Advert), m.cfg.quiet(o.Advert)
	if past < now || other < now {
		return past < other
	}
	return s.micros() > o.micros()
}

// mergeFamilies forgets what the sender of a said in its other family, where it was heard
// along with a's predecessor and stated the same: a says what is true for both.
func (m *Machine) mergeFamilies(a, before Advert) {
	for i := range m.speakers {
		s := &m.speakers[i]
		apart := s.At.Sub(before.At)
		if s.used && FamilyOf(s.Src) != FamilyOf(a.Src) && s.Priority == before.Priority &&
			max(apart, -apart) <= min(s.Interval()/4, minLateness) {
			*s = speaker{}
		}
	}
}
