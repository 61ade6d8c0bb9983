// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
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
	groups map[*view.Live]counted
}

type counted struct {
	rejected map[string]uint64
	received uint64
	packets  uint64
	fenced   uint64
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
	out := &reading{at: o.clock.Now(), groups: map[*view.Live]counted{}}
	for _, g := range o.loop.View().Groups {
		if p := g.Now().Plane; p != nil {
			if st, err := p.Stats(); err == nil { // a group that is removed meanwhile has no counters
				out.groups[g] = counted{
					rejected(st), st.Received, st.Packets,
					fenced(byReason(loader.DropReasons(), st.Dropped[:])),
				}
			}
		}
	}
	return out
}

// since sets what has risen since the reading.
func (r *reading) since(g *view.Live, st *api.Group, now election.Instant, f *doctor.Group) {
	before := r.groups[g] // a group that is not there began with zeros
	f.Rise = doctor.Rise(st.Counters.AdvertisementsRejected, before.rejected)
	f.Received = doctor.RiseOf(st.Counters.AdvertisementsReceived, before.received)
	f.Delivered = doctor.RiseOf(st.Counters.Packets, before.packets)
	f.Fenced = doctor.RiseOf(fenced(st.Counters.FramesDropped), before.fenced)
	f.RiseTime = now.Sub(r.at)
}

// fencedIP is the reason with which packets of this host from a VIP are dropped, as in loader.DropReasons.
const fencedIP = "egress_not_answering_ip"

func fenced(dropped map[string]uint64) uint64 { return dropped[fencedIP] }

// nameFaults sets the faults that the doctor's passive rules find in the groups, which are
// those of st.
func (o *Operator) nameFaults(st *api.Status, groups []*view.Live, now election.Instant) {
	f := doctor.FromStatus(st, o.clock.At(now))
	for i, g := range groups {
		f.Groups[i].SlotTaken, f.Groups[i].HasPeer = g.Now().SlotTaken, g.Now().HasPeer
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
