// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

// otherNodes returns the nodes named in the config, as they answered, and after them those that report to this node or
// answer its reports.
func (s *Server) otherNodes(ctx context.Context, snap *snapshot) []other {
	asked := s.nodes.look(ctx)
	if !hasPeers(snap) {
		return asked
	}
	peers, err := s.backend.Peers(ctx)
	if err != nil {
		s.log.Warn("the status page cannot read the peers", "err", err)
		return asked
	}
	return append(slices.Clone(asked), reportedNodes(peers, snap, asked)...)
}

// hasPeers reports whether another node sends hellos.
func hasPeers(snap *snapshot) bool {
	for i := range snap.status.Groups {
		if g := &snap.status.Groups[i]; len(g.Standbys) > 0 || g.Master != nil && g.Master.Proven {
			return true
		}
	}
	return false
}

// reportedNodes returns the nodes that sent hellos and did not answer by HTTP.
func reportedNodes(peers api.Peers, snap *snapshot, asked []other) []other {
	var out []other
	for i := range peers.Peers {
		p := &peers.Peers[i]
		answered := func(o other) bool { return o.status != nil && o.status.Node == p.Node }
		if p.Node == "" || slices.ContainsFunc(asked, answered) {
			continue
		}
		if o, ok := reported(p, snap); ok {
			out = append(out, o)
		}
	}
	return out
}

// reported makes a status of what a node reported. It returns false if there is nothing to show: nodes report to the
// MASTER alone, so that a report that is not current says nothing of a node elsewhere.
func reported(p *api.Peer, snap *snapshot) (other, bool) {
	st := &api.Status{Version: p.Version, Node: p.Node, Enabled: true, Preempt: snap.status.Preempt}
	var differences []api.Difference
	missed := false
	for i := range p.Groups {
		g := &p.Groups[i]
		if !g.Hello {
			continue
		}
		ours, ok := groupOf(snap, g.Group)
		if !g.Current {
			missed = missed || ok && ours.State == api.StateMaster
			continue
		}
		if g.Preempt != nil {
			st.Preempt = *g.Preempt
		}
		st.Maintenance, st.Enabled = st.Maintenance || g.Maintenance, st.Enabled && !g.Disabled
		st.Demotion = g.Demotion
		st.Demotions = nil
		for _, name := range g.Demotions {
			st.Demotions = append(st.Demotions, api.Demotion{Name: name})
		}
		reason := ""
		if g.Disabled {
			reason = api.ReasonDisabled
		}
		vhid := 0
		if ok {
			vhid = ours.VHID
		}
		st.Groups = append(st.Groups, api.Group{
			Name: g.Group, VHID: vhid, State: g.State, Reason: reason, Addresses: g.Addresses,
			AdvBase: g.AdvBase, AdvSkew: g.AdvSkew, EffectiveAdvSkew: g.EffectiveAdvSkew,
			Dataplane: api.Dataplane{Answering: true}, // as far as it knows
		})
		differences = append(differences, g.Differences...)
	}
	if !slices.ContainsFunc(differences, func(d api.Difference) bool { return d.Code == api.DiffersVersion }) {
		st.Version = snap.status.Version // as far as a hello tells, which may carry less of it
	}
	if len(st.Groups) == 0 {
		o := other{node: p.Node, problem: "it stopped reporting at " + clock(p.LastSeen) + "."}
		return o, missed
	}
	o := newOther("", st)
	o.reported, o.differences = true, differences
	return o, true
}

// reports adds the differences that a node's hellos show and its facts do not. Several groups may have the same.
func (c *comparison) reports(o *other) {
	for _, d := range o.differences {
		switch d.Code {
		case api.DiffersAddresses, api.DiffersPassword, api.DiffersAdvBase:
			if f := differing(d); !slices.Contains(c.Differences, f) {
				c.Differences = append(c.Differences, f)
			}
		}
	}
}

// differing returns a difference between two nodes as a fault. One of addresses or password is meant only during a
// change: then the nodes accept both.
func differing(d api.Difference) fault {
	s := warning
	switch d.Code {
	case api.DiffersAdvBase, api.DiffersBeat, api.DiffersVersion:
		s = notice
	}
	return fault{s, d.Code, strings.ToUpper(d.Text[:1]) + d.Text[1:] + "."}
}
