// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/view"
)

// Why implements control.Backend. It reads what the loop published.
func (o *Operator) Why(_ context.Context, name string) (api.Why, error) {
	n := o.loop.View()
	g := n.Group(name)
	if g == nil {
		return api.Why{}, noSuchGroup(name)
	}
	w := &why{n: n, g: g.Now(), now: o.clock.Now(), at: o.clock.Calendar()}
	return w.explain(name), nil
}

// why explains one group at one moment.
type why struct {
	n   *view.Node
	g   *view.Group
	now election.Instant
	at  func(election.Instant) time.Time
}

func (w *why) explain(name string) api.Why {
	v := w.g.Machine
	configured := int(w.g.Config.AdvSkew)
	out := api.Why{
		Group: name, State: v.State.String(), Reason: v.Reason.String(), Since: w.at(v.Since),
		Ours: standing(v.Effective), Preempt: w.g.Preempt,
		Demotion: w.n.Demotions.Total(), Demotions: w.n.Demotions.Shown(w.at),
		MasterDownSeconds: v.DownTime.Seconds(), Waiting: v.Waiting.String(), Superior: w.superior(),
	}
	out.Ours.ConfiguredAdvSkew, out.Ours.BeatSeconds = &configured, w.g.Config.Beat.Seconds()
	if v.Heard {
		theirs := standing(v.Master.Priority)
		theirs.Address, theirs.LastSeen = v.Master.Src.String(), w.at(v.Master.At)
		theirs.BeatSeconds = v.Master.Beat.Seconds()
		out.Theirs = &theirs
	}
	if w.held() {
		out.Hold, out.HoldUntil = v.Hold.String(), w.at(v.HoldUntil)
	}
	if v.Waiting != election.WaitNone {
		out.WaitingSeconds = max(0, v.Next.Sub(w.now)).Seconds()
	}
	out.Standbys, out.StandbysUnknown = standbysOf(w.g, w.now, w.at)
	switch v.State {
	case election.Master:
		out.LeaseRemainingSeconds = max(0, v.Lease.Sub(w.now)).Seconds()
		out.Because, out.Changes, out.Takeover = w.master(name)
	case election.Backup:
		out.Because, out.Changes, out.Takeover = w.backup()
	default:
		out.Because, out.Changes, out.Takeover = w.init()
	}
	out.Because = slices.Concat(out.Because, w.beats(), w.claimDelay())
	var families []api.Family
	families, out.SilentFamily = familiesOf(w.g, w.at)
	for _, f := range families {
		if f.Silent {
			out.Because = append(out.Because, fmt.Sprintf(
				"%s of %s is not heard, only its other family is: is it filtered on the way? No address moves for that",
				f.Family, v.Master.Src,
			))
		}
	}
	return out
}

func standing(p election.Priority) api.Standing {
	return api.Standing{
		AdvBase: int(p.AdvBase), AdvSkew: int(p.AdvSkew), Demote: int(p.Demote), IntervalSeconds: p.Interval().Seconds(),
	}
}

func (w *why) held() bool { return w.g.Held(w.now) }

// superior reports whether this node would have to yield to the node that spoke last.
func (w *why) superior() bool {
	v := w.g.Machine
	return v.Heard && election.Superior(v.Master.Priority, v.Effective, v.Master.Aware)
}

// undemoted returns what this node would advertise without any demotion.
func (w *why) undemoted() election.Priority {
	p := w.g.Machine.Effective
	p.AdvSkew, p.Demote = min(w.g.Config.AdvSkew, election.MaxSkew), 0
	return p
}

// said formats a priority as people compare it.
func said(p election.Priority) string {
	text := fmt.Sprintf("%d/%d, every %.3f s", p.AdvBase, p.AdvSkew, p.Interval().Seconds())
	if p.Demote > 0 {
		text += fmt.Sprintf(", demoted by %d", p.Demote)
	}
	return text
}

func (w *why) ago(i election.Instant) string {
	return fmt.Sprintf("%.1f s ago", max(0, w.now.Sub(i)).Seconds())
}

