// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"errors"
	"maps"
	"slices"
	"sync/atomic"
	"time"

	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/view"
)

const (
	// routesEvery is how often the routes are read while this node owns anything. After a reading that
	// took long, it rests routesShare times as long.
	routesEvery = 5 * time.Second
	routesShare = 50
	// routesAfter lets the addresses of a handover leave first.
	routesAfter = 200 * time.Millisecond
)

// lostRoutes remembers which routes depended on an owner's addresses, and which of them a handover cost. The kernel
// removes routes with an address: those that have it as their source, and all IPv4 routes of an interface with its last
// IPv4 address. It sends no notification, and nothing adds them again.
type lostRoutes struct {
	known map[*view.Live]*routeMemory // of the watching goroutine
	lost  atomic.Pointer[map[*view.Live][]string]
}

// routeMemory is what is remembered of one group.
type routeMemory struct {
	generation uint64        // of the term as MASTER in which they were seen
	depend     []netio.Route // on the addresses of that term
	lost       []netio.Route
}

// of returns the routes that the last handover of a group cost.
func (r *lostRoutes) of(g *view.Live) []string {
	if all := r.lost.Load(); all != nil {
		return (*all)[g]
	}
	return nil
}

// WatchRoutes runs until ctx ends. changed receives a value when a group has changed its state.
func (o *Operator) WatchRoutes(ctx context.Context, changed <-chan struct{}) {
	rest := time.NewTimer(routesEvery)
	defer rest.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-rest.C:
		case <-changed:
			rest.Reset(routesAfter)
			continue
		}
		started := o.clock.Now()
		if err := o.LookAtRoutes(); err != nil && !errors.Is(err, netio.ErrManyRoutes) {
			o.log.Debug("cannot read the routes of this host", "err", err)
		}
		rest.Reset(max(routesEvery, routesShare*o.clock.Now().Sub(started)))
	}
}

// LookAtRoutes compares the routes of the host with what is known of each group, as
// [Operator.WatchRoutes] does again and again.
func (o *Operator) LookAtRoutes() error {
	n := o.loop.View()
	known := o.routes.known
	if len(known) > 0 {
		all := make(map[*view.Live]bool, len(n.Groups))
		for _, g := range n.Groups {
			all[g] = true
		}
		maps.DeleteFunc(known, func(g *view.Live, _ *routeMemory) bool { return !all[g] })
	}
	var on []*view.Live
	for _, g := range n.Groups {
		if v := g.Published(); known[g] != nil || v.Machine.State == election.Master && !v.Config.ByRoutes() {
			on = append(on, g)
		}
	}
	if len(on) == 0 {
		o.routes.lost.Store(nil)
		return nil
	}
	all, err := o.opts.Host.AllAddresses()
	if err != nil {
		return err
	}
	table := hostcheck.NewTable(all)
	carriers := make([]hostcheck.Carrier, len(on))
	for i, g := range on {
		v := g.Published()
		carriers[i] = hostcheck.Carrier{VIPs: v.Config.Addresses, ByRoutes: v.Config.ByRoutes()}
		if at := n.Interface(v.Config.Interface).Index; at != 0 {
			carriers[i].IfIndex, carriers[i].Own = at, table.Own(at)
		}
	}
	routes, err := o.opts.Host.Routes(func(r netio.Route) bool {
		return slices.ContainsFunc(carriers, func(c hostcheck.Carrier) bool { return c.AtRisk(r) })
	})
	if err != nil { // not complete: what is missing may be there
		return err
	}
	lost := map[*view.Live][]string{}
	for i, g := range on {
		if gone := o.compareRoutes(g, carriers[i].Routes(routes)); len(gone) > 0 {
			lost[g] = gone
		}
	}
	o.routes.lost.Store(&lost)
	return nil
}

// compareRoutes returns the routes that a handover of the group cost. now are the routes that
// depend on its addresses.
func (o *Operator) compareRoutes(g *view.Live, now []netio.Route) []string {
	machine := g.Published().Machine
	m := o.routes.known[g]
	if m == nil {
		m = &routeMemory{}
		o.routes.known[g] = m
	}
	present := func(r netio.Route) bool { return slices.Contains(now, r) }
	sameTerm := machine.State == election.Master && machine.Generation == m.generation
	if gone := slices.DeleteFunc(slices.Clone(m.depend), present); len(gone) > 0 && !sameTerm {
		m.lost = append(m.lost, gone...)
		o.log.Warn("the kernel removed routes with the virtual addresses of this node, and nothing adds them again; "+
			"let a hook add them at each transition to MASTER, or use a source address that stays",
			"group", g.Name(), "routes", hostcheck.RouteList(gone))
	}
	m.depend = nil
	if machine.State == election.Master {
		m.depend, m.generation = now, machine.Generation
	}
	m.lost = slices.DeleteFunc(m.lost, present)
	if len(m.lost) == 0 {
		if m.depend == nil {
			delete(o.routes.known, g)
		}
		return nil
	}
	texts := make([]string, 0, len(m.lost))
	for _, r := range m.lost {
		texts = append(texts, r.String())
	}
	return texts
}
