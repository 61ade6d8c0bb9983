// SPDX-License-Identifier: Apache-2.0

package tables

import "slices"

// slots allocates the small integers that index the tables, lowest first.
type slots struct {
	bound uint32
	next  uint32   // from here on never allocated
	free  []uint32 // freed
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

// reserve marks the slots that are in use, before any is allocated.
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
