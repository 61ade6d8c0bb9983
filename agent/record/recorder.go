// SPDX-License-Identifier: Apache-2.0

package record

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/loader"
)

// Defaults of [Options].
const (
	DefaultMemory    = 64 << 20
	DefaultIncidents = 64
)

const (
	// period is the interval of draining the tap, on which the budgets of bpf/tap.h are based.
	period = 250 * time.Millisecond
	// capturePeriod is the interval during a capture.
	capturePeriod = 50 * time.Millisecond
	// maxNotes limits the inbox.
	maxNotes = 1 << 15
	// maxPerGroup is the largest number of entries per group.
	maxPerGroup = 2048
)

// Source is loader.Dataplane.
type Source interface {
	// DrainTap appends the samples since the last call. Their Data is good until the next one.
	DrainTap(dst []loader.Sample) ([]loader.Sample, uint64, error)
}

// Plane is loader.Group.
type Plane interface {
	SetCapture(on bool) error
	TapStats() (loader.TapStats, error)
}

// Options of [New]. The zero value keeps everything in memory.
type Options struct {
	Log *slog.Logger
	// Node and Version appear in incidents and captures.
	Node, Version string
	// Memory is the limit in bytes: half for the rings, half for incidents. 0 means
	// DefaultMemory.
	Memory int
	// Incidents is the largest number of incidents. 0 means DefaultIncidents.
	Incidents int
	// Dir keeps incidents across a restart; empty means memory only.
	Dir string
	// Boot returns CLOCK_BOOTTIME in ns, Wall the time of day, which is only shown.
	Boot func() int64
	Wall func() time.Time
}

// Recorder is the flight recorder. Its methods are safe for concurrent use.
type Recorder struct {
	opts Options
	poke chan struct{}

	inbox inbox

	mu        sync.Mutex // guards what follows
	groups    map[string]*group
	bySlot    map[uint32]*group
	open      []*group    // with an open incident
	incidents []*incident // oldest first
	nextID    uint64
	skipped   uint64
	lost      uint64
	rates     struct {
		claims, others bucket // claims are transitions to and from MASTER
	}
	captures int
	damaged  bool // the last drain failed

	samples []loader.Sample // used by Run only
	store   *store
}

// New returns a recorder, which records nothing until [Recorder.Run].
func New(o Options) *Recorder {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Memory <= 0 {
		o.Memory = DefaultMemory
	}
	if o.Incidents <= 0 {
		o.Incidents = DefaultIncidents
	}
	o.Incidents = min(o.Incidents, max(1, o.Memory/2/(maxEntries*entryCost)))
	r := &Recorder{
		opts: o, poke: make(chan struct{}, 1),
		groups: map[string]*group{}, bySlot: map[uint32]*group{}, nextID: 1,
		store: newStore(o.Dir, o.Log, o.Boot),
	}
	r.rates.claims = bucket{burst: 24, refill: int64(5 * time.Second)}
	r.rates.others = bucket{burst: 8, refill: int64(30 * time.Second)}
	return r
}

// maxEntries of an incident.
const maxEntries = frozenAdverts + frozenNeighbours + frozenRejects + frozenStates + recordedAfter

// Run records until ctx ends. It then drains the tap once more, and completes and saves open incidents.
func (r *Recorder) Run(ctx context.Context, src Source) {
	saved := r.store.start()
	r.load()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			r.tick(src)
			r.closeAll()
			r.store.stop()
			<-saved
			return
		case <-timer.C:
		case <-r.poke:
		}
		r.tick(src)
		timer.Reset(r.nap())
	}
}

func (r *Recorder) nap() time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.captures > 0 {
		return capturePeriod
	}
	return period
}

// tick processes the samples and notes since the last one.
func (r *Recorder) tick(src Source) {
	notes, dropped := r.inbox.take()
	samples, lost, err := src.DrainTap(r.samples[:0])
	r.samples = samples
	r.mu.Lock()
	defer r.mu.Unlock()
	r.noteFailure(err, dropped)
	if err == nil {
		r.lost = lost
	}
	before := len(r.groups)
	bound := map[string]int{} // the index of the last noteBind, by group
	for i := range notes {
		if n := &notes[i]; n.what == noteBind {
			r.bind(n)
			bound[n.group] = i
		}
	}
	if len(r.groups) != before {
		r.resize()
	}
	fresh := map[*group][]entry{} // entries of groups with captures
	for i := range samples {
		g := r.bySlot[samples[i].Slot]
		if g == nil {
			continue
		}
		e := entryOf(samples[i])
		g.take(e)
		if len(g.captures) > 0 {
			fresh[g] = append(fresh[g], e.owned())
		}
	}
	for i := range notes {
		n := &notes[i]
		if again, ok := bound[n.group]; ok && n.what == noteForget && again > i {
			continue // it was bound again
		}
		if g := r.groups[n.group]; g != nil {
			r.apply(g, n, fresh)
		}
	}
	r.closeDue(r.opts.Boot())
	if r.captures == 0 {
		return // without a walk through thousands of groups
	}
	for _, g := range r.groups {
		if len(g.captures) > 0 {
			g.deliver(fresh[g])
		}
	}
}

