// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// pushed holds the series of one metric that is updated when something happens. See [page] for why they are not in the
// library's registry.
type pushed[T any] struct {
	fresh func() T // a series that nothing was counted for

	mu      sync.Mutex
	byKey   map[string]*series[T]
	list    []*series[T]
	changes uint64 // of the list; each adds to its end, or removes
	sorted  uint64 // the number of changes after which it was sorted
}

type series[T any] struct {
	group  string // its labels together
	labels []string
	value  T
}

func newPushed[T any](fresh func() T) *pushed[T] {
	return &pushed[T]{fresh: fresh, byKey: map[string]*series[T]{}}
}

// at returns the value with these labels, which are made by label and in the order of their names. It adds the series
// if there is none.
func (p *pushed[T]) at(group string, labels ...string) T {
	key := strings.Join(labels, ",")
	p.mu.Lock()
	defer p.mu.Unlock()
	if s := p.byKey[key]; s != nil {
		return s.value
	}
	s := &series[T]{group: group, labels: labels, value: p.fresh()}
	p.byKey[key] = s
	p.list = append(p.list, s)
	p.changes++
	return s.value
}

// forget removes the series of a group.
func (p *pushed[T]) forget(group string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.list = slices.DeleteFunc(p.list, func(s *series[T]) bool {
		if s.group == group {
			delete(p.byKey, strings.Join(s.labels, ","))
		}
		return s.group == group
	})
	p.changes++
}

// all returns the series in the order in which they are written. Neither sorting nor a slow client holds up an update:
// a takeover of thousands of groups adds as many series.
func (p *pushed[T]) all() []*series[T] {
	p.mu.Lock()
	out, changes, sorted := slices.Clone(p.list), p.changes, p.sorted
	p.mu.Unlock()
	if sorted == changes {
		return out
	}
	slices.SortFunc(out, func(a, b *series[T]) int { return slices.Compare(a.labels, b.labels) })
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.changes == changes {
		p.list, p.sorted = slices.Clone(out), changes
	}
	return out
}

func newCount() *atomic.Uint64 { return new(atomic.Uint64) }

// counters writes the series of a counter.
func counters(of *pushed[*atomic.Uint64]) func(*page, *view) {
	return func(p *page, _ *view) {
		for _, s := range of.all() {
			p.count(s.value.Load(), s.labels...)
		}
	}
}

func newHookDuration() prometheus.Histogram {
	return prometheus.NewHistogram(prometheus.HistogramOpts{Name: nameHookDuration, Buckets: hookBuckets()})
}

// durations writes the series of a histogram; the label le is the last, as the library writes it.
func durations(of *pushed[prometheus.Histogram]) func(*page, *view) {
	var bounds []string
	for _, b := range hookBuckets() {
		bounds = append(bounds, label("le", formatFloat(b)))
	}
	infinity := label("le", "+Inf")
	return func(p *page, _ *view) {
		for _, s := range of.all() {
			var m dto.Metric
			if err := s.value.Write(&m); err != nil {
				continue // the library returns no error for a histogram without exemplars
			}
			labels, h := slices.Clip(s.labels), m.GetHistogram()
			p.suffix = "_bucket"
			for i, b := range h.GetBucket() {
				p.count(b.GetCumulativeCount(), append(labels, bounds[i])...)
			}
			p.count(h.GetSampleCount(), append(labels, infinity)...)
			p.suffix = "_sum"
			p.gauge(h.GetSampleSum(), labels...)
			p.suffix = "_count"
			p.count(h.GetSampleCount(), labels...)
			p.suffix = ""
		}
	}
}

// pushedFamilies are sorted with the others.
func (m *Metrics) pushedFamilies() []family {
	return []family{
		{
			nameTransitions, "Transitions of a group by old state, new state and reason.", counter,
			counters(m.transitions),
		},
		{nameHookRuns, "Runs of a group's hook by outcome.", counter, counters(m.hookRuns)},
		{
			nameHookSkipped, "Transitions that a later run of the hook covered, because the hook was too slow.", counter,
			counters(m.hookSkipped),
		},
		{nameHookDuration, "Duration of the runs of a group's hook.", histogram, durations(m.hookTook)},
	}
}

// groupLabels are those of a group, and both as a key.
type groupLabels struct{ iface, vhid, key string }

func groupOf(ifname string, vhid uint8) groupLabels {
	g := groupLabels{iface: label("interface", ifname), vhid: label("vhid", vhidLabel(vhid))}
	g.key = g.iface + "," + g.vhid
	return g
}
