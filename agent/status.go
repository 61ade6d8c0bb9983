// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"vipd/agent/checks"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/metrics"
	"vipd/agent/wire"
	"vipd/loader"
)

// publish makes the node's present state visible to readers.
func (a *Agent) publish() {
	v := &nodeView{
		cfg: a.cfg, enabled: !a.disabled, ledger: a.ledger.clone(),
		groups: append([]*group(nil), a.order...), warnings: a.warnings,
	}
	_, v.maintenance = a.ledger.find(demotionMaintenance)
	for name, p := range a.ports {
		pv := portView{name: name, lost: p.lostCounts()}
		if p.opened {
			pv.mode, pv.parent, pv.ifindex = string(p.att.Mode), p.att.Parent, p.link.Index
		}
		v.ports = append(v.ports, pv)
	}
	for _, g := range a.order {
		g.publish(a)
	}
	a.supervision.stale = true
	a.tellNode(a.node.Swap(v), v)
}

func (a *Agent) status() api.Status {
	n := a.node.Load()
	out := api.Status{
		Version: api.Version, Node: n.cfg.Node.Name, Enabled: n.enabled, Maintenance: n.maintenance,
		Preempt: n.cfg.Carp.Preempt, Demotion: n.ledger.total(),
		Groups: make([]api.Group, 0, len(n.groups)), Warnings: n.warnings,
	}
	now, wall := a.now(), a.timeOfDay()
	out.Demotions = n.ledger.shown(a.calendar(now, wall))
	// The views come first: a group must not be MASTER here, and not yet so in the kernel.
	views := viewsOf(n.groups)
	kernel := a.readKernel(views, now)
	ports := a.readPorts(n.ports)
	for i, g := range n.groups {
		r := a.report(g, views[i], now, wall, n.enabled, kernel[i])
		ports[r.Interface].tell(&r)
		out.Groups = append(out.Groups, r)
	}
	a.nameFaults(&out, n.groups, now, wall)
	return out
}

// portCounts are what a group's status says of its interface.
type portCounts struct{ tagsLost, programsLost uint64 }

func (c portCounts) tell(g *api.Group) {
	g.Dataplane.TagsLost, g.Dataplane.ProgramsLost = c.tagsLost, c.programsLost
}

func (a *Agent) readPorts(ports []portView) map[string]portCounts {
	out := make(map[string]portCounts, len(ports))
	for _, p := range ports {
		out[p.name] = a.readPort(p)
	}
	return out
}

func (a *Agent) readPort(p portView) (c portCounts) {
	for _, n := range p.lost {
		c.programsLost += n
	}
	if p.parent != "" { // else it has no tags to lose
		if st, err := a.plane.InterfaceStats(p.ifindex); err == nil {
			c.tagsLost = st[loader.TagsLost]
		}
	}
	return c
}

func viewsOf(groups []*group) []*groupView {
	views := make([]*groupView, len(groups))
	for i, g := range groups {
		views[i] = g.view.Load()
	}
	return views
}

