// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"
	"time"

	"vipd/agent/control/api"
)

// Faults between the nodes.

func wireRules() []Rule {
	return []Rule{
		{
			Code:    CodePeerDeaf,
			OK:      "no peer is MASTER beside this node",
			Found:   "a peer is MASTER beside this node",
			Passive: true,
			group:   peerDeaf,
		},
		{
			Code:  CodeNothingHeard,
			OK:    "no unheard node answers for the addresses",
			Found: "a node that is not heard answers for the addresses",
			group: nothingHeard,
		},
		{
			Code:    CodeAdvertsLost,
			OK:      "the master's adverts arrive",
			Found:   "adverts of the master are lost",
			Passive: true,
			group:   advertsLost,
		},
		{
			Code:    CodeBeatDistrusted,
			OK:      "no beats of a living MASTER were missed",
			Found:   "beats of a living MASTER were missed",
			Passive: true,
			group:   beatDistrusted,
		},
		{
			Code:    CodeFamilySilent,
			OK:      "the master is heard over every family",
			Found:   "the master is heard over one family only",
			Passive: true,
			group:   familySilent,
		},
		{
			Code:  CodePeerUnresolved,
			OK:    "the unicast peers have neighbour entries",
			Found: "a unicast peer has no neighbour entry",
			group: peerUnresolved,
		},
		{
			Code:    CodeOutOfReach,
			OK:      "this node reaches all families and peers",
			Found:   "this node does not reach all families and peers",
			Passive: true,
			group:   outOfReach,
		},
		{
			Code:    CodeReflected,
			OK:      "no adverts of this node come back to it",
			Found:   "adverts of this node come back to it",
			Passive: true,
			group:   reflected,
		},
		{
			Code:    CodeForeignVRRP,
			OK:      "no VRRP router uses the VHID as its VRID",
			Found:   "a VRRP router uses the VHID as its VRID",
			Passive: true,
			group:   foreignVRRP,
		},
		{
			Code:    CodeTTLChanged,
			OK:      "no adverts passed a router",
			Found:   "adverts passed a router",
			Passive: true,
			group:   ttlChanged,
		},
		{
			Code:    CodeReplay,
			OK:      "no adverts are replayed",
			Found:   "adverts are replayed",
			Passive: true,
			group:   replayed,
		},
		{
			Code:    CodeBadTrailer,
			OK:      "no adverts lack a right trailer",
			Found:   "adverts lack a right trailer",
			Passive: true,
			group:   badTrailer,
		},
		{
			Code:    CodeFlood,
			OK:      "no flood of adverts",
			Found:   "a flood of adverts",
			Passive: true,
			group:   flood,
		},
		{
			Code:    CodeDamaged,
			OK:      "no adverts are damaged or of a family without addresses here",
			Found:   "adverts are damaged or of a family without addresses here",
			Passive: true,
			group:   damaged,
		},
	}
}

// settle is how long two masters may overlap without a fault: a peer may be handing over, or
// decide only once per second, as ucarp does.
const settle = 2 * time.Second

func peerDeaf(f *Facts, g *Group) outcome {
	if g.State != api.StateMaster || !heardLately(f, g) || f.Watched > 0 && g.Received == 0 {
		return outcome{}
	}
	m := g.Master
	if m.LastSeen.Sub(g.Since) < settle+2*max(m.Interval(), g.Interval) {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("%s is MASTER although this node is, too, and has the better adverts: it does not hear this node "+
			"(multicast works in one direction only), or refuses what it hears.", m.Address),
		fmt.Sprintf("Look for what stops multicast on the way to %s: %s. Run `vipctl doctor` there, too: if that node "+
			"refuses our adverts, it reports why. `peers` (unicast) avoids multicast.", m.Address, stopsMulticast),
		fmt.Sprintf("this node is MASTER for %s", ago(f, g.Since)),
		fmt.Sprintf("its authentic adverts (%d/%d) still arrive, the last %s ago", m.AdvBase, m.AdvSkew, ago(f, m.LastSeen)),
	)
}