// compared returns which of the two nodes wins, and by what.
func (w *why) compared() string {
	v := w.g.Machine
	t, m := v.Master.Priority, v.Effective
	between := fmt.Sprintf("%s says %s; this node's own is %s", v.Master.Src, said(t), said(m))
	switch {
	case t.Goodbye():
		return fmt.Sprintf("%s said goodbye (255/255) %s", v.Master.Src, w.ago(v.Master.At))
	case v.Master.Aware && t.Demote != m.Demote:
		if t.Demote < m.Demote {
			return between + ": it is demoted less, which counts before the interval"
		}
		return between + ": this node is demoted less, which counts before the interval"
	case t.Interval() == m.Interval():
		return between + ": equal, and of equals the one that is MASTER stays"
	case w.superior():
		return between + ": its interval is shorter, and the shorter one is MASTER"
	case v.State == election.Master:
		return between + ": this node's is shorter, and the shorter one is MASTER"
	default:
		return between + ": this node's is shorter, and would win"
	}
}

// demotions returns what makes this node worse than configured.
func (w *why) demotions() []string {
	var out []string
	for _, d := range w.n.Demotions.List() {
		who := d.Name
		if d.OfOperator() {
			who += ", added by hand"
		}
		if d.Reason != "" && d.Name != api.MaintenanceDemotion {
			who += ": " + d.Reason
		}
		out = append(out, fmt.Sprintf("demoted by %d (%s) since %s", d.Value, who, d.Since.UTC().Format(time.RFC3339)))
	}
	return out
}

func (w *why) master(name string) (because, changes []string, takeover string) {
	v := w.g.Machine
	switch v.Reason {
	case election.ReasonMasterTimeout:
		because = append(because, fmt.Sprintf(
			"took over because no master was heard for the master-down time (%s)", timeText(v.DownTime),
		))
	case election.ReasonPreempt:
		because = append(because, "took over by preemption from a worse master")
	case election.ReasonGoodbye:
		because = append(because, "took over when the master said goodbye")
	case election.ReasonDemoted:
		because = append(because, "took over from a master that was demoted")
	default: // nothing else makes a MASTER
	}
	switch {
	case v.Expired || v.Lease <= w.now:
		because = append(because, "it does not answer: its lease ended before an advert could be sent")
	case !v.Heard:
		because = append(because, "no other node was ever heard")
	case w.now.Sub(v.Master.At) > v.DownTime:
		because = append(because, fmt.Sprintf("%s spoke last %s and is silent since", v.Master.Src, w.ago(v.Master.At)))
	default:
		because = append(because, w.compared())
	}
	because = append(because, w.demotions()...)
	changes = append(
		changes,
		fmt.Sprintf("an advert of another node as good as %s or better (of equals the one that is MASTER yields)",
			said(v.Effective)),
		fmt.Sprintf("`vipctl yield %s`, `vipctl maintenance enter` or `vipctl disable`", name),
	)
	return because, changes, w.successor()
}

// successor returns who would take a group over from this node, and when.
func (w *why) successor() string {
	list, unknown := standbysOf(w.g, w.now, w.at)
	switch {
	case unknown != "":
		return "who would take over is unknown, since " + unknown +
			"; a handover asks, and gives nothing up if no node answers"
	case len(list) == 0:
		return "no node would take over: none that is vipd reports, and a BACKUP of another kind is silent"
	}
	text := ""
	for i := range list {
		s := &list[i]
		name := s.Title()
		switch i {
		case 0:
			text = fmt.Sprintf("%s would take over %.3f s after this node's last advert, or at its goodbye", name, s.TakesOverIn)
		case shownSuccessors:
			return text + fmt.Sprintf(", and %d more", len(list)-i)
		default:
			text += fmt.Sprintf("; if that one fails, %s after %.3f s", name, s.TakesOverIn)
		}
	}
	return text
}

// shownSuccessors is how many standbys a sentence names.
const shownSuccessors = 3

