// SPDX-License-Identifier: Apache-2.0

package election

// Repeats follows which adverts of a group the kernel may keep to itself: those that repeat, in their family, an advert
// after which the machine is Settled. The kernel notes when it heard the last of them. The zero value permits none.
type Repeats struct{ families [2]repeats }

// repeats is one family.
type repeats struct {
	newest Advert  // that the machine heard by itself
	told   Advert  // that the kernel may have withheld repeats of
	last   Instant // newest time that the machine knows
}

// Note takes an advert that the machine hears by itself.
func (r *Repeats) Note(a Advert) {
	f := &r.families[FamilyOf(a.Src)-IPv4]
	f.newest, f.last = a, max(f.last, a.At)
}

// Withheld returns the adverts, the older one first, that the kernel heard and withheld up to the given time; heard is
// when it heard the last one of each family. The machine has to hear of them before anything that happened later.
func (r *Repeats) Withheld(heard [2]Instant, upTo Instant) (adverts [2]Advert, n int) {
	for i := range r.families {
		f, at := &r.families[i], heard[i]
		// What came before the kernel was told, or after its permission was withdrawn, was no repeat of this one.
		if f.told.At == 0 || at <= max(f.told.At, f.last) || at > upTo {
			continue
		}
		f.last = at
		a := f.told
		a.At, a.Withheld, a.Yielded = at, true, false
		adverts[n] = a
		n++
	}
	if n == 2 && adverts[1].At < adverts[0].At {
		adverts[0], adverts[1] = adverts[1], adverts[0]
	}
	return adverts, n
}

// Follow reports whether r follows the same adverts as before did, of which it may know newer ones.
func (r *Repeats) Follow(before *Repeats) bool {
	for i := range r.families {
		now, was := r.families[i], before.families[i]
		if now.last = was.last; now != was {
			return false
		}
	}
	return true
}

// Settle returns what the kernel may withhold from now on, by family: repeats of the advert that it reported with this
// time; none if that is 0.
func (r *Repeats) Settle(m *Machine) (of [2]Instant) {
	for i := range r.families {
		if f := &r.families[i]; f.newest.At > 0 && m.Settled(f.newest) {
			f.told, of[i] = f.newest, f.newest.At
		}
	}
	return of
}
