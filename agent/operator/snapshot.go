// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"net/netip"
	"time"

	"vipd/agent/checks"
	"vipd/agent/conflict"
	"vipd/agent/election"
	"vipd/agent/metrics"
	"vipd/agent/view"
	"vipd/loader"
)

// Snapshot implements metrics.Source.
func (o *Operator) Snapshot() metrics.Snapshot {
	n := o.loop.View()
	now := o.clock.Now()
	lost, skipped := o.opts.Recorder.Counts()
	out := metrics.Snapshot{
		SamplesLost:      lost,
		IncidentsSkipped: skipped,
		LoopAge:          now.Sub(o.loop.LastRound()),
		Enabled:          n.Enabled,
		Maintenance:      n.Maintenance,
		Demotion:         n.Demotions.Total(),
		RejectReasons:    rejectReasons,
		DropReasons:      dropReasons,
		Groups:           make([]metrics.Group, 0, len(n.Groups)),
	}
	for _, d := range n.Demotions {
		out.Demotions = append(out.Demotions, metrics.Demotion{Name: d.Name, Value: d.Value})
	}
	for _, c := range o.opts.Checks.Results() {
		out.Checks = append(out.Checks, metrics.Check{
			Name: c.Name, Failing: c.State == checks.Failing, Known: !c.At.IsZero(), Age: time.Since(c.At),
		})
	}
	waiting := o.opts.Hooks.Waiting()
	views := editionsOf(n.Groups) // before the kernel, as in status
	kernel := o.readKernel(views, now)
	var room view.Group
	for i, g := range n.Groups {
		mg := snapshotOf(g, views[i].Now(&room), kernel[i], now)
		mg.HasHook, mg.HookWaiting = views[i].Config.Hook != "", waiting[g.Name()]
		out.Groups = append(out.Groups, mg)
	}
	out.Peers = peersSeen(views, now)
	for _, i := range n.Interfaces {
		mi, err := o.snapshotOf(i)
		if err != nil {
			out.Err = fmt.Errorf("read counters of %s: %w", i.Name, err)
			return out
		}
		out.Interfaces = append(out.Interfaces, mi)
	}
	return out
}

func snapshotOf(g *view.Live, v *view.Group, k *loader.Reading, now election.Instant) metrics.Group {
	out := metrics.Group{
		Interface: v.Config.Interface, VHID: v.Config.VHID, State: v.Machine.State.String(),
		Adverts: metrics.Adverts{
			Sent: g.Sent(), Received: k.Stats.Received, Rejected: k.Stats.Rejected[:], EventsLost: k.Stats.EventsLost,
			NotRemembered: k.Stats.NoRoom, NotListed: g.NotListed(),
		},
		Dropped: k.Stats.Dropped[:], Packets: k.Stats.Packets, Bytes: k.Stats.Bytes,
		VIPs: make([]metrics.VIP, 0, len(v.Config.Addresses)),
		Beat: v.Config.Beat, MasterBeat: v.Machine.Master.Beat, BeatDistrusted: v.Distrusts(),
	}
	out.Restored, _ = g.Restored()
	if k.Answering {
		out.LeaseRemaining = v.Machine.Lease.Sub(now)
	}
	if k.Seen.Count > 0 {
		out.Heard, out.LastAdvertAge = true, now.Sub(election.Instant(k.Seen.At))
	}
	out.Standbys, out.Watched = standbyCount(v, now)
	families, _ := familiesOf(v, func(election.Instant) time.Time { return time.Time{} })
	for _, f := range families {
		out.Families = append(out.Families, metrics.Family{Name: f.Family, Silent: f.Silent})
	}
	for _, c := range contextsOf(v.Config, k.Stats.Contexts) {
		out.Contexts = append(out.Contexts, metrics.Context(c))
	}
	for _, p := range v.Config.Addresses {
		st := k.VIPs.Of(p.Addr())
		out.VIPs = append(out.VIPs, metrics.VIP{
			Address: p.Addr().String(), ARPRequests: st.ARPRequests, ARPReplies: st.ARPReplies,
			NDSolicitations: st.NDSolicitations, NDAdvertisements: st.NDAdvertisements,
			AnswersUnseen: unseen(st, now), Conflicts: conflictsOf(v.Conflicts, p.Addr()),
		})
	}
	return out
}

func (o *Operator) snapshotOf(i view.Interface) (metrics.Interface, error) {
	out := metrics.Interface{Name: i.Name, Mode: i.Mode, Lost: i.Lost, Fallbacks: i.Fallbacks}
	if i.Index == 0 {
		return out, nil
	}
	st, err := o.opts.Plane.InterfaceStats(i.Index)
	if err != nil {
		return out, err
	}
	out.Rejected, out.Dropped = st, map[string]uint64{loader.TagsLost: st[loader.TagsLost]}
	delete(st, loader.TagsLost)
	return out, nil
}

// conflictsOf returns how many conflicts an address had.
func conflictsOf(v *conflict.View, addr netip.Addr) uint64 {
	if v == nil {
		return 0
	}
	return v.Counts[addr]
}
