// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"slices"

	"vipd/agent/control/api"
	"vipd/loader"
)

// Rejects returns the newest refused adverts of a group with their frames, and foreign
// VRRP on its VHID, in the order of time. A flood of one reason does not push out the
// others.
func (r *Recorder) Rejects(name string) []loader.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[name]
	if g == nil {
		return nil
	}
	return samplesOf(g.rejects.entries)
}

// Announcements returns the newest gratuitous ARP that named an address of the group
// and came from elsewhere.
func (r *Recorder) Announcements(name string) []loader.Sample {
	return r.neighbours(name, loader.SampleARPGratuitous)
}

// Questions returns the newest ARP requests and neighbour solicitations for an address
// of the group that were answered.
func (r *Recorder) Questions(name string) []loader.Sample {
	return r.neighbours(name, loader.SampleARPRequest, loader.SampleNDSolicitation)
}

// neighbours are the newest samples of ARP and ND of these kinds.
func (r *Recorder) neighbours(name string, kinds ...loader.SampleKind) []loader.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[name]
	if g == nil {
		return nil
	}
	all := g.neighbours.newest(len(g.neighbours.entries))
	return samplesOf(slices.DeleteFunc(all, func(e entry) bool { return !slices.Contains(kinds, e.Kind) }))
}

func samplesOf(all []entry) []loader.Sample {
	out := make([]loader.Sample, 0, len(all))
	for i := range all {
		e := &all[i]
		out = append(out, loader.Sample{
			At: e.At, VLAN: e.VLAN, Kind: e.Kind, Reason: e.Reason, Out: e.Out, Yielded: e.Yielded,
			Sealed: e.Sealed, OwnCounter: e.OwnCounter, Length: e.Length, Data: slices.Clone(e.Data),
		})
	}
	return out
}

// Counts is how many samples of all groups found the ring full, and how many transitions
// got no incident of their own, since the start.
func (r *Recorder) Counts() (lost, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost, r.skipped
}

// Incidents lists what is kept, oldest first, without records.
func (r *Recorder) Incidents() api.Incidents {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := api.Incidents{Incidents: []api.Incident{}, Skipped: r.skipped, Unsaved: r.store.unsaved()}
	for _, in := range r.incidents {
		out.Incidents = append(out.Incidents, in.summary())
	}
	return out
}

// Incident returns one with all its records.
func (r *Recorder) Incident(id uint64) (api.Incident, bool) {
	r.mu.Lock()
	i, ok := slices.BinarySearchFunc(r.incidents, id, func(in *incident, id uint64) int { return cmp.Compare(in.ID, id) })
	if !ok {
		r.mu.Unlock()
		return api.Incident{}, false
	}
	in := r.incidents[i].clone()
	r.mu.Unlock() // decoding takes its time
	return in.whole(), true
}
