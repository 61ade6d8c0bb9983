// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/view"
	"vipd/agent/wire"
)

const (
	// maxReached bounds the known hosts that are asked.
	maxReached = 16
	// smallestAsked is the shortest prefix length of a network that is asked as a whole if no host is known.
	smallestAsked = 24
)

// askWithVirtualMAC finds out whether frames with the virtual MAC get through to other hosts and back. It asks them the
// same harmless question (RFC 5227: from 0.0.0.0, for their own address) with the NIC's MAC and with the virtual one as
// the sender. Only a MASTER may do so: the answer goes where the virtual MAC is.
func (e *examination) askWithVirtualMAC(ctx context.Context, wg *sync.WaitGroup) {
	e.reach = map[string]*netio.Reached{}
	for _, g := range e.n.Groups {
		v := g.Now()
		p := e.n.Interface(v.Config.Interface)
		if v.Machine.State != election.Master || p.Index == 0 || !view.Has4(v.Config) {
			continue
		}
		name, hosts := g.Name(), e.others(g, p)
		if len(hosts) == 0 {
			e.skip(
				"no other host is known on the segment, or to ask all its addresses would be too much",
				doctor.CodeMACSpoofing,
			)
			continue
		}
		wg.Go(func() {
			link, err := e.host.Link(v.Config.Interface)
			var r netio.Reached
			if err == nil {
				r, err = netio.Reaches(ctx, link, wire.VirtualMAC(v.Config.VHID), hosts)
			}
			if err != nil {
				e.skip(err.Error(), doctor.CodeMACSpoofing)
				return
			}
			if len(r.NIC) == 0 {
				e.skip("no host answered questions from the NIC's own MAC either", doctor.CodeMACSpoofing)
			}
			e.mu.Lock()
			defer e.mu.Unlock()
			e.reach[name] = &r
		})
	}
}

// others returns IPv4 addresses of other hosts on the segment of a group: neighbours and clients, or all of a small
// network.
func (e *examination) others(g *view.Live, p view.Interface) []netip.Addr {
	cfg := g.Published().Config
	own := e.ownNetworks(p.Index, cfg.Interface)
	mine := func(a netip.Addr) bool {
		return slices.ContainsFunc(slices.Concat(own, cfg.Addresses), func(q netip.Prefix) bool { return q.Addr() == a })
	}
	var out []netip.Addr
	add := func(a netip.Addr) {
		if a.Is4() && !a.IsUnspecified() && !mine(a) && !slices.Contains(out, a) && len(out) < maxReached {
			out = append(out, a)
		}
	}
	if at, err := e.host.Resolved(p.Index); err == nil { // else fewer are known
		for _, a := range at {
			add(a)
		}
	}
	for _, s := range e.o.opts.Recorder.Questions(g.Name()) {
		if q, ok := doctor.AskFromFrame(s.Data); ok {
			add(q.From)
		}
	}
	if len(out) > 0 {
		return out
	}
	for _, p := range own {
		if !p.Addr().Is4() || p.Bits() < smallestAsked || p.IsSingleIP() {
			continue
		}
		for a := p.Masked().Addr(); p.Contains(a); a = a.Next() {
			if !mine(a) {
				out = append(out, a)
			}
		}
		return out
	}
	return nil
}

// fencedFlows returns packets of this host from the group's addresses that were dropped since the watch began.
func (e *examination) fencedFlows(g *view.Live) []string {
	var out []string
	for _, s := range e.o.opts.Recorder.Fenced(g.Name(), fencedIP) {
		if flow, ok := doctor.FlowFromFrame(s.Data); ok && s.At >= int64(e.before.at) && !slices.Contains(out, flow) {
			out = append(out, flow)
		}
	}
	return out
}
