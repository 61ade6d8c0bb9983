// SPDX-License-Identifier: Apache-2.0

package web

import (
	"maps"
	"slices"
	"time"

	"vipd/agent/control/api"
)

const (
	// sampleEvery and points give the charts their five minutes.
	sampleEvery = 5 * time.Second
	points      = 60
	// markEvery and marks define which counters rose recently: within the last five to six minutes.
	markEvery = time.Minute
	marks     = 6
)

// The series that are kept per group.
const (
	seriesPackets = iota
	seriesBytes
	seriesSent
	seriesReceived
	seriesRejected
	seriesAsked // ARP and ND for all addresses
	seriesCount
)

// trace is a ring of rates per second. memory.place is the index of the newest.
type trace [points]float32

// groupMemory takes about 2 KiB, and 250 bytes per address.
type groupMemory struct {
	last   [seriesCount]uint64
	series [seriesCount]trace
	vips   map[string]*vipMemory
	marks  [marks]mark // once per minute
	seen   time.Time
	// spark is the chart of the table, as of sparkAt.
	spark   *spark
	sparkAt time.Time
}

type vipMemory struct {
	last  uint64
	asked trace
}

// memory holds the counters of the last minutes. It is not safe for concurrent use.
type memory struct {
	groups  map[string]*groupMemory
	sampled time.Time
	marked  time.Time
	place   int // index of the newest sample
	filled  int // number of samples
	mark    int // index of the oldest mark
	scratch []float32
}

func newMemory() *memory { return &memory{groups: map[string]*groupMemory{}} }

// note takes a sample and a mark when they are due, and removes groups that no longer exist.
func (m *memory) note(at time.Time, st *api.Status) {
	sample := m.sampled.IsZero() || at.Sub(m.sampled) >= sampleEvery-watched/2
	mark := m.marked.IsZero() || at.Sub(m.marked) >= markEvery
	elapsed := at.Sub(m.sampled).Seconds()
	if sample {
		m.place = (m.place + 1) % points
		m.filled = min(m.filled+1, points)
		if m.sampled.IsZero() {
			m.filled = 0 // a rate needs two readings
		}
		m.sampled = at
	}
	if mark {
		m.mark = (m.mark + 1) % marks
		m.marked = at
	}
	for i := range st.Groups {
		g := &st.Groups[i]
		gm := m.groups[g.Name]
		if gm == nil {
			gm = newGroupMemory(g)
			m.groups[g.Name] = gm
		}
		gm.seen = at
		if sample {
			gm.sample(m.place, elapsed, g)
		}
		if mark {
			gm.marks[(m.mark+marks-1)%marks] = gm.marks[(m.mark+marks-2)%marks].next(markOf(g))
		}
	}
	for name, gm := range m.groups {
		if !gm.seen.Equal(at) {
			delete(m.groups, name)
		}
	}
}

func newGroupMemory(g *api.Group) *groupMemory {
	gm := &groupMemory{last: totals(g), vips: map[string]*vipMemory{}}
	now := markOf(g)
	for i := range gm.marks {
		gm.marks[i] = now
	}
	for _, v := range g.VIPs {
		gm.vips[v.Address] = &vipMemory{last: v.ARPRequests + v.NDSolicitations}
	}
	return gm
}

// mark is the counters of a group that should not rise. The map is that of a status, which does not change.
type mark struct {
	rejected   map[string]uint64
	eventsLost uint64
}

func markOf(g *api.Group) mark { return mark{g.Counters.AdvertisementsRejected, g.Counters.EventsLost} }

// next returns the mark after m: with the map of m if that of now is equal.
func (m mark) next(now mark) mark {
	if maps.Equal(m.rejected, now.rejected) {
		now.rejected = m.rejected
	}
	return now
}