const stopsMulticast = "IGMP snooping without a querier, storm control, a filter, a hypervisor's port security"

func nothingHeard(f *Facts, g *Group) outcome {
	if g.State != api.StateMaster || heardLately(f, g) || len(g.Suspects) > 0 {
		return outcome{}
	}
	for reason := range g.Rise {
		if f.rose(g, reason) > 0 {
			return outcome{} // something is heard; another rule reports it
		}
	}
	for _, a := range g.Answers {
		if a.Interface != "" || a.MAC != virtualMAC(g) {
			continue
		}
		return fault(
			fmt.Sprintf("Another node is MASTER too: it answers for %s, but none of its adverts arrives here.", a.Address),
			"Look for what stops multicast to 224.0.0.18 and ff02::12 (IP protocol 112) on the way to this node: "+
				stopsMulticast+". `peers` (unicast) avoids multicast.",
			fmt.Sprintf("asked for %s, another host answered with the virtual MAC", a.Address),
			lastWord(f, g),
		)
	}
	if g.Master == nil {
		return outcome{
			note: "no other node was ever heard; this is normal while the others are BACKUP, which is silent",
		}
	}
	return outcome{}
}

// countIntervals is the least number of the master's intervals in which its adverts are counted;
// one of lostPart that are due must arrive. The end of a demotion almost halves the interval,
// so half of the adverts are not yet a loss.
const (
	countIntervals = 8
	lostPart       = 2
)

// advertsLost uses the interval that the master advertises. With advbase 0 it can change many
// times in the time counted.
func advertsLost(f *Facts, g *Group) outcome {
	m := g.Master
	if g.State != api.StateBackup || !heardLately(f, g) || m.AdvBase == 0 || f.Time.Sub(g.Since) < g.RiseTime {
		return outcome{}
	}
	intervals := uint64(g.RiseTime / m.Interval())
	if intervals < countIntervals {
		return outcome{}
	}
	due := intervals * g.families()
	if g.Received*lostPart >= due {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("More than half of the adverts of %s get lost on the way: if a few more in a row do, this node takes "+
			"over.",
			m.Address),
		"Look for what drops them: storm control or a rate limit for multicast on the switch, a busy host or radio link on "+
			"the way. The counters of dropped frames on the switch's ports show which.",
		fmt.Sprintf("%d of %d that were due arrived in %s", g.Received, due, span(g.RiseTime)),
	)
}

// families is the number of address families over which adverts of the master are expected.
func (g *Group) families() uint64 {
	var v4, v6 uint64
	for _, a := range g.Addresses {
		if a.Is4() {
			v4 = 1
		} else {
			v6 = 1
		}
	}
	if g.SilentFamily != "" {
		return 1
	}
	return max(1, v4+v6)
}

func lastWord(f *Facts, g *Group) string {
	if g.Master == nil {
		return "no other node was ever heard"
	}
	return fmt.Sprintf("%s was heard last, %s ago", g.Master.Address, ago(f, g.Master.LastSeen))
}

// beatDistrusted finds that a living master's beats did not all arrive.
func beatDistrusted(f *Facts, g *Group) outcome {
	var o outcome
	if m := g.Master; m != nil && !m.BeatsEnded.IsZero() && g.State == api.StateBackup {
		o.note = fmt.Sprintf("%s stated a beat until %s ago and states none since", m.Address, ago(f, m.BeatsEnded))
	}
	d := g.BeatDistrust
	if d == nil {
		return o
	}
	return o.and(warning(
		fmt.Sprintf("The beats of %s did not all arrive: this node claimed beside it, and waits %.3f s for them for a while.",
			d.Address, d.WaitSeconds),
		"Look for what limits or delays multicast between the nodes: storm control or a policer on the switch, which must "+
			"let 1/beat adverts per second and family pass, or a host that is busy. Or choose a longer beat. The wait ends by "+
			"itself.",
		fmt.Sprintf("it happened %d times in succession; the wait is longer until %s at least", d.Times,
			d.Until.UTC().Format(time.RFC3339))))
}