// report is the group as the API shows it: the published view, and the kernel's
// verdict and counters, which were read after it.
func (a *Agent) report(g *group, v *groupView, now election.Instant, wall time.Time, enabled bool, stats loader.Reading) api.Group {
	cfg := v.cfg
	at := a.calendar(now, wall)
	mac := wire.VirtualMAC(cfg.VHID)
	out := api.Group{
		Name: g.name, Interface: cfg.Interface, VHID: int(cfg.VHID),
		State: v.view.State.String(), Reason: v.view.Reason.String(), Since: at(v.view.Since),
		Description: cfg.Description, Addresses: make([]string, 0, len(cfg.Addresses)),
		VirtualMAC: net.HardwareAddr(mac[:]).String(),
		AdvBase:    int(cfg.AdvBase), AdvSkew: int(cfg.AdvSkew), EffectiveAdvSkew: int(v.view.Effective.AdvSkew),
		Generation: v.view.Generation,
		Dataplane:  api.Dataplane{Mode: string(v.att.Mode), Egress: v.att.Egress, Parent: v.att.Parent, Note: v.att.Note},
	}
	for _, p := range cfg.Addresses {
		out.Addresses = append(out.Addresses, p.String())
	}
	if v.view.State == election.Init {
		out.Detail = initDetail(v, enabled)
	} else if v.hostFault != "" {
		out.Detail = v.hostFault
	}
	if m := v.view.Master; v.view.Heard {
		out.Master = &api.Master{
			Address: m.Src.String(), AdvBase: int(m.AdvBase), AdvSkew: int(m.AdvSkew),
			Demote: int(m.Demote), LastSeen: at(m.At),
		}
	}
	out.Dataplane.Answering = stats.Answering
	if stats.Answering {
		out.LeaseRemainingSeconds = max(0, v.view.Lease.Sub(now)).Seconds()
	}
	out.Counters = api.Counters{
		AdvertisementsSent: g.counts.sent.Load(), AdvertisementsReceived: stats.Stats.Received,
		AdvertisementsRejected: rejected(stats.Stats), FramesDropped: byReason(loader.DropReasons(), stats.Stats.Dropped[:]),
		Packets: stats.Stats.Packets, Bytes: stats.Stats.Bytes, EventsLost: stats.Stats.EventsLost,
		LoopsSuspected: stats.Stats.OwnCounter,
	}
	out.Sends, out.Peers = sends(cfg)
	out.Families, out.SilentFamily = familiesOf(v, at)
	out.Contexts = contextsOf(cfg, stats.Stats.Contexts)
	for _, p := range cfg.Addresses {
		s := stats.VIPs.Of(p.Addr())
		out.Counters.ARPRequests += s.ARPRequests
		out.Counters.ARPReplies += s.ARPReplies
		out.VIPs = append(out.VIPs, api.VIP{
			Address: p.Addr().String(), ARPRequests: s.ARPRequests, ARPReplies: s.ARPReplies,
			NDSolicitations: s.NDSolicitations, NDAdvertisements: s.NDAdvertisements, AnswersUnseen: unseen(s, now),
		})
		out.Dataplane.AnswersUnseen = out.Dataplane.AnswersUnseen || unseen(s, now)
	}
	return out
}

// sends says how adverts go out.
func sends(cfg config.Group) (how string, peers []string) {
	switch {
	case cfg.Broadcast:
		return api.SendsBroadcast, nil
	case len(cfg.Peers) == 0:
		return api.SendsMulticast, nil
	}
	for _, p := range cfg.Peers {
		peers = append(peers, p.String())
	}
	return api.SendsUnicast, peers
}

// rejected has every reason of a group, at 0 where the data plane has nothing to
// say, and the foreign VRRP routers on its VHID, which are nobody's reject.
func rejected(st loader.GroupStats) map[string]uint64 {
	out := byReason(loader.RejectReasons(), st.Rejected[:])
	out["foreign_vrrp"] = st.ForeignVRRP
	return out
}

func byReason(reasons []string, counts []uint64) map[string]uint64 {
	out := make(map[string]uint64, len(reasons)+1)
	for i, reason := range reasons {
		out[reason] = counts[i]
	}
	return out
}

// familiesOf tells of each family of the group when it was last heard.
func familiesOf(v *groupView, at func(election.Instant) time.Time) ([]api.Family, string) {
	silent := strings.ToLower(v.view.Silent.String())
	var out []api.Family
	for i, heard := range []election.LastAdvert{v.view.IPv4, v.view.IPv6} {
		if !hasFamily(v.cfg, families[i]) {
			continue
		}
		f := api.Family{Family: families[i].name, Silent: silent == families[i].name}
		if heard.Ever {
			f.LastSeen = at(heard.At)
		}
		out = append(out, f)
	}
	return out, silent
}

