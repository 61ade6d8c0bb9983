// SPDX-License-Identifier: Apache-2.0

package loader

import "slices"

// slots hands out the small integers that index the tables, lowest first.
type slots struct {
	bound uint32
	next  uint32   // never handed out from here on
	free  []uint32 // handed back
}

func (s *slots) take() (uint32, bool) {
	if n := len(s.free); n > 0 {
		slot := s.free[n-1]
		s.free = s.free[:n-1]
		return slot, true
	}
	if s.next >= s.bound {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

func (s *slots) give(slot uint32) { s.free = append(s.free, slot) }

// reserve takes the slots in use out, before any was handed out.
func (s *slots) reserve(used map[uint32]bool) {
	for slot := range used {
		s.next = max(s.next, slot+1)
	}
	for slot := range s.next {
		if !used[slot] {
			s.free = append(s.free, slot)
		}
	}
	slices.Reverse(s.free)
}
