// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"iter"
	"net"
	"slices"
	"strings"
	"time"

	"vipd/agent/config"
	"vipd/agent/conflict"
	"vipd/agent/control/api"
	"vipd/agent/doctor"
	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
	"vipd/loader"
)

// Status implements web.Backend.
func (o *Operator) Status(context.Context) (api.Status, error) { return o.status(), nil }

func (o *Operator) status() api.Status {
	n := o.loop.View()
	out, groups := o.statusByGroup(n)
	out.Groups = make([]api.Group, 0, len(n.Groups))
	for g := range groups {
		out.Groups = append(out.Groups, *g)
	}
	return out
}

// StatusByGroup implements control.Backend.
func (o *Operator) StatusByGroup(context.Context) (api.Status, iter.Seq[*api.Group], error) {
	out, groups := o.statusByGroup(o.loop.View())
	return out, groups, nil
}

// statusByGroup returns the node without its groups, and those one after the other, each until the next.
func (o *Operator) statusByGroup(n *view.Node) (api.Status, iter.Seq[*api.Group]) {
	now, at := o.clock.Now(), o.clock.Calendar()
	out := api.Status{
		Version: api.Version, Build: api.ReadBuild(), Node: n.Config.Node.Name,
		Enabled: n.Enabled, Maintenance: n.Maintenance,
		Preempt: n.Config.Carp.Preempt, Demotion: n.Demotions.Total(), Demotions: n.Demotions.Shown(at),
		Warnings: slices.Concat(n.Warnings, o.opts.Programs.Warnings()),
	}
	facts := doctor.FromStatus(&out, at(now))
	return out, func(yield func(*api.Group) bool) {
		// The views come first: a group must not be MASTER here, and not yet so in the kernel.
		views := editionsOf(n.Groups)
		kernel := o.readKernel(views, now)
		interfaces := make(map[string]interfaceCounts, len(n.Interfaces))
		for _, i := range n.Interfaces {
			interfaces[i.Name] = o.countsOf(i)
		}
		// One of each serves all groups: together those of thousands would be megabytes of garbage.
		r, shown, known := report{node: n, now: now, at: at, tallies: newTallies()}, api.Group{}, doctor.Group{}
		var room view.Group
		for i, g := range n.Groups {
			r.live, r.view, r.kernel = g, views[i].Now(&room), kernel[i]
			r.group(&shown, interfaces[r.view.Config.Interface], o.routes.of(g))
			shown.Faults = o.faults(facts, &r, &shown, &known)
			if !yield(&shown) {
				return
			}
		}
	}
}

// Group implements control.Backend.
func (o *Operator) Group(_ context.Context, name string) (api.Group, error) {
	n := o.loop.View()
	g := n.Group(name)
	if g == nil {
		return api.Group{}, noSuchGroup(name)
	}
	now, v := o.clock.Now(), g.Now()
	r := report{
		node: n, live: g, view: v, kernel: readGroup(v, now), now: now, at: o.clock.Calendar(), tallies: newTallies(),
	}
	var out api.Group
	r.group(&out, o.countsOf(n.Interface(v.Config.Interface)), o.routes.of(g))
	out.Faults = o.faults(&doctor.Facts{Time: r.at(now), Maintenance: n.Maintenance}, &r, &out, &doctor.Group{})
	return out, nil
}

// interfaceCounts are what a group's status shows of its interface.
type interfaceCounts struct{ tagsLost, programsLost uint64 }

func (o *Operator) countsOf(i view.Interface) (c interfaceCounts) {
	for _, n := range i.Lost {
		c.programsLost += n
	}
	if i.Parent != "" { // else it has no tags to lose
		if st, err := o.opts.Plane.InterfaceStats(i.Index); err == nil {
			c.tagsLost = st[loader.TagsLost]
		}
	}
	return c
}

func editionsOf(groups []*view.Live) []*view.Edition {
	out := make([]*view.Edition, len(groups))
	for i, g := range groups {
		out[i] = g.Edition()
	}
	return out
}

