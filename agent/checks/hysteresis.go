// SPDX-License-Identifier: Apache-2.0

package checks

// hysteresis turns single results into a verdict that does not follow every one.
type hysteresis struct {
	rise, fall int
	state      State
	good, bad  int // results in a row
}

// add counts one result and says whether the verdict changed.
func (h *hysteresis) add(ok bool) bool {
	next := h.state
	if ok {
		h.good, h.bad = h.good+1, 0
		if h.good >= h.rise {
			next = Passing
		}
	} else {
		h.good, h.bad = 0, h.bad+1
		if h.bad >= h.fall {
			next = Failing
		}
	}
	changed := next != h.state
	h.state = next
	return changed
}
