// SPDX-License-Identifier: Apache-2.0

package record

import (
	"cmp"
	"slices"

	"vipd/agent/control/api"
	"vipd/loader"
)

// Rejects returns the newest refused adverts of a group with their frames, and foreign VRRP on its VHID,
// oldest first.
func (r *Recorder) Rejects(name string) []loader.Sample {
	r.mu.Lock()
	defer r.mu.Unlock()
	g := r.groups[name]
	if g == nil {
		return nil
	}
	return samplesOf(g.rejects.entries)
}

// Questions returns the newest answered ARP requests and neighbour solicitations for an address of the
// group.
func (r *Recorder) Questions(name string) []loader.Sample {
	return r.neighbours(name, loader.SampleARPRequest, loader.SampleNDSolicitation)
}

// Fenced returns the newest packets from an address of the group that this host sent and the data plane
// dropped.
func (r *Recorder) Fenced(name, reason string) []loader.Sample {
	all := r.neighbours(name, loader.SampleDropped)
	return slices.DeleteFunc(all, func(s loader.Sample) bool { return !s.Out || s.Reason != reason })
}

// neighbours returns the newest ARP and ND samples of these kinds.
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
			Proven: e.Proven, OwnCounter: e.OwnCounter, Length: e.Length, Data: slices.Clone(e.Data),
		})
	}
	return out
}

// Counts returns how many samples of all groups were lost because the ring was full, and how many
// transitions have no incident of their own, since the start.
func (r *Recorder) Counts() (lost, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost, r.skipped
}

// Incidents lists the incidents, oldest first, without records.
func (r *Recorder) Incidents() api.Incidents {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := api.Incidents{Incidents: []api.Incident{}, Skipped: r.skipped, Unsaved: r.store.unsaved()}
	for _, in := range r.incidents {
		out.Incidents = append(out.Incidents, in.summary())
	}
	return out
}

// Incident returns an incident with its records.
func (r *Recorder) Incident(id uint64) (api.Incident, bool) {
	r.mu.Lock()
	i, ok := slices.BinarySearchFunc(r.incidents, id, func(in *incident, id uint64) int { return cmp.Compare(in.ID, id) })
	if !ok {
		r.mu.Unlock()
		return api.Incident{}, false
	}
	in := r.incidents[i].clone()
	r.mu.Unlock() // decoding takes long
	return in.whole(), true
}
