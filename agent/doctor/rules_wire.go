// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"time"

	"vipd/agent/control/api"
)

// What goes wrong between the nodes.

func wireRules() []Rule {
	return []Rule{
		{Code: CodePeerDeaf, What: "whether a peer that speaks hears this node", Passive: true, group: peerDeaf},
		{Code: CodeNothingHeard, What: "another master whose adverts do not arrive here", group: nothingHeard},
		{Code: CodeAdvertsLost, What: "adverts of the master that get lost", Passive: true, group: advertsLost},
		{Code: CodeFamilySilent, What: "adverts of one family alone", Passive: true, group: familySilent},
		{Code: CodePeerUnresolved, What: "the way to the unicast peers", group: peerUnresolved},
		{Code: CodeReflected, What: "our own adverts coming back", Passive: true, group: reflected},
		{Code: CodeForeignVRRP, What: "a VRRP router with the VHID as its VRID", Passive: true, group: foreignVRRP},
		{Code: CodeTTLChanged, What: "adverts that passed a router", Passive: true, group: ttlChanged},
		{Code: CodeReplay, What: "adverts that were heard before", Passive: true, group: replayed},
		{Code: CodeFlood, What: "a flood of adverts", Passive: true, group: flood},
		{Code: CodeDamaged, What: "damaged adverts, or adverts of a family without addresses here", Passive: true, group: damaged},
	}
}

// settle is how long two masters may overlap without a fault: a peer that is handing
// over, or one that looks once a second, as ucarp does.
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
		fmt.Sprintf("%s speaks as MASTER although this node does, and with better adverts: it does not hear this node (multicast gets through one way only), or refuses what it hears.", m.Address),
		fmt.Sprintf("Look for what holds multicast back on the way to %s: IGMP snooping without a querier, storm control, a filter, a hypervisor's port security. Run `vipctl doctor` there, too: if it refuses our adverts, that says why. `peers` (unicast) goes around multicast.", m.Address),
		fmt.Sprintf("this node is MASTER for %s", ago(f, g.Since)),
		fmt.Sprintf("its authentic adverts (%d/%d) still arrive, the last %s ago", m.AdvBase, m.AdvSkew, ago(f, m.LastSeen)))
}

func nothingHeard(f *Facts, g *Group) outcome {
	if g.State != api.StateMaster || heardLately(f, g) || len(g.Suspects) > 0 {
		return outcome{}
	}
	for reason := range g.Rise {
		if f.rose(g, reason) > 0 {
			return outcome{} // something is heard, and what it is has a rule of its own
		}
	}
	for _, a := range g.Answers {
		if a.Interface != "" || a.MAC != virtualMAC(g) {
			continue
		}
		return fault(
			fmt.Sprintf("Another node is MASTER too: it answers for %s, but none of its adverts arrives here.", a.Address),
			"Look for what holds multicast to 224.0.0.18 and ff02::12 (IP protocol 112) back on the way to this node: IGMP snooping without a querier, storm control, a filter, a hypervisor's port security. `peers` (unicast) goes around multicast.",
			fmt.Sprintf("asked for %s, another host answered with the virtual MAC", a.Address), lastWord(f, g))
	}
	if g.Master == nil {
		return outcome{note: "no other node was ever heard; that is as it should be while the others are BACKUP, for these are silent"}
	}
	return outcome{}
}

// countIntervals is in how many of the master's intervals at least its adverts are
// counted, and lostPart of how many that are due one must arrive. A demotion that ends
// almost halves the interval, so that the half of them is no loss yet.
const (
	countIntervals = 8
	lostPart       = 2
)

// advertsLost reckons by what the master says of itself. With advbase 0 that can change
// manifold within the time.
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
		fmt.Sprintf("More than half of the adverts of %s get lost on the way: a few more in a row, and this node takes over.", m.Address),
		"Look for what holds them back: storm control or a rate limit for multicast on the switch, a busy host or radio link in between. Counters of dropped frames on the ports tell which.",
		fmt.Sprintf("%d of %d that were due arrived in %s", g.Received, due, span(g.RiseTime)))
}

