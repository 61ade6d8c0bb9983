// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"cmp"
	"slices"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// Names of the ledger's own contributions.
const (
	demotionMaintenance = api.MaintenanceDemotion
	maintenanceValue    = 240 // skew 240, the most that FreeBSD puts on the wire
)

// ledger is the node's demotion as named contributions; the sum is what the elections see. A bare counter, as the BSDs
// have it, gets stuck when one event of a pair is missed, and does not show whose share it is.
type ledger struct {
	entries []api.Demotion // sorted by name
	// ends is when those end that do, in CLOCK_BOOTTIME.
	ends map[string]election.Instant
}

// set adds or replaces the contribution called name and reports whether the sum changed. An entry that is already there
// with this value keeps its since.
func (l *ledger) set(name string, value int, reason string, now time.Time) bool {
	if i, found := l.find(name); found && l.entries[i].Value == value {
		return false
	}
	l.put(api.Demotion{Name: name, Value: value, Reason: reason, Since: now}, 0)
	return value != 0
}

// put adds or replaces an entry, and reports whether anything but its since changed. An entry that was there with the
// same value keeps its since. It ends at end, or not by itself if that is 0; its Expires is for people.
func (l *ledger) put(d api.Demotion, end election.Instant) bool {
	delete(l.ends, d.Name)
	if end != 0 {
		if l.ends == nil {
			l.ends = map[string]election.Instant{}
		}
		l.ends[d.Name] = end
	}
	i, found := l.find(d.Name)
	if !found {
		l.entries = slices.Insert(l.entries, i, d)
		return true
	}
	old := l.entries[i]
	if old.Value == d.Value {
		d.Since = old.Since
	}
	l.entries[i] = d
	return d != old
}

// names returns the names of all entries.
func (l *ledger) names() []string {
	out := make([]string, 0, len(l.entries))
	for _, e := range l.entries {
		out = append(out, e.Name)
	}
	return out
}

// expired returns the names of the entries whose time is over.
func (l *ledger) expired(now election.Instant) []string {
	var out []string
	for _, e := range l.entries {
		if end, ends := l.ends[e.Name]; ends && now >= end {
			out = append(out, e.Name)
		}
	}
	return out
}

// byOperator counts the entries that were added by hand.
func (l *ledger) byOperator() int {
	n := 0
	for _, e := range l.entries {
		if e.OfOperator() {
			n++
		}
	}
	return n
}

// remove removes a contribution and reports whether the sum changed.
func (l *ledger) remove(name string) bool {
	i, found := l.find(name)
	if !found {
		return false
	}
	changed := l.entries[i].Value != 0
	delete(l.ends, name)
	l.entries = slices.Delete(l.entries, i, i+1)
	return changed
}

func (l *ledger) total() int {
	sum := 0
	for _, e := range l.entries {
		sum += e.Value
	}
	return sum
}

// list returns a copy that may outlive the ledger's next change.
func (l *ledger) list() []api.Demotion { return slices.Clone(l.entries) }

// view returns what readers see of the ledger.
func (l *ledger) view() view.Demotions {
	out := make(view.Demotions, 0, len(l.entries))
	for _, e := range l.entries {
		out = append(out, view.Demotion{Demotion: e, End: l.ends[e.Name]})
	}
	return out
}

func (l *ledger) find(name string) (int, bool) {
	return slices.BinarySearchFunc(l.entries, name, func(e api.Demotion, name string) int {
		return cmp.Compare(e.Name, name)
	})
}
