// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"strings"

	"vipd/agent/control/api"
)

// What the other vipd nodes report about themselves, and what they do not report any more.

func reportRules() []Rule {
	return []Rule{
		{
			Code:    CodeNoStandby,
			OK:      "no group has lost its standby",
			Found:   "no node would take a group over",
			Passive: true,
			group:   noStandby,
		},
		{
			Code:  CodeConfigDiffers,
			OK:    "the other nodes report the same advbase, beat and preemption, and names of their own",
			Found: "another node reports another advbase, beat or preemption, or a name that is taken",
			group: configDiffers,
		},
		{
			Code:  CodePeersFull,
			OK:    "every vipd node that was heard is remembered",
			Found: "there is no room for another vipd node",
			group: peersFull,
		},
	}
}

// noStandby needs a peer that was heard once: a single node, and one beside a BSD, is not at fault.
func noStandby(f *Facts, g *Group) outcome {
	if g.StandbysUnknown != "" {
		return outcome{note: "who would take over is unknown, since " + g.StandbysUnknown}
	}
	if g.State != api.StateMaster || !g.HasPeer || g.Standbys > 0 {
		return outcome{}
	}
	var last []string
	for i := range g.Reports {
		r := &g.Reports[i]
		last = append(last, fmt.Sprintf("%s (%s) reported last %s ago", r.Node, r.Address, ago(f, r.At)))
	}
	return warning("Redundancy is lost: no other vipd node reports that it would take over.",
		"Start vipd on the other nodes, and end what holds them back: `vipctl peers` shows what each reported last. "+
			"`vipctl status` on them shows the rest.",
		last...)
}

// peersFull: so many nodes are not meant, so the addresses of some are likely to be those of former times.
func peersFull(_ *Facts, g *Group) outcome {
	var o outcome
	if g.NoRoom {
		o = o.and(warning("The kernel has no room to remember another vipd node, which has proven itself. Until "+
			"peer_memory has passed, advertisements without a trailer from sources that are not known are refused as "+
			"bad_trailer.", "Make room: `vipctl peer forget ADDRESS` for nodes that are gone, or a shorter [carp] "+
			"peer_memory. Give the nodes fixed addresses."))
	}
	if g.Unlisted {
		o = o.and(warning("There are more vipd nodes in this group than vipd lists; the others get no answers to their "+
			"hellos, and are none of the standbys.", "Find out which nodes take part: `vipctl peers` lists some of them."))
	}
	return o
}

// configDiffers leaves out versions, which differ in every upgrade.
func configDiffers(f *Facts, g *Group) outcome {
	o := reportedDifference(f, g, api.DiffersAdvBase)
	o = o.and(reportedDifference(f, g, api.DiffersBeat))
	o = o.and(reportedDifference(f, g, api.DiffersPreempt))
	o = o.and(reportedDifference(f, g, api.DiffersNodeName))
	for i := range g.Reports {
		for _, d := range g.Reports[i].Differences {
			if d.Code == api.DiffersVersion && g.Reports[i].Current {
				o.note = d.Text
			}
		}
	}
	return o
}

func reportAdvice(code string) string {
	switch code {
	case api.DiffersAddresses, api.DiffersPassword:
		return "Configure the same on both. If both accept both now ([[vip.accept]]), end the change on each before you " +
			"remove what they accept: a node refuses what it does not have."
	case api.DiffersMaintenance:
		return "Run `vipctl maintenance leave` on the node that is to serve."
	case api.DiffersNodeName:
		return "Set [node] name on one of them, or its hostname, and restart vipd there."
	default:
		return "Make the configs alike and run `vipctl reload`; `vipctl peers` shows what each node reports."
	}
}

// reportedDifference returns a finding for each node that reports this difference. If its adverts are refused for it,
// the rules about digests name it (rules_digest.go).
func reportedDifference(f *Facts, g *Group, code string) outcome {
	var all outcome
	for i := range g.Reports {
		r := &g.Reports[i]
		signed := code == api.DiffersAddresses || code == api.DiffersPassword
		if !r.Current || signed && g.suspects(r.Address) {
			continue
		}
		for _, d := range r.Differences {
			if d.Code == code {
				all = all.and(warning(strings.ToUpper(d.Text[:1])+d.Text[1:]+".", reportAdvice(code),
					fmt.Sprintf("%s (%s) reported it %s ago", r.Node, r.Address, ago(f, r.At))))
			}
		}
	}
	return all
}
