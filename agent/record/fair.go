// SPDX-License-Identifier: Apache-2.0

package record

import (
	"slices"

	"vipd/loader"
)

// fair keeps the newest refused frames. If it is full, it drops the oldest of the most frequent reason,
// so that a flood of one kind does not push out the others.
type fair struct {
	bound   int
	entries []entry
}

// reasonOf returns the reason, or the kind for entries without one.
func reasonOf(e *entry) string {
	if e.Kind == loader.SampleRejected {
		return e.Reason
	}
	return e.Kind.String()
}

func (f *fair) add(e entry) {
	if f.bound <= 0 {
		return
	}
	if len(f.entries) >= f.bound {
		f.evict()
	}
	f.entries = append(f.entries, e.owned())
}

// evict removes the oldest entry of the most frequent reason.
func (f *fair) evict() {
	counts := make(map[string]int)
	most := ""
	for i := range f.entries {
		reason := reasonOf(&f.entries[i])
		if counts[reason]++; most == "" || counts[reason] > counts[most] {
			most = reason
		}
	}
	i := slices.IndexFunc(f.entries, func(e entry) bool { return reasonOf(&e) == most })
	f.entries = slices.Delete(f.entries, i, i+1)
}

func (f *fair) resize(bound int) {
	f.bound = bound
	for len(f.entries) > bound {
		f.evict()
	}
}

func (f *fair) newest(n int) []entry {
	return slices.Clone(f.entries[max(0, len(f.entries)-n):])
}
