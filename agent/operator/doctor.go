// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/ordinary"
	"vipd/agent/view"
)

const (
	// minWatch and maxWatch bound the default time of the doctor's watch: in one and a
	// half intervals every master has spoken.
	minWatch = 3 * time.Second
	maxWatch = 15 * time.Second
	// explainLimit bounds the total time for explaining digests.
	explainLimit = 5 * time.Second
	// maxAsked is how many addresses of one interface the segment is asked for.
	maxAsked = 256
)

// Doctor implements control.Backend. It reads what the loop published and what the
// kernel has, asks the segment, and never enters the loop.
func (o *Operator) Doctor(ctx context.Context, seconds int) (api.Doctor, error) {
	select {
	case o.doctor <- struct{}{}:
		defer func() { <-o.doctor }()
	case <-ctx.Done():
		return api.Doctor{}, ctx.Err()
	}
	host, err := netio.NewHost()
	if err != nil {
		return api.Doctor{}, err
	}
	defer host.Close()
	n := o.loop.View()
	watch := time.Duration(seconds) * time.Second
	if seconds == 0 {
		watch = watchTime(n)
	}
	e := &examination{o: o, n: n, host: host, before: o.readCounters()}
	started := o.clock.Now()
	e.watch(ctx, watch)
	if err := ctx.Err(); err != nil {
		return api.Doctor{}, err
	}
	watched := o.clock.Now().Sub(started)
	var result api.Doctor
	err = ordinary.Aside(ctx, func(ctx context.Context) error {
		result = doctor.Diagnose(e.facts(ctx, watched))
		return nil
	})
	return result, err
}

// watchTime returns a time in which every master advertises.
func watchTime(n *view.Node) time.Duration {
	longest := time.Duration(0)
	for _, g := range n.Groups {
		v := g.Now().Machine
		longest = max(longest, v.Effective.Interval())
		if v.Heard && !v.Master.Goodbye() {
			longest = max(longest, v.Master.Interval())
		}
	}
	return min(max(minWatch, longest*3/2), maxWatch)
}

// examination collects the facts of one run.
type examination struct {
	o      *Operator
	n      *view.Node
	host   *netio.Host
	before *reading

	asked map[string][]netip.Addr   // by interface
	reach map[string]*netio.Reached // by group

	mu      sync.Mutex
	claims  map[string][]netio.Claim // by interface
	skipped map[string]string        // by code
}

// skip notes why rules could not be examined.
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

// facts returns what is known after the watch.
func (e *examination) facts(ctx context.Context, watched time.Duration) *doctor.Facts {
	o := e.o
	st := o.status()
	now, at := o.clock.Now(), o.clock.Calendar()
	f := doctor.FromStatus(&st, at(now))
	f.Watched = watched
	e.lag(f, now, at)
	views := map[string]*view.Live{}
	for _, g := range o.loop.View().Groups {
		views[g.Name()] = g
	}
	host, err := hostcheck.Read(e.host, e.n.Config)
	if err != nil {
		e.skip(err.Error(), doctor.CodeHostConfig)
	}
	for i := range f.Groups {
		if g := views[f.Groups[i].Name]; g != nil {
			v := g.Now()
			if err == nil && f.Groups[i].State != api.StateInit {
				f.Groups[i].HostNotes = host.Notes(*v.Config)
			}
			f.Groups[i].NoRoom, f.Groups[i].Unlisted = noRoom(e.n, v, now), v.HasUnlisted(now)
			f.Groups[i].Reports = reportsOf(e.n, v, now, at)
			addUnshown(&f.Groups[i], g, v, e.before, now, &st.Groups[i])
			f.Groups[i].Questions = e.questions(g, at)
			e.examine(g, &f.Groups[i], e.rejects(g, at))
		}
	}
	e.beside(f)
	e.explain(ctx, f, views)
	f.Commands, f.RealTime = o.opts.Programs.Warnings(), o.opts.RealTime
	f.Skipped = e.skipped
	return f
}

// lag adds how often the loop was run too late.
func (e *examination) lag(f *doctor.Facts, now election.Instant, at func(election.Instant) time.Time) {
	count, worst, when := e.o.loop.Lag(now)
	f.Lag = doctor.Lag{Count: count, Worst: worst}
	if count > 0 {
		f.Lag.At = at(when)
	}
	for _, t := range e.o.opts.History.Last("", 0).Transitions {
		if t.Reason == election.ReasonLeaseExpired.String() && f.Time.Sub(t.Time) < time.Hour {
			f.Expired = append(f.Expired, t)
		}
	}
}

// skipped reports whether adverts are not meant for a peer: it is this node.
func skipped(v *view.Group, peer netip.Addr) bool {
	return slices.ContainsFunc(v.Skipped, func(note string) bool {
		return strings.HasPrefix(note, "peer "+peer.String()+" ") // see agent/reach
	})
}

// examine adds what is known of one group besides its status.
func (e *examination) examine(g *view.Live, f *doctor.Group, rejects []doctor.Reject) {
	v := g.Now()
	f.LLAddr, f.Interval = v.Config.LLAddr, v.Machine.Effective.Interval()
	f.Rejects, f.RequireTrailer = rejects, v.Config.RequireTrailer
	f.FencedFlows = e.fencedFlows(g)
	if r := e.reach[g.Name()]; r != nil {
		f.Reach = &doctor.Reach{NIC: r.NIC, Virtual: r.Both}
		f.Delivered -= min(f.Delivered, r.Frames) // of clients alone
	}
	p := e.n.Interface(v.Config.Interface)
	if f.Master != nil && v.Plane != nil {
		if seen, err := v.Plane.Seen(); err == nil && seen.Src == f.Master.Address {
			f.Master.MAC = seen.SrcMAC
		}
	}
	if p.Index == 0 {
		return
	}
	e.filter(f, p.Index)
	for _, peer := range v.Config.Peers {
		if skipped(v, peer) {
			continue
		}
		if _, err := e.host.Neighbour(p.Index, peer); err != nil {
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
			f.Answers = append(f.Answers, doctor.Answer{Address: c.Address, MAC: c.MAC, Proxy: c.Proxy})
		}
	}
}

func (e *examination) filter(f *doctor.Group, ifindex int) {
	if f.State != api.StateMaster {
		return
	}
	filter, err := e.host.Receives(ifindex, vmacOf(f))
	if err != nil {
		e.skip(err.Error(), doctor.CodeMACFilter)
		return
	}
	f.Filter = &doctor.Filter{HasMAC: filter.HasMAC, Promiscuous: filter.Promiscuous, None: filter.None}
}

// beside adds the host's other interfaces that answered, or that could.
func (e *examination) beside(f *doctor.Facts) {
	all, err := e.host.Interfaces()
	if err != nil {
		e.skip(err.Error(), doctor.CodeSecondInterface)
		return
	}
	owner, byText := map[[6]byte]string{}, map[string]string{}
	for _, i := range all {
		owner[i.MAC], byText[net.HardwareAddr(i.MAC[:]).String()] = i.Name, i.Name
	}
	for i := range f.Groups {
		g := &f.Groups[i]
		for j := range g.Answers {
			g.Answers[j].Interface = owner[g.Answers[j].MAC]
		}
		for j := range g.Conflicts {
			g.Conflicts[j].Interface = byText[g.Conflicts[j].MAC]
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

// within returns the network among own that contains one of the addresses.
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
