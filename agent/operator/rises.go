// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/loader"
)

// riseSpacing is the time between two readings of the counters.
const riseSpacing = 20 * time.Second

// rises keeps the counters of a while ago, so that a status can show what rises now and not
// only what ever happened.
type rises struct {
	// older is one or two spacings back; during the first spacing it is the first reading.
	older atomic.Pointer[reading]
}

// reading is the counters of all groups at one moment.
type reading struct {
	at     election.Instant
	groups map[*view.Live]loader.GroupStats
}

// WatchCounters reads the counters every now and then until ctx ends.
func (o *Operator) WatchCounters(ctx context.Context) {
	tick := time.NewTicker(riseSpacing)
	defer tick.Stop()
	newer := o.readCounters()
	o.rises.older.Store(newer)
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			o.rises.older.Store(newer)
			newer = o.readCounters()
		}
	}
}

// NoteCounters makes rises count from now on.
func (o *Operator) NoteCounters() { o.rises.older.Store(o.readCounters()) }

func (o *Operator) readCounters() *reading {
	groups := o.loop.View().Groups
	out := &reading{at: o.clock.Now(), groups: make(map[*view.Live]loader.GroupStats, len(groups))}
	views := make([]*view.Group, len(groups))
	for i, g := range groups {
		views[i] = g.Published()
	}
	for i, r := range o.readKernel(views, out.at) {
		r.Stats.Contexts = nil
		out.groups[groups[i]] = r.Stats
	}
	return out
}

// since sets what has risen since the reading.
func (r *reading) since(g *view.Live, st *api.Group, now election.Instant, f *doctor.Group) {
	before := r.groups[g] // a group that is not there began with zeros
	f.Rise = rise(st.Counters.AdvertisementsRejected, &before)
	f.Received = doctor.RiseOf(st.Counters.AdvertisementsReceived, before.Received)
	f.Delivered = doctor.RiseOf(st.Counters.Packets, before.Packets)
	f.Fenced = doctor.RiseOf(st.Counters.FramesDropped[fencedIP], before.Dropped[fencedPlace])
	f.RiseTime = now.Sub(r.at)
}

// rise returns the reasons of rejected adverts that rose, and by how much.
func rise(now map[string]uint64, before *loader.GroupStats) (out map[string]uint64) {
	note := func(reason string, before uint64) {
		if n := doctor.RiseOf(now[reason], before); n > 0 {
			if out == nil {
				out = make(map[string]uint64)
			}
			out[reason] = n
		}
	}
	for i, reason := range rejectReasons {
		note(reason, before.Rejected[i])
	}
	note(foreignVRRP, before.ForeignVRRP)
	return out
}

// fencedIP is the reason with which packets of this host from a VIP are dropped, and its place in
// [loader.GroupStats].Dropped.
const fencedIP = "egress_not_answering_ip"

var fencedPlace = slices.Index(dropReasons, fencedIP)

// nameFaults sets the faults that the doctor's passive rules find in the groups, which are
// those of st.
func (o *Operator) nameFaults(st *api.Status, groups []*view.Live, now election.Instant) {
	f := doctor.FromStatus(st, o.clock.At(now))
	for i, g := range groups {
		v := g.Published()
		f.Groups[i].SlotTaken, f.Groups[i].HasPeer = v.SlotTaken, v.HasPeer
	}
	if r := o.rises.older.Load(); r != nil {
		for i, g := range groups {
			r.since(g, &st.Groups[i], now, &f.Groups[i])
		}
	}
	byName := map[string][]string{}
	for _, x := range doctor.Passive(f) {
		byName[x.Group] = append(byName[x.Group], x.Code)
	}
	for i := range st.Groups {
		st.Groups[i].Faults = byName[st.Groups[i].Name]
	}
}