// report is what the API shows a group from: the published view, and the kernel's verdict
// and counters, which were read after it.
type report struct {
	node   *view.Node
	live   *view.Live
	view   *view.Group
	kernel *loader.Reading
	now    election.Instant
	at     func(election.Instant) time.Time
	*tallies
}

// group sets out to what is shown of the group.
func (r *report) group(out *api.Group, counts interfaceCounts, lostRoutes []string) {
	cfg, m := r.view.Config, &r.view.Machine
	mac := wire.VirtualMAC(cfg.VHID)
	*out = api.Group{
		Name: r.live.Name(), Interface: cfg.Interface, VHID: int(cfg.VHID),
		State: m.State.String(), Reason: m.Reason.String(), Since: r.at(m.Since),
		Description: cfg.Description, Addresses: make([]string, 0, len(cfg.Addresses)),
		VirtualMAC: net.HardwareAddr(mac[:]).String(),
		AdvBase:    int(cfg.AdvBase), AdvSkew: int(cfg.AdvSkew), EffectiveAdvSkew: int(m.Effective.AdvSkew),
		BeatSeconds: cfg.Beat.Seconds(), BeatDistrust: r.beatDistrust(),
		Generation: m.Generation, Dataplane: r.dataplane(counts), Counters: r.counters(),
		LostRoutes: lostRoutes, Unreachable: r.view.Unreachable, SkippedPeers: r.view.Skipped,
		Contexts:         contextsOf(cfg, r.kernel.Stats.Contexts),
		AddressConflicts: shownConflicts(r.view.Conflicts, r.at),
	}
	for _, p := range cfg.Addresses {
		out.Addresses = append(out.Addresses, p.String())
	}
	if m.State == election.Init {
		out.Detail = initDetail(r.view, r.node.Enabled)
	} else if r.view.HostFault != "" {
		out.Detail = r.view.HostFault
	}
	out.Standbys, out.StandbysUnknown = standbysOf(r.view, r.now, r.at)
	out.Differences = differencesOf(r.node, r.view, r.now)
	if m.Heard {
		out.Master = &api.Master{
			Address: m.Master.Src.String(), AdvBase: int(m.Master.AdvBase), AdvSkew: int(m.Master.AdvSkew),
			Demote: int(m.Master.Demote), LastSeen: r.at(m.Master.At), BeatSeconds: m.Master.Beat.Seconds(),
			Proven: heardFromVipd(r.view),
		}
		if m.BeatsEnded != 0 {
			out.Master.BeatsEndedAt = r.at(m.BeatsEnded)
		}
	}
	if r.view.Held(r.now) {
		out.Hold, out.HoldUntil = m.Hold.String(), r.at(m.HoldUntil)
	}
	if m.State == election.Backup && !m.Heard && m.Waiting == election.WaitMasterDown {
		out.TakesOverAt = r.at(m.Next)
	}
	if r.kernel.Answering {
		out.LeaseRemainingSeconds = max(0, m.Lease.Sub(r.now)).Seconds()
	}
	if _, last := r.live.Restored(); last != 0 {
		out.AddressesRestoredAt = r.at(last)
	}
	out.Sends, out.Peers = sends(cfg)
	out.Families, out.SilentFamily = familiesOf(r.view, r.at)
	r.addresses(out)
}

// beatDistrust returns why this node waits longer for beats than they state, nil if it does not.
func (r *report) beatDistrust() *api.BeatDistrust {
	m := &r.view.Machine
	if !r.view.Distrusts() {
		return nil
	}
	return &api.BeatDistrust{
		Address: m.Distrusted.String(), WaitSeconds: m.DownTime.Seconds(), Until: r.at(m.DistrustUntil),
		Times: m.DistrustTimes,
	}
}

