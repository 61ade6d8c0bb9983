// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
)

// riseSpacing is the time between two readings of the reject counters.
const riseSpacing = 20 * time.Second

// risen keeps the counters of a while ago, so that a status can say what rises now and
// not only what ever happened.
type risen struct {
	// older is one or two spacings back; nil in the first.
	older atomic.Pointer[reading]
}

// reading is the counters of all groups at one moment.
type reading struct {
	at     election.Instant
	groups map[*group]counted
}

type counted struct {
	rejected map[string]uint64
	received uint64
	packets  uint64
}

// watchRises reads the counters until ctx ends. It never enters the loop.
func (a *Agent) watchRises(ctx context.Context) error {
	tick := time.NewTicker(riseSpacing)
	defer tick.Stop()
	newer := a.readCounters()
	a.risen.older.Store(newer)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			a.risen.older.Store(newer)
			newer = a.readCounters()
		}
	}
}

func (a *Agent) readCounters() *reading {
	out := &reading{at: a.now(), groups: map[*group]counted{}}
	for _, g := range a.node.Load().groups {
		if p := g.view.Load().plane; p != nil {
			if st, err := p.Stats(); err == nil { // a group that goes meanwhile has nothing to say
				out.groups[g] = counted{rejected(st), st.Received, st.Packets}
			}
		}
	}
	return out
}

// since says what rose from the reading on.
func (r *reading) since(g *group, st *api.Group, now election.Instant, f *doctor.Group) {
	before := r.groups[g] // one that is not there began with zeros
	f.Rise = doctor.Rise(st.Counters.AdvertisementsRejected, before.rejected)
	f.Received = doctor.RiseOf(st.Counters.AdvertisementsReceived, before.received)
	f.Delivered = doctor.RiseOf(st.Counters.Packets, before.packets)
	f.RiseTime = now.Sub(r.at)
}

// nameFaults fills in what the passive rules of the doctor say of the groups, which are
// those of st.
func (a *Agent) nameFaults(st *api.Status, groups []*group, now election.Instant, wall time.Time) {
	f := doctor.FromStatus(st, a.calendar(now, wall)(now))
	if r := a.risen.older.Load(); r != nil {
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