func familySilent(_ *Facts, g *Group) outcome {
	if g.SilentFamily == "" {
		return outcome{}
	}
	other := api.FamilyIPv4
	if g.SilentFamily == other {
		other = api.FamilyIPv6
	}
	return warning(
		fmt.Sprintf("The master is heard over %s but not over %s.", other, g.SilentFamily),
		fmt.Sprintf("Look for a filter or a switch that stops %s adverts. A BSD peer in the same place would take over: "+
			"it has a timer for each family.", g.SilentFamily),
	)
}

func peerUnresolved(_ *Facts, g *Group) outcome {
	if len(g.Unresolved) == 0 {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("No host answers at the unicast peer's address %s.", join(g.Unresolved)),
		"Adverts to it are not sent. If the peer is running, compare `peers` with its address, and check the path with ping.",
		"the kernel has no neighbour entry for it",
	)
}

func outOfReach(_ *Facts, g *Group) outcome {
	note := strings.Join(g.SkippedPeers, ", ")
	if len(g.Unreachable) == 0 {
		return outcome{note: note}
	}
	o := fault(
		"Adverts of this node do not reach all families and peers of the group: it is demoted and does not preempt, and as "+
			"MASTER it hands over to a node that reaches all, or serves what it can.",
		"Restore the address or route: `sysctl net.ipv6.conf.INTERFACE.disable_ipv6`, `ip address show`, `ip route get "+
			"PEER`. Correct `peers` if an address there is wrong. The demotion ends by itself.",
		g.Unreachable...)
	o.note = note
	return o
}

func reflected(f *Facts, g *Group) outcome {
	if f.rose(g, refusedLoop) == 0 {
		return outcome{}
	}
	return warning(
		"This node's own adverts come back to it.",
		"Look for a loop or a mirror port in the switch, NIC teaming that reflects multicast (VMware does so with "+
			"promiscuous mode on a switch of several uplinks; Net.ReversePathFwdCheckPromisc = 1 stops it), or two ports of "+
			"one bridge in the segment. vipd ignores them; a FreeBSD peer in the same place would give its addresses up.",
		refused(f, g, refusedLoop)...)
}

func foreignVRRP(f *Facts, g *Group) outcome {
	n := f.rose(g, refusedVRRP)
	if n == 0 {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("A VRRP router (keepalived or another product) uses VRID %d on this segment.", g.VHID),
		"CARP and VRRP use the same virtual MACs: use another VHID on all nodes of this group, or another VRID there.",
		vrrpSeen(g, n)...)
}

func vrrpSeen(g *Group, n uint64) []string {
	out := []string{fmt.Sprintf("%d VRRP adverts in %s", n, span(g.RiseTime))}
	if s := senders(g, refusedVRRP); s != "" {
		out = append(out, "from "+s)
	}
	return out
}

func ttlChanged(f *Facts, g *Group) outcome {
	if f.rose(g, refusedTTL) == 0 {
		return outcome{}
	}
	seen := refused(f, g, refusedTTL)
	if t := ttls(g); t != "" {
		seen = append(seen, "with TTL "+t+" instead of 255")
	}
	return fault(
		"Adverts arrive with a TTL that is not 255: a router or a tunnel is on the way, or the sender does not run CARP.",
		"CARP needs all nodes on one segment: remove the router from the path. For unicast peers behind a router set "+
			"peer_ttl = \"any\" in the [[vip]] (FreeBSD accepts any TTL by default, OpenBSD refuses such adverts).",
		seen...)
}

func replayed(f *Facts, g *Group) outcome {
	if f.rose(g, refusedReplay) == 0 {
		return outcome{}
	}
	return warning(
		"Adverts arrive that were heard before, or whose number is too low.",
		"A loop or a mirror port in the network causes this, or an attacker who replays captures, in vain "+
			"(docs/authentication.md). If the sender is one of your nodes, its state_dir was lost while its clock is "+
			"behind, or it is a guest that was paused: it is believed again as soon as it has heard this node.",
		refused(f, g, refusedReplay)...)
}