func (r *report) dataplane(counts interfaceCounts) api.Dataplane {
	at := r.view.Attachment
	return api.Dataplane{
		Mode: string(at.Mode), Egress: at.Egress, Parent: at.Parent, Note: at.Note, Fallback: at.FellBack,
		Answering: r.kernel.Answering, TagsLost: counts.tagsLost, ProgramsLost: counts.programsLost,
	}
}

func (r *report) counters() api.Counters {
	st := &r.kernel.Stats
	restored, _ := r.live.Restored()
	refused := append(make([]uint64, 0, len(st.Rejected)+1), st.Rejected[:]...)
	refused = append(refused, st.ForeignVRRP)
	return api.Counters{
		AdvertisementsSent: r.live.Sent(), AdvertisementsReceived: st.Received,
		AdvertisementsRejected: r.rejected.of(refused), FramesDropped: r.dropped.of(st.Dropped[:]),
		Packets: st.Packets, Bytes: st.Bytes, EventsLost: st.EventsLost,
		LoopsSuspected: st.OwnCounter, AddressesRestored: restored,
	}
}

// addresses adds what is known of each VIP.
func (r *report) addresses(out *api.Group) {
	out.VIPs = make([]api.VIP, 0, len(r.view.Config.Addresses))
	for _, p := range r.view.Config.Addresses {
		s := r.kernel.VIPs.Of(p.Addr())
		out.Counters.ARPRequests += s.ARPRequests
		out.Counters.ARPReplies += s.ARPReplies
		out.VIPs = append(out.VIPs, api.VIP{
			Address: p.Addr().String(), ARPRequests: s.ARPRequests, ARPReplies: s.ARPReplies,
			NDSolicitations: s.NDSolicitations, NDAdvertisements: s.NDAdvertisements,
			AnswersUnseen: unseen(s, r.now),
		})
		out.Dataplane.AnswersUnseen = out.Dataplane.AnswersUnseen || unseen(s, r.now)
	}
}

// sends returns how adverts go out, and to which peers if that is by unicast.
func sends(cfg *config.Group) (how string, peers []string) {
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

// familiesOf returns for each family of the group when it was last heard.
func familiesOf(v *view.Group, at func(election.Instant) time.Time) ([]api.Family, string) {
	silent := strings.ToLower(v.Machine.Silent.String())
	var out []api.Family
	add := func(name string, heard election.LastAdvert) {
		f := api.Family{Family: name, Silent: silent == name}
		if heard.Ever {
			f.LastSeen = at(heard.At)
		}
		out = append(out, f)
	}
	if view.Has4(v.Config) {
		add("ipv4", v.Machine.IPv4)
	}
	if view.Has6(v.Config) {
		add("ipv6", v.Machine.IPv6)
	}
	return out, silent
}

func initDetail(v *view.Group, enabled bool) string {
	if !enabled {
		return "switched off by the operator; `vipctl enable` switches it on again"
	}
	if v.Detail == "" && v.Machine.Reason == election.ReasonStartup {
		return "vipd has just started and attaches its programs to the interface"
	}
	return v.Detail
}

// maxShownConflicts bounds what a status shows of a group; its counters have the rest.
const maxShownConflicts = 16

// shownConflicts returns the latest address conflicts.
func shownConflicts(v *conflict.View, at func(election.Instant) time.Time) []api.AddressConflict {
	if v == nil {
		return nil
	}
	var out []api.AddressConflict
	for i := range v.Conflicts[:min(len(v.Conflicts), maxShownConflicts)] {
		r := &v.Conflicts[i]
		c := api.AddressConflict{
			Address: r.Addr.String(), MAC: net.HardwareAddr(r.MAC[:]).String(), Count: r.Count,
			FirstSeen: at(election.Instant(r.First)), LastSeen: at(election.Instant(r.Last)),
		}
		if r.Source != r.MAC {
			c.Source = net.HardwareAddr(r.Source[:]).String()
		}
		out = append(out, c)
	}
	return out
}
