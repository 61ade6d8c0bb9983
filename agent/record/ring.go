// SPDX-License-Identifier: Apache-2.0

package record

// ring keeps the newest entries, with Data of their own, and grows up to its bound.
type ring struct {
	bound   int
	entries []entry
	next    int // the index of the oldest, once full
}

func (r *ring) add(e entry) {
	if r.bound <= 0 {
		return
	}
	if n := len(r.entries); n < r.bound {
		if n == cap(r.entries) { // no larger than the bound
			r.entries = append(make([]entry, 0, min(max(4, 2*n), r.bound)), r.entries...)
		}
		r.entries = append(r.entries, e.owned())
		return
	}
	oldest := &r.entries[r.next]
	e.Data = append(oldest.Data[:0], e.Data...)
	*oldest = e
	r.next = (r.next + 1) % r.bound
}

// newest returns copies of at most n entries, oldest first.
func (r *ring) newest(n int) []entry {
	n = min(n, len(r.entries))
	out := make([]entry, 0, n)
	for i := len(r.entries) - n; i < len(r.entries); i++ {
		out = append(out, r.at(i).owned())
	}
	return out
}

func (r *ring) at(i int) *entry { return &r.entries[(r.next+i)%len(r.entries)] }

// resize sets the bound and keeps the newest entries.
func (r *ring) resize(bound int) {
	if bound == r.bound {
		return
	}
	r.entries, r.next, r.bound = r.newest(bound), 0, bound
}

// find returns the authentic advert that was received at a time, or nil.
func (r *ring) find(at int64) *entry {
	for back := 1; back <= len(r.entries); back++ {
		if e := r.at(len(r.entries) - back); e.At == at && e.Kind == loaderAuthentic {
			return e
		}
	}
	return nil
}
