// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"slices"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/loader"
)

// readKernel reads the counters of the groups, all at once. Groups that are missing in that
// reading, because they were just added, are read one by one; so are all if the kernel
// refuses it.
func (o *Operator) readKernel(views []*view.Edition, now election.Instant) []*loader.Reading {
	all := func(view.Plane) *loader.Reading { return nil }
	// Without any it does not wait for interfaces that are just being attached.
	if slices.ContainsFunc(views, func(v *view.Edition) bool { return v.Plane != nil }) {
		read, err := o.opts.Plane.Readings(int64(now))
		if err == nil {
			all = read
		} else {
			o.log.Debug("cannot read all groups at once, reading one by one", "err", err)
		}
	}
	out := make([]*loader.Reading, len(views))
	for i, v := range views {
		if v.Plane != nil {
			out[i] = all(v.Plane)
		}
		if out[i] == nil {
			out[i] = readGroup(v.Group, now)
		}
	}
	return out
}

// readGroup reads one group. A group whose interface is gone, or goes during the reading,
// has zero counters and does not answer.
func readGroup(v *view.Group, now election.Instant) *loader.Reading {
	r := &loader.Reading{}
	if v.Plane == nil {
		return r
	}
	var err error
	if r.Stats, err = v.Plane.Stats(); err != nil {
		return &loader.Reading{}
	}
	if r.VIPs, err = v.Plane.VIPStats(); err != nil {
		return &loader.Reading{}
	}
	if r.Seen, err = v.Plane.Seen(); err != nil {
		return &loader.Reading{}
	}
	if r.Answering, err = v.Plane.Answering(int64(now)); err != nil {
		return &loader.Reading{}
	}
	return r
}

// The names of the counters, in the kernel's order, and that of what is no reject of a group: the foreign VRRP routers
// on its VHID.
var rejectReasons, dropReasons = loader.RejectReasons(), loader.DropReasons()

const foreignVRRP = "foreign_vrrp"

// tally makes maps of counters by reason. Where nothing is refused, all groups have the same counts and share one map.
type tally struct {
	reasons []string
	counts  []uint64          // of the last group
	shown   map[string]uint64 // the same by reason
}

func (t *tally) of(counts []uint64) map[string]uint64 {
	if t.shown == nil || !slices.Equal(t.counts, counts) {
		t.counts, t.shown = append(t.counts[:0], counts...), make(map[string]uint64, len(counts))
		for i, reason := range t.reasons {
			t.shown[reason] = counts[i]
		}
	}
	return t.shown
}

// tallies are those of a group.
type tallies struct{ rejected, dropped tally }

func newTallies() *tallies {
	return &tallies{
		rejected: tally{reasons: append(slices.Clone(rejectReasons), foreignVRRP)},
		dropped:  tally{reasons: dropReasons},
	}
}

// contextsOf counts what was received with each password and address list. The two digests
// of one (with and without link-local addresses) count as one.
func contextsOf(cfg *config.Group, received []uint64) []api.Context {
	var out []api.Context
	for i, c := range cfg.Contexts() {
		if len(out) == 0 || out[len(out)-1].Name != c.Name {
			out = append(out, api.Context{Name: c.Name})
		}
		if i < len(received) {
			out[len(out)-1].Received += received[i]
		}
	}
	return out
}

// unseenFor is how long a client that does not see the answers is reported.
const unseenFor = time.Minute

func unseen(st loader.VIPStats, now election.Instant) bool {
	return st.UnseenAt != 0 && now.Sub(election.Instant(st.UnseenAt)) < unseenFor
}