// families is over how many address families a master advertises that is heard in all
// of them.
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

func familySilent(_ *Facts, g *Group) outcome {
	if g.SilentFamily == "" {
		return outcome{}
	}
	other := map[string]string{api.FamilyIPv4: api.FamilyIPv6, api.FamilyIPv6: api.FamilyIPv4}[g.SilentFamily]
	return warning(
		fmt.Sprintf("The master is heard over %s but not over %s.", other, g.SilentFamily),
		fmt.Sprintf("Look for a filter or a switch that holds %s adverts back. A BSD peer in the same place would take over: it waits for each family by itself.", g.SilentFamily))
}

func peerUnresolved(_ *Facts, g *Group) outcome {
	if len(g.Unresolved) == 0 {
		return outcome{}
	}
	return warning(
		fmt.Sprintf("No host answers at the unicast peer's address %s.", join(g.Unresolved)),
		"Adverts to it are not sent. If the peer is running, compare `peers` with its address, and look at the way there with ping.",
		"the kernel has no neighbour entry for it")
}

func reflected(f *Facts, g *Group) outcome {
	if f.rose(g, refusedLoop) == 0 {
		return outcome{}
	}
	return warning(
		"This node's own adverts come back to it.",
		"Look for a loop or a mirror port in the switch, NIC teaming that reflects multicast (VMware does so with promiscuous mode on a switch of several uplinks; Net.ReversePathFwdCheckPromisc = 1 stops it), or two ports of one bridge in the segment. vipd ignores them; a FreeBSD peer in the same place would give its addresses up.",
		refused(f, g, refusedLoop)...)
}

func foreignVRRP(f *Facts, g *Group) outcome {
	n := f.rose(g, refusedVRRP)
	if n == 0 {
		return outcome{}
	}
	return fault(
		fmt.Sprintf("A VRRP router (keepalived, or a router of another make) uses VRID %d on this segment.", g.VHID),
		"CARP and VRRP have the same virtual MACs: choose another VHID for all nodes of this group, or another VRID there.",
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
		"Adverts arrive with a TTL that is not 255: a router or a tunnel is on the way, or the sender is none of CARP's.",
		"CARP belongs on one segment: take the router out of the way. For unicast peers behind a router write peer_ttl = \"any\" into the [[vip]] (FreeBSD does it without being asked, OpenBSD refuses such adverts).",
		seen...)
}

func replayed(f *Facts, g *Group) outcome {
	if f.rose(g, refusedReplay) == 0 {
		return outcome{}
	}
	return warning(
		"Adverts arrive that were heard before, bear a seal that does not fit them, or none although require_seal is set.",
		"A loop or a mirror port in the network does that, and somebody who plays captures back. If the sender is a node of yours whose state_dir was lost or whose clock went back, restart vipd there once its clock is right.",
		refused(f, g, refusedReplay)...)
}

func flood(f *Facts, g *Group) outcome {
	var all uint64
	for reason := range g.Rise {
		all += f.rose(g, reason)
	}
	unread := f.rose(g, refusedLimited)
	if unread == 0 && !tooMany(g, all) {
		return outcome{}
	}
	seen := []string{fmt.Sprintf("%s refused in %s, %.0f a second", adverts(all), span(g.RiseTime), float64(all)/max(g.RiseTime.Seconds(), 0.001))}
	if unread > 0 {
		seen = append(seen, fmt.Sprintf("%d of them unread (rate_limited), as strangers have used up their budget", unread))
	}
	return warning(
		"More adverts arrive than any node sends: somebody floods the segment with forged ones, or a loop multiplies them.",
		"Find the sender by its MAC in the switch, and the loop by its port counters. The true master's adverts have a budget of their own and are not lost.",
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
		fmt.Sprintf("Adverts for VHID %d are damaged, of another protocol, or of a family in which this group has no address.", g.VHID),
		"bad_checksum: a NIC or a cable that breaks frames. bad_version, bad_length: something else than CARP uses IP protocol 112. wrong_family: the peer has addresses of a family that this list lacks.",
		seen...)
}