func totals(g *api.Group) [seriesCount]uint64 {
	t := [seriesCount]uint64{
		seriesPackets: g.Counters.Packets, seriesBytes: g.Counters.Bytes,
		seriesSent: g.Counters.AdvertisementsSent, seriesReceived: g.Counters.AdvertisementsReceived,
	}
	for _, n := range g.Counters.AdvertisementsRejected {
		t[seriesRejected] += n
	}
	for _, v := range g.VIPs {
		t[seriesAsked] += v.ARPRequests + v.NDSolicitations
	}
	return t
}

func (gm *groupMemory) sample(place int, elapsed float64, g *api.Group) {
	now := totals(g)
	for i := range now {
		gm.series[i][place] = rate(gm.last[i], now[i], elapsed)
	}
	gm.last = now
	for _, v := range g.VIPs {
		vm := gm.vips[v.Address]
		asked := v.ARPRequests + v.NDSolicitations
		if vm == nil {
			vm = &vipMemory{last: asked}
			gm.vips[v.Address] = vm
		}
		vm.asked[place] = rate(vm.last, asked, elapsed)
		vm.last = asked
	}
	if len(gm.vips) > len(g.VIPs) { // addresses were removed
		keep := make(map[string]*vipMemory, len(g.VIPs))
		for _, v := range g.VIPs {
			keep[v.Address] = gm.vips[v.Address]
		}
		gm.vips = keep
	}
}

// rate returns the increase per second; a counter that fell has restarted from 0.
func rate(was, now uint64, elapsed float64) float32 {
	if elapsed <= 0 {
		return 0
	}
	if now < was {
		was = 0
	}
	return float32(float64(now-was) / elapsed)
}

// line returns a trace from the oldest to the newest sample.
func (m *memory) line(t *trace) []float32 { return m.appendLine(make([]float32, 0, m.filled), t) }

func (m *memory) appendLine(out []float32, t *trace) []float32 {
	for i := m.filled - 1; i >= 0; i-- {
		out = append(out, t[(m.place-i+points)%points])
	}
	return out
}

// spark is a chart that is drawn when it is shown: of the rows of thousands of groups a page has 100.
type spark struct {
	what    string
	samples []float32
}

// draw returns the chart; that of nil is empty.
func (s *spark) draw() chart {
	if s == nil {
		return chart{}
	}
	return draw(s.what, s.samples, perSecond)
}

// spark returns the chart for the table: the packets to the address, or for a BACKUP, which gets
// none, the adverts received. It is the same as long as it looks the same.
func (m *memory) spark(g *api.Group) *spark {
	gm := m.groups[g.Name]
	if gm == nil {
		return nil
	}
	which, what := seriesPackets, "Packets to the address"
	if g.State == api.StateBackup {
		which, what = seriesReceived, "Advertisements received"
	}
	was := gm.spark
	if was != nil && was.what == what && gm.sparkAt.Equal(m.sampled) {
		return was
	}
	m.scratch = m.appendLine(m.scratch[:0], &gm.series[which])
	if len(m.scratch) > 0 && !slices.ContainsFunc(m.scratch, func(v float32) bool { return v != 0 }) {
		m.scratch = m.scratch[:1] // nothing rises: any number of samples looks like one
	}
	if was == nil || was.what != what || !slices.Equal(was.samples, m.scratch) {
		gm.spark = &spark{what, slices.Clone(m.scratch)}
	}
	gm.sparkAt = m.sampled
	return gm.spark
}

// rise is by how much each fault was counted up in the last minutes.
func (m *memory) rise(g *api.Group) map[string]uint64 {
	gm := m.groups[g.Name]
	if gm == nil {
		return nil
	}
	then, now := gm.marks[m.mark], markOf(g)
	var out map[string]uint64
	note := func(reason string, was, n uint64) {
		if n < was {
			was = 0
		}
		if n > was {
			if out == nil {
				out = map[string]uint64{}
			}
			out[reason] = n - was
		}
	}
	for reason, n := range now.rejected {
		note(reason, then.rejected[reason], n)
	}
	note("events_lost", then.eventsLost, now.eventsLost)
	return out
}
