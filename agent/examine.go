// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/netio"
)

const (
	// minWatch and maxWatch bound how long the doctor watches when it is not told: in
	// one and a half intervals every master has spoken.
	minWatch = 3 * time.Second
	maxWatch = 15 * time.Second
	// explainLimit bounds the time that explaining digests takes in all.
	explainLimit = 5 * time.Second
	// maxAsked is how many addresses of one interface the segment is asked for.
	maxAsked = 256
)

// Doctor implements control.Backend. It reads what the loop published and what the
// kernel has, asks the segment, and never enters the loop.
func (b backend) Doctor(ctx context.Context, seconds int) (api.Doctor, error) {
	a := b.a
	select {
	case a.doctor <- struct{}{}: // one at a time: they would watch each other
		defer func() { <-a.doctor }()
	case <-ctx.Done():
		return api.Doctor{}, ctx.Err()
	}
	host, err := netio.NewHost()
	if err != nil {
		return api.Doctor{}, err
	}
	defer host.Close()
	n := a.node.Load()
	watch := time.Duration(seconds) * time.Second
	if seconds == 0 {
		watch = n.watchTime()
	}
	e := &examination{a: a, n: n, host: host, before: a.readCounters(), ports: map[string]portView{}}
	for _, p := range n.ports {
		e.ports[p.name] = p
	}
	started := a.now()
	e.watch(ctx, watch)
	if err := ctx.Err(); err != nil {
		return api.Doctor{}, err
	}
	return doctor.Diagnose(e.facts(ctx, a.now().Sub(started))), nil
}

// watchTime is long enough for every master to speak.
func (n *nodeView) watchTime() time.Duration {
	longest := time.Duration(0)
	for _, g := range n.groups {
		v := g.view.Load().view
		longest = max(longest, v.Effective.Interval())
		if v.Heard && !v.Master.Goodbye() {
			longest = max(longest, v.Master.Interval())
		}
	}
	return min(max(minWatch, longest*3/2), maxWatch)
}

// examination collects the facts of one run.
type examination struct {
	a      *Agent
	n      *nodeView
	host   *netio.Host
	ports  map[string]portView
	before *reading

	asked map[string][]netip.Addr // by interface

	mu      sync.Mutex
	claims  map[string][]netio.Claim // by interface
	skipped map[string]string        // by code
}

// skip notes why something could not be examined.
func (e *examination) skip(why string, codes ...string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.skipped == nil {
		e.skipped = map[string]string{}
	}
	for _, c := range codes {
		if e.skipped[c] == "" {
			e.skipped[c] = why
		}
	}
}

// facts puts together what is known after the watch.
func (e *examination) facts(ctx context.Context, watched time.Duration) *doctor.Facts {
	a := e.a
	st := a.status()
	now, wall := a.now(), a.timeOfDay()
	at := a.calendar(now, wall)
	f := doctor.FromStatus(&st, at(now))
	f.Watched = watched
	e.lag(f, now, at)
	views := map[string]*group{}
	for _, g := range a.node.Load().groups {
		views[g.name] = g
	}
	for i := range f.Groups {
		if g := views[f.Groups[i].Name]; g != nil {
			e.before.since(g, &st.Groups[i], now, &f.Groups[i])
			f.Groups[i].Questions = e.questions(g, at)
			e.examine(g, &f.Groups[i], e.rejects(g, at))
		}
	}
	e.beside(f)
	e.explain(ctx, f, views)
	f.Skipped = e.skipped
	return f
}

// lag is what the loop remembers of being late.
func (e *examination) lag(f *doctor.Facts, now election.Instant, at func(election.Instant) time.Time) {
	count, worst := e.a.late.lately(now)
	f.Lag = doctor.Lag{Count: count, Worst: worst.by}
	if count > 0 {
		f.Lag.At = at(worst.at)
	}
	for _, t := range e.a.history.last("", 0).Transitions {
		if t.Reason == election.ReasonLeaseExpired.String() && f.Time.Sub(t.Time) < time.Hour {
			f.Expired = append(f.Expired, t)
		}
	}
}

// examine adds what is known of one group beside its status.
func (e *examination) examine(g *group, f *doctor.Group, rejects []doctor.Reject) {
	v := g.view.Load()
	f.LLAddr, f.Interval = v.cfg.LLAddr, v.view.Effective.Interval()
	f.Rejects = rejects
	p := e.ports[v.cfg.Interface]
	if f.Master != nil && v.plane != nil {
		if seen, err := v.plane.Seen(); err == nil && seen.Src == f.Master.Address {
			f.Master.MAC = seen.SrcMAC
		}
	}
	if p.ifindex == 0 {
		return
	}
	e.filter(f, p.ifindex)
	for _, peer := range v.cfg.Peers {
		if _, err := e.host.Neighbour(p.ifindex, peer); err != nil {
			f.Unresolved = append(f.Unresolved, peer)
		}
	}
	mine := map[netip.Addr]bool{}
	for _, addr := range f.Addresses {
		mine[addr] = true
	}
	for _, addr := range e.asked[f.Interface] {
		if mine[addr] {
			f.Asked = append(f.Asked, addr)
		}
	}
	for _, c := range e.claims[f.Interface] {
		if mine[c.Address] {
			f.Answers = append(f.Answers, doctor.Answer{Address: c.Address, MAC: c.MAC})
		}
	}
}

func (e *examination) filter(f *doctor.Group, ifindex int) {
	if f.State != api.StateMaster {
		return
	}
	has, promiscuous, err := e.host.Receives(ifindex, vmacOf(f))
	if err != nil {
		e.skip(err.Error(), doctor.CodeMACFilter)
		return
	}
	f.Filter = &doctor.Filter{HasMAC: has, Promiscuous: promiscuous}
}

// beside finds the host's other interfaces that answered, or that could.
func (e *examination) beside(f *doctor.Facts) {
	all, err := e.host.Interfaces()
	if err != nil {
		e.skip(err.Error(), doctor.CodeSecondInterface)
		return
	}
	owner := map[[6]byte]string{}
	for _, i := range all {
		owner[i.MAC] = i.Name
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		for j := range g.Answers {
			g.Answers[j].Interface = owner[g.Answers[j].MAC]
		}
		if g.State != api.StateBackup {
			continue // a MASTER's addresses are on this host, and were asked for
		}
		for _, other := range all {
			if p, ok := within(other.Addresses, g.Addresses); ok && other.Name != g.Interface {
				g.Beside = append(g.Beside, doctor.Beside{Interface: other.Name, Address: p, ARPIgnore: other.ARPIgnore})
			}
		}
	}
}

// within finds the network of an interface's own in which one of the addresses is.
func within(own []netip.Prefix, addrs []netip.Addr) (netip.Prefix, bool) {
	for _, p := range own {
		for _, a := range addrs {
			if a.Is4() && !p.IsSingleIP() && p.Contains(a) {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}
