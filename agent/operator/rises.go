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
	groups map[*view.Live]*counted
}

// counted are the counters of a group whose rise is of interest.
type counted struct {
	rejected                               [len(loader.GroupStats{}.Rejected)]uint64
	foreignVRRP, received, packets, fenced uint64
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
	out := &reading{at: o.clock.Now(), groups: make(map[*view.Live]*counted, len(groups))}
	all := make([]counted, len(groups))
	for i, r := range o.readKernel(editionsOf(groups), out.at) {
		st := &r.Stats
		all[i] = counted{st.Rejected, st.ForeignVRRP, st.Received, st.Packets, st.Dropped[fencedPlace]}
		out.groups[groups[i]] = &all[i]
	}
	return out
}

// rise returns the reasons of rejected adverts that rose, and by how much.
func rise(now map[string]uint64, before *counted) (out map[string]uint64) {
	note := func(reason string, before uint64) {
		if n := doctor.RiseOf(now[reason], before); n > 0 {
			if out == nil {
				out = make(map[string]uint64)
			}
			out[reason] = n
		}
	}
	for i, reason := range rejectReasons {
		note(reason, before.rejected[i])
	}
	note(foreignVRRP, before.foreignVRRP)
	return out
}

// fencedIP is the reason with which packets of this host from a VIP are dropped, and its place in
// [loader.GroupStats].Dropped.
const fencedIP = "egress_not_answering_ip"

var fencedPlace = slices.Index(dropReasons, fencedIP)

// faults returns what the doctor's passive rules find in a group. It sets known to what is known of the group.
func (o *Operator) faults(f *doctor.Facts, r *report, shown *api.Group, known *doctor.Group) []string {
	*known = doctor.FromGroup(shown)
	addUnshown(known, r.live, r.view, o.rises.older.Load(), r.now, shown)
	return doctor.Passive(f, known)
}

// addUnshown adds to the facts of a group what its status does not show: two from its view, and what rose since a
// reading, which may be nil.
func addUnshown(
	f *doctor.Group, live *view.Live, v *view.Group, since *reading, now election.Instant, shown *api.Group,
) {
	f.SlotTaken, f.HasPeer = v.SlotTaken, v.HasPeer
	if since == nil {
		return
	}
	before := since.groups[live]
	if before == nil {
		before = &counted{} // a group that is not there began with zeros
	}
	f.Rise = rise(shown.Counters.AdvertisementsRejected, before)
	f.Received = doctor.RiseOf(shown.Counters.AdvertisementsReceived, before.received)
	f.Delivered = doctor.RiseOf(shown.Counters.Packets, before.packets)
	f.Fenced = doctor.RiseOf(shown.Counters.FramesDropped[fencedIP], before.fenced)
	f.RiseTime = now.Sub(since.at)
}
