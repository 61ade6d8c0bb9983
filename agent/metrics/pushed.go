// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// pushed are the series of one metric that are pushed when something happens, and kept in the
// order in which they are written. The library checks and sorts all of them at each scrape,
// which took a fifth of it with 4,096 groups.
type pushed[T any] struct {
	mu     sync.Mutex
	byKey  map[string]*series[T]
	sorted []*series[T]
}

type series[T any] struct {
	group  string // its labels together
	labels []string
	value  T
}

// at returns the value with these labels, which are made by label and in the order of their
// names; one that was not there begins with the zero value.
func (p *pushed[T]) at(group string, labels ...string) *T {
	key := strings.Join(labels, ",")
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.byKey[key]; s != nil {
		return &s.value
	}
	s := &series[T]{group: group, labels: labels}
	if p.byKey == nil {
		p.byKey = map[string]*series[T]{}
	}
	p.byKey[key] = s
	i, _ := slices.BinarySearchFunc(p.sorted, labels, func(s *series[T], labels []string) int { return slices.Compare(s.labels, labels) })
	p.sorted = slices.Insert(p.sorted, i, s)
	return &s.value
}

// forget drops the series of a group.
func (p *pushed[T]) forget(group string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sorted = slices.DeleteFunc(p.sorted, func(s *series[T]) bool {
		if s.group == group {
			delete(p.byKey, strings.Join(s.labels, ","))
		}
		return s.group == group
	})
}

// all returns the series. Who writes them may be held up by a slow client, and nobody is by
// who writes.
func (p *pushed[T]) all() []*series[T] {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.sorted)
}

// counters writes the series of a counter.
func counters(of *pushed[atomic.Uint64]) func(*page, *view) {
	return func(p *page, _ *view) {
		for _, s := range of.all() {
			p.count(s.value.Load(), s.labels...)
		}
	}
}

// took is a histogram of seconds with the buckets of hooks.
type took struct {
	mu     sync.Mutex
	counts []uint64 // of each bucket alone, the one without an upper bound last
	sum    float64
}

func (t *took) observe(seconds float64) {
	buckets := hookBuckets()
	i, _ := slices.BinarySearch(buckets, seconds) // a bound is in its own bucket
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.counts == nil {
		t.counts = make([]uint64, len(buckets)+1)
	}
	t.counts[i]++
	t.sum += seconds
}

func (t *took) read() (counts []uint64, sum float64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.counts), t.sum
}

// durations writes the series of a histogram; the label le stands last, as the library has it.
func durations(of *pushed[took]) func(*page, *view) {
	var bounds []string
	for _, b := range hookBuckets() {
		bounds = append(bounds, label("le", formatFloat(b)))
	}
	bounds = append(bounds, label("le", "+Inf"))
	return func(p *page, _ *view) {
		for _, s := range of.all() {
			counts, sum := s.value.read()
			total := uint64(0)
			for i, le := range bounds {
				if counts != nil {
					total += counts[i]
				}
				p.suffix = "_bucket"
				p.count(total, append(slices.Clip(s.labels), le)...)
			}
			p.suffix = "_sum"
			p.gauge(sum, s.labels...)
			p.suffix = "_count"
			p.count(total, s.labels...)
			p.suffix = ""
		}
	}
}

// pushedFamilies are sorted with the others.
func (m *Metrics) pushedFamilies() []family {
	return []family{
		{nameTransitions, "Transitions of a group by old state, new state and reason.", counter, counters(&m.transitions)},
		{nameHookRuns, "Runs of a group's hook by how they ended.", counter, counters(&m.hookRuns)},
		{nameHookSkipped, "Transitions that a later run of the hook told of as well, because it was too slow.", counter, counters(&m.hookSkipped)},
		{nameHookDuration, "How long runs of a group's hook took.", histogram, durations(&m.hookTook)},
	}
}

// groupLabels are those of a group, and both as a key.
type groupLabels struct{ iface, vhid, key string }

func groupOf(ifname string, vhid uint8) groupLabels {
	g := groupLabels{iface: label("interface", ifname), vhid: label("vhid", vhidLabel(vhid))}
	g.key = g.iface + "," + g.vhid
	return g
}