func (r *Recorder) noteFailure(err error, dropped int) {
	if err != nil && !r.damaged {
		r.opts.Log.Warn("recorder: cannot read the tap", "err", err)
	}
	r.damaged = err != nil
	if dropped > 0 {
		r.opts.Log.Warn("recorder: notes of the election lost", "notes", dropped)
	}
}

func (r *Recorder) bind(n *note) {
	g := r.groups[n.group]
	if g == nil {
		g = &group{name: n.group, pace: bucket{burst: 6, refill: int64(10 * time.Second)}}
		r.groups[n.group] = g
	} else {
		r.unbind(g)
	}
	g.ifname, g.plane, g.state, g.slot = n.ifname, n.plane, n.state, n.slot
	r.bySlot[n.slot] = g
	if len(g.captures) > 0 {
		r.setCapture(g, true)
	}
}

// unbind detaches a group from the data plane and keeps its entries.
func (r *Recorder) unbind(g *group) {
	g.missedBefore = g.missed()
	g.plane = nil
	if r.bySlot[g.slot] == g {
		delete(r.bySlot, g.slot)
	}
}

// resize divides the memory among the groups.
func (r *Recorder) resize() {
	per := min(maxPerGroup, r.opts.Memory/2/len(r.groups)/entryCost)
	for _, g := range r.groups {
		g.resize(per)
	}
}

func (r *Recorder) apply(g *group, n *note, fresh map[*group][]entry) {
	switch n.what {
	case noteBind: // handled in tick
	case noteHeard:
		g.lag(n.at, n.lag)
		for i := range fresh[g] {
			if e := &fresh[g][i]; e.At == n.at && e.Kind == loaderAuthentic {
				e.Lag = n.lag
			}
		}
	case noteTransition:
		e := entry{At: n.at, Lag: noLag, Transition: n.transition, CauseAt: n.causeAt}
		r.freeze(g, &e)
		g.state = n.transition.To
		if len(g.captures) > 0 {
			fresh[g] = append(fresh[g], e)
		}
	case noteForget:
		r.unbind(g)
		g.end("the group was removed from the config")
		if g.open != nil {
			r.close(g)
		}
		delete(r.groups, g.name)
	}
}

// freeze begins an incident, which ends an open one. A transition that comes too fast for its own
// incident extends the open one. The samples of this tick, even those after the transition, are
// already in the rings.
func (r *Recorder) freeze(g *group, e *entry) {
	now := r.opts.Boot()
	rate := &r.rates.others
	if e.Transition.From == api.StateMaster || e.Transition.To == api.StateMaster {
		rate = &r.rates.claims
	}
	if !g.pace.take(now) || !rate.take(now) {
		g.take(*e)
		r.skipped++
		if in := g.open; in != nil {
			in.until = min(max(in.until, e.At+after), in.At+atMost)
		}
		return
	}
	before := g.before()
	g.take(*e)
	if g.open != nil {
		r.close(g)
	}
	in := &incident{
		ID: r.nextID, Node: r.opts.Node, Group: g.name, Interface: g.ifname, At: e.At,
		Offset: r.opts.Wall().UnixNano() - now, CauseAt: e.CauseAt, First: *e.Transition,
		Missed: g.missed(), until: e.At + after,
	}
	r.nextID++
	in.Entries = append(before, *e)
	in.limit = len(in.Entries) + recordedAfter
	g.open = in
	r.open = append(r.open, g)
	r.keep(in)
}

func (r *Recorder) keep(in *incident) {
	r.incidents = append(r.incidents, in)
	if n := len(r.incidents) - r.opts.Incidents; n > 0 {
		r.incidents = slices.Delete(r.incidents, 0, n)
	}
}

func (r *Recorder) closeDue(now int64) {
	for _, g := range slices.Clone(r.open) {
		if now >= g.open.until {
			r.close(g)
		}
	}
}

func (r *Recorder) close(g *group) {
	in := g.open
	g.open = nil
	r.open = slices.DeleteFunc(r.open, func(o *group) bool { return o == g })
	in.finish(g.missed())
	oldest := uint64(0)
	if len(r.incidents) > 0 {
		oldest = r.incidents[0].ID
	}
	r.store.save(in, oldest)
}

func (r *Recorder) closeAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, g := range r.groups {
		g.end("vipd stopped")
		if g.open != nil {
			r.close(g)
		}
	}
}

// load adds the incidents that an earlier daemon saved.
func (r *Recorder) load() {
	old := r.store.load(r.opts.Incidents)
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, in := range old {
		r.keep(in)
		r.nextID = max(r.nextID, in.ID+1)
	}
}