// badTrailer tells causes apart, as far as the refused adverts are there to look at.
func badTrailer(f *Facts, g *Group) outcome {
	if f.rose(g, refusedTrailer) == 0 {
		return outcome{}
	}
	seen := refused(f, g, refusedTrailer)
	var wrong, without, own, hello bool
	example := "ADDRESS"
	for i := range g.Rejects {
		switch r := &g.Rejects[i]; {
		case r.Reason != refusedTrailer:
		case r.hasTrailer():
			wrong = true
		case r.isHello():
			hello = true
		case r.Own:
			own = true
		case !without:
			without, example = true, r.Src.String()
		}
	}
	if wrong {
		return warning(
			"Adverts of a vipd node arrive with other contents than it sent: the digest is right, and the trailer is not.",
			"Somebody on the segment forges adverts from captured ones, in vain. Find the sender by its MAC in the switch; "+
				"`vipctl record` shows the frames.",
			seen...)
	}
	if hello && !own && !without {
		return warning(
			"Hellos arrive that no node with a password of this group has signed.",
			"If the sender is a node of yours, give it the same password (`vipctl doctor` there names a difference). "+
				"Otherwise somebody forges hellos, in vain: they move nothing, and nothing they say is shown.",
			seen...)
	}
	if own && !without {
		return warning(
			"Adverts arrive without a trailer from an address of this node, which always sends one.",
			"If another host has that address, too, remove it there: `ip neigh` and the switch show its MAC. Otherwise "+
				"somebody replays captured adverts without their trailer, in vain.",
			seen...)
	}
	if g.RequireTrailer {
		return warning(
			"Adverts arrive without a trailer, and the group has require_trailer = true.",
			"If the sender is a node of this group that does not run vipd, remove require_trailer on all nodes. Otherwise "+
				"somebody replays captured adverts without their trailer, in vain.",
			seen...)
	}
	return warning(
		"Adverts arrive without a trailer from the address of a vipd node.",
		fmt.Sprintf("If that node was replaced by another implementation of CARP, run `vipctl peer forget %s` here. "+
			"Otherwise somebody replays captured adverts without their trailer, in vain.", example),
		seen...)
}

func flood(f *Facts, g *Group) outcome {
	var all uint64
	for reason := range g.Rise {
		all += f.rose(g, reason)
	}
	if !tooMany(g, all) {
		return outcome{}
	}
	unread := f.rose(g, refusedLimited) // also a hello less than 100 ms after the one before
	perSecond := float64(all) / max(g.RiseTime.Seconds(), 0.001)
	seen := []string{fmt.Sprintf("%s refused in %s, %.0f per second", adverts(all), span(g.RiseTime), perSecond)}
	if unread > 0 {
		seen = append(seen, fmt.Sprintf("%d of them unread (rate_limited): the budget for unknown "+
			"senders is used up", unread))
	}
	return warning(
		"More adverts arrive than any node sends: a sender floods the segment with forged ones, or a loop multiplies them.",
		"Find the sender by its MAC in the switch, or the loop by its port counters. The true master's adverts have a "+
			"budget of their own and are not lost.",
		seen...)
}

func damaged(f *Facts, g *Group) outcome {
	var seen []string
	for _, reason := range []string{"bad_checksum", "bad_length", "bad_version", "wrong_family"} {
		if f.rose(g, reason) > 0 {
			seen = append(seen, refused(f, g, reason)...)
		}
	}
	if seen == nil {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("Adverts for VHID %d are damaged, of another protocol, or of a family in which this group has no "+
			"address.",
			g.VHID),
		"bad_checksum: a NIC or a cable damages frames. bad_version, bad_length: a protocol other than CARP uses IP "+
			"protocol 112. wrong_family: the peer has addresses of a family that this list lacks.",
		seen...)
}