// contextsOf counts what came with each password and address list. The two digests
// of one (with and without link-local addresses) are one.
func contextsOf(cfg config.Group, received []uint64) []api.Context {
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

func initDetail(v *groupView, enabled bool) string {
	if !enabled {
		return "switched off by the operator; `vipctl enable` switches it on again"
	}
	return v.detail
}

// snapshotSource feeds the metrics.
type snapshotSource struct{ a *Agent }

// Snapshot implements metrics.Source.
func (s snapshotSource) Snapshot() metrics.Snapshot {
	a := s.a
	n := a.node.Load()
	now := a.now()
	waiting := a.hooks.Waiting()
	lost, skipped := a.recorder.Counts()
	out := metrics.Snapshot{SamplesLost: lost, IncidentsSkipped: skipped, LoopAge: now.Sub(election.Instant(a.beat.Load())), Enabled: n.enabled, Maintenance: n.maintenance, Demotion: n.ledger.total()}
	for _, d := range n.ledger.list() {
		out.Demotions = append(out.Demotions, metrics.Demotion{Name: d.Name, Value: d.Value})
	}
	for _, c := range a.checks.Results() {
		out.Checks = append(out.Checks, metrics.Check{
			Name: c.Name, Failing: c.State == checks.Failing, Known: !c.At.IsZero(), Age: time.Since(c.At),
		})
	}
	views := viewsOf(n.groups) // before the kernel, as in status
	kernel := a.readKernel(views, now)
	out.RejectReasons, out.DropReasons = loader.RejectReasons(), loader.DropReasons()
	out.Groups = make([]metrics.Group, 0, len(n.groups))
	for i, g := range n.groups {
		v, k := views[i], &kernel[i]
		mg := metrics.Group{
			Interface: v.cfg.Interface, VHID: v.cfg.VHID, State: v.view.State.String(),
			Sent: g.counts.sent.Load(), Received: k.Stats.Received, Rejected: k.Stats.Rejected[:],
			Dropped: k.Stats.Dropped[:], Packets: k.Stats.Packets, Bytes: k.Stats.Bytes, EventsLost: k.Stats.EventsLost,
		}
		mg.HasHook, mg.HookWaiting = v.cfg.Hook != "", waiting[g.name]
		if k.Answering {
			mg.LeaseRemaining = v.view.Lease.Sub(now)
		}
		if k.Seen.Count > 0 {
			mg.Heard, mg.LastAdvertAge = true, now.Sub(election.Instant(k.Seen.At))
		}
		fams, _ := familiesOf(v, func(election.Instant) time.Time { return time.Time{} })
		for _, f := range fams {
			mg.Families = append(mg.Families, metrics.Family{Name: f.Family, Silent: f.Silent})
		}
		for _, c := range contextsOf(v.cfg, k.Stats.Contexts) {
			mg.Contexts = append(mg.Contexts, metrics.Context(c))
		}
		mg.VIPs = make([]metrics.VIP, 0, len(v.cfg.Addresses))
		for _, p := range v.cfg.Addresses {
			st := k.VIPs.Of(p.Addr())
			mg.VIPs = append(mg.VIPs, metrics.VIP{
				Address: p.Addr().String(), ARPRequests: st.ARPRequests, ARPReplies: st.ARPReplies,
				NDSolicitations: st.NDSolicitations, NDAdvertisements: st.NDAdvertisements, AnswersUnseen: unseen(st, now),
			})
		}
		out.Groups = append(out.Groups, mg)
	}
	for _, p := range n.ports {
		mi := metrics.Interface{Name: p.name, Mode: p.mode, Lost: p.lost}
		if p.ifindex != 0 {
			st, err := a.plane.InterfaceStats(p.ifindex)
			if err != nil {
				out.Err = fmt.Errorf("read counters of %s: %w", p.name, err)
				return out
			}
			mi.Rejected, mi.Dropped = st, map[string]uint64{loader.TagsLost: st[loader.TagsLost]}
			delete(st, loader.TagsLost)
		}
		out.Interfaces = append(out.Interfaces, mi)
	}
	return out
}

// unseenFor is how long a client that sees no answers is told of.
const unseenFor = time.Minute

func unseen(st loader.VIPStats, now election.Instant) bool {
	return st.UnseenAt != 0 && now.Sub(election.Instant(st.UnseenAt)) < unseenFor
}

// readKernel reads what the data plane says of the groups, all at once. Those are read
// again that are missing there, as they were just added, or all if the kernel refused.
func (a *Agent) readKernel(views []*groupView, now election.Instant) []loader.Reading {
	out := make([]loader.Reading, len(views))
	if !slices.ContainsFunc(views, func(v *groupView) bool { return v.plane != nil }) {
		return out // without waiting for interfaces that are just being attached
	}
	all, err := a.plane.Readings(int64(now))
	if err != nil {
		a.log.Debug("cannot read all groups at once, reading one by one", "err", err)
	}
	for i, v := range views {
		var r *loader.Reading
		if err == nil && v.plane != nil {
			r = all(v.plane)
		}
		if r != nil {
			out[i] = *r
		} else {
			out[i] = readGroup(v, now)
		}
	}
	return out
}

// readGroup reads one group. One whose interface is gone, or goes while we read, has
// nothing to say: zero counters, not answering.
func readGroup(v *groupView, now election.Instant) loader.Reading {
	var r loader.Reading
	if v.plane == nil {
		return r
	}
	var err error
	if r.Stats, err = v.plane.Stats(); err != nil {
		return loader.Reading{}
	}
	if r.VIPs, err = v.plane.VIPStats(); err != nil {
		return loader.Reading{}
	}
	if r.Seen, err = v.plane.Seen(); err != nil {
		return loader.Reading{}
	}
	if r.Answering, err = v.plane.Answering(int64(now)); err != nil {
		return loader.Reading{}
	}
	return r
}
