// SPDX-License-Identifier: Apache-2.0

package election

// speakers holds the newest advert of each source that may own the addresses. Normally there is one per
// address family.
type speakers [6]speaker

type speaker struct {
	Advert
	used bool
}

// quiet returns when the lease of the owner that sent a ends, if that is its last advert. Only the owner knows
// the length of its lease: this is an estimate from our dead ratio and its advbase. After a goodbye the
// owner is silent at once.
func (c Config) quiet(a Advert) Instant {
	if a.Goodbye() {
		return a.At
	}
	return a.At.Add(c.span(Config{AdvBase: a.AdvBase}.unit(a.Priority, a.Beat)))
}

// noteSpeaker stores a as the newest advert of its source and returns the previous one, if there is one. If there is no
// room, it replaces the source that has been silent for longest. If all may be alive, it replaces the worst,
// since a takeover waits for the better ones.
func (m *Machine) noteSpeaker(a Advert) (last Advert, known bool) {
	for i := range m.speakers {
		s := &m.speakers[i]
		if !s.used || s.Src != a.Src {
			continue
		}
		if a.At < s.At {
			return last, false
		}
		last, s.Advert = s.Advert, a
		m.mergeFamilies(a, last)
		return last, true
	}
	place := &m.speakers[0]
	for i := range m.speakers {
		if s := &m.speakers[i]; m.dispensable(s, place, a.At) {
			place = s
		}
	}
	*place = speaker{Advert: a, used: true}
	return last, false
}

// dispensable reports whether to replace s rather than o.
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

// mergeFamilies removes the entry of the other family of a's sender: the one that was heard together with a's
// predecessor and stated the same priority. a is newer for both.
func (m *Machine) mergeFamilies(a, before Advert) {
	for i := range m.speakers {
		s := &m.speakers[i]
		apart := s.At.Sub(before.At)
		if s.used && FamilyOf(s.Src) != FamilyOf(a.Src) && s.Priority == before.Priority &&
			max(apart, -apart) <= min(s.Priority.Interval()/4, minLateness) {
			*s = speaker{}
		}
	}
}