func (w *why) backup() (because, changes []string, takeover string) {
	v := w.g.Machine
	left := max(0, v.Next.Sub(w.now)).Seconds()
	if v.Waiting == election.WaitClaimDelay {
		because = append(because, "no owner was heard since the link came up")
		because = append(because, w.demotions()...)
		changes = []string{
			fmt.Sprintf("nothing: it takes over in %.1f s if no owner is heard until then", left),
			"an owner is heard: this node takes over when that one says goodbye or falls silent, even before the time is over",
		}
		return because, changes, fmt.Sprintf("it would advertise %s, and no node is known to object", said(v.Effective))
	}
	if !v.Heard || v.Master.Goodbye() {
		because = append(because, "no master is heard")
		if v.Heard {
			because = []string{w.compared()}
		}
		because = append(because, w.demotions()...)
		changes = []string{fmt.Sprintf("nothing: it takes over in %.1f s if no master is heard until then", left)}
		return because, changes, fmt.Sprintf("it would advertise %s, and no node is known to object", said(v.Effective))
	}
	because = append(because, fmt.Sprintf("%s is MASTER, heard %s", v.Master.Src, w.ago(v.Master.At)), w.compared())
	because = append(because, w.demotions()...)
	silence := fmt.Sprintf("%s falls silent for the master-down time (%s, %.1f s of it left), or says goodbye",
		v.Master.Src, timeText(v.DownTime), left)
	if w.superior() {
		takeover = fmt.Sprintf("%s would take it back with its next advert, if it still speaks", v.Master.Src)
		return because, w.improve(silence), takeover
	}
	changes = []string{silence}
	switch {
	case w.held() && v.Hold == election.HoldYield:
		because = append(because, "it was handed over by the operator, and is not taken back before "+w.holdEnd())
	case w.held() && v.Hold == election.HoldSendFailed:
		because = append(because, fmt.Sprintf("its last advert could not be sent, "+
			"so it leaves a living master in peace before %s (the log says why it failed)", w.holdEnd()))
		changes = append(changes, "an advert of this node gets out: the link comes back, or the fault in the log is fixed")
	case w.held() && v.Hold == election.HoldChecks:
		because = append(because, fmt.Sprintf(
			"it does not preempt before every health check has a verdict (%s), and no later than %s",
			strings.Join(w.n.Awaited, ", "), w.holdEnd(),
		))
	case w.held() && v.Hold == election.HoldClaimDelay: // see claimDelay
	case w.held():
		because = append(because,
			fmt.Sprintf("it does not preempt after its start before %s ([carp] preempt_delay)", w.holdEnd()))
	case !w.g.Preempt:
		because = append(because, "it does not preempt a living master ([carp] preempt = false)")
		changes = append(changes, "[carp] preempt = true here and `vipctl reload`, if this node's interval is shorter")
	}
	return because, changes, fmt.Sprintf("%s would yield to this node's first advert", v.Master.Src)
}

// claimDelay explains why a BACKUP does not even replace a dead master.
func (w *why) claimDelay() []string {
	if !w.held() || w.g.Machine.Hold != election.HoldClaimDelay {
		return nil
	}
	return []string{
		fmt.Sprintf("it makes no claim before %s, since its switch port may not forward yet ([carp] claim_delay), "+
			"unless an owner that was heard since the link came up leaves or dies", w.holdEnd()),
	}
}

// holdEnd returns when the hold ends, for people.
func (w *why) holdEnd() string { return w.at(w.g.Machine.HoldUntil).Format(time.RFC3339) }

// improve returns what would make this node the better one.
func (w *why) improve(silence string) []string {
	v := w.g.Machine
	theirs := v.Master.Priority
	out := []string{silence}
	best := w.undemoted()
	if w.n.Demotions.Total() > 0 && !election.Superior(theirs, best, v.Master.Aware) {
		names := strings.Join(w.n.Demotions.Names(), ", ")
		what := fmt.Sprintf("the demotion ends (%s): this node would say %s", names, said(best))
		if !w.g.Preempt {
			what += ", but it does not preempt ([carp] preempt = false)"
		}
		return append(out, what)
	}
	return append(out, fmt.Sprintf("a shorter interval here than %.3f s (advbase, advskew), or a longer one there",
		theirs.Interval().Seconds()))
}

func (w *why) init() (because, changes []string, takeover string) {
	v := w.g.Machine
	detail := initDetail(w.g, w.n.Enabled)
	if detail == "" {
		detail = "the group is not started: " + v.Reason.String()
	}
	change := "the cause above is fixed; the group then starts automatically"
	if !w.n.Enabled {
		change = "`vipctl enable`, or a reboot"
	}
	return []string{detail}, []string{change}, "it cannot take over: a group in INIT neither hears nor speaks"
}
