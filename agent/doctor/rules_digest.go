// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

// Why a digest is wrong. A CARP digest covers password, VHID and address list, so any difference
// looks the same on the wire; [Explain] distinguishes them.

func digestRules() []Rule {
	return []Rule{
		{
			Code:  CodeAddressesDiffer,
			OK:    "the peers' address lists agree with this node's",
			Found: "a peer's address list differs from this node's",
			group: addressesDiffer,
		},
		{
			Code:  CodePasswordDiffers,
			OK:    "the peers use the same password",
			Found: "a peer uses another password",
			group: passwordDiffers,
		},
		{
			Code:  CodeLLAddrDiffers,
			OK:    "the peers sign the same link-layer address (OpenBSD)",
			Found: "a peer signs another link-layer address (OpenBSD)",
			group: lladdrDiffers,
		},
		{
			Code:  CodeSegmentsJoined,
			OK:    "no adverts of another group of this node arrive",
			Found: "adverts of another group of this node arrive",
			group: segmentsJoined,
		},
		{
			Code:  CodeVHIDTwice,
			OK:    "no other cluster uses this VHID",
			Found: "another cluster uses this VHID",
			group: vhidTwice,
		},
		{
			Code:  CodeForged,
			OK:    "no adverts are forged",
			Found: "adverts are forged",
			group: forged,
		},
		{
			Code:    CodeSignatureRefused,
			OK:      "no adverts are refused for their signature",
			Found:   "adverts are refused for their signature",
			Passive: true,
			group:   signatureRefused,
		},
	}
}

// More than manySenders unexplained senders are one forger and not that many clusters. More than
// manyAdverts of one sender in an interval are not those of a CARP node.
const (
	manySenders = 4
	manyAdverts = 30
)

// tooMany reports whether n are more adverts than a misconfigured node sends in the time watched.
func tooMany(g *Group, n uint64) bool {
	return float64(n)*g.Interval.Seconds() > manyAdverts*g.RiseTime.Seconds() && g.RiseTime > 0
}

// kind returns the code of the rule that a suspect belongs to.
func (s *Suspect) kind(f *Facts, g *Group) string {
	switch e := &s.Explanation; {
	case e.Found && e.Group != "":
		return CodeSegmentsJoined
	case e.Found && (e.LLAddr != nil || e.NoLLAddr):
		return CodeLLAddrDiffers
	case e.Found && e.Key == "":
		return CodeAddressesDiffer
	case e.Found:
		return CodePasswordDiffers
	case unexplained(g) > manySenders,
		tooMany(g, g.share(s)),
		g.Received > 0 && heardLately(f, g) && s.Src == g.Master.Address:
		return CodeForged
	default:
		return CodePasswordDiffers
	}
}

// share estimates how many of the refused adverts were the sender's, from those that were kept.
func (g *Group) share(s *Suspect) uint64 {
	all := 0
	for i := range g.Suspects {
		all += g.Suspects[i].Count
	}
	return g.Rise[refusedHMAC] * uint64(s.Count) / uint64(max(all, 1))
}

func unexplained(g *Group) int {
	n := 0
	for i := range g.Suspects {
		if !g.Suspects[i].Found {
			n++
		}
	}
	return n
}

// suspects reports whether adverts of a sender were refused for their signature.
func (g *Group) suspects(src netip.Addr) bool {
	return slices.ContainsFunc(g.Suspects, func(s Suspect) bool { return s.Src == src })
}

func (s *Suspect) who() string {
	return fmt.Sprintf("%s (%s)", s.Src, net.HardwareAddr(s.SrcMAC[:]))
}

// eachSuspect returns one finding per sender of that kind.
func eachSuspect(f *Facts, g *Group, kind string, finding func(*Suspect) outcome) outcome {
	var all outcome
	for i := range g.Suspects {
		if s := &g.Suspects[i]; s.kind(f, g) == kind {
			o := finding(s)
			for j := range o.findings {
				o.findings[j].Evidence = append(o.findings[j].Evidence, evidence(f, g, s)...)
			}
			all.findings = append(all.findings, o.findings...)
		}
	}
	return all
}

func evidence(f *Facts, g *Group, s *Suspect) []string {
	out := []string{
		fmt.Sprintf("%s of %s refused as bad_hmac, the last %s ago", adverts(uint64(s.Count)), s.who(), ago(f, s.Last)),
	}
	if g.State == api.StateMaster {
		out = append(out, twoMasters)
	}
	return out
}

// twoMasters is evidence while this node is MASTER: only a MASTER sends adverts.
const twoMasters = "this node is MASTER, and so is the sender of these adverts: there are two"

func addressesDiffer(f *Facts, g *Group) outcome {
	o := reportedDifference(f, g, api.DiffersAddresses)
	return o.and(eachSuspect(f, g, CodeAddressesDiffer, func(s *Suspect) outcome {
		e := &s.Explanation
		return fault(
			fmt.Sprintf("%s has another address list for VHID %d: %s.", s.Src, g.VHID, e.lists()),
			e.fixLists(s.Src)+"; until then both can be accepted with [[vip.accept]] addresses.",
			fmt.Sprintf("its digest is correct for our password and that list (found after %d tries)", e.Tries))
	}))
}

// lists describes how the peer's list differs.
func (e *Explanation) lists() string {
	var parts []string
	if len(e.Missing) > 0 {
		parts = append(parts, fmt.Sprintf("it lacks %s, which this node has", join(e.Missing)))
	}
	if len(e.Extra) > 0 {
		parts = append(parts, fmt.Sprintf("it has %s, which this node lacks", join(e.Extra)))
	}
	return strings.Join(parts, ", and ")
}

func (e *Explanation) fixLists(peer netip.Addr) string {
	switch {
	case len(e.Extra) == 0:
		return fmt.Sprintf("Add %s on %s, or remove it here, and reload", join(e.Missing), peer)
	case len(e.Missing) == 0:
		return fmt.Sprintf("Add %s here, or remove it on %s, and reload", join(e.Extra), peer)
	default:
		return fmt.Sprintf("Make the list of %s and this one the same, and reload", peer)
	}
}

func passwordDiffers(f *Facts, g *Group) outcome {
	if twoClusters(f, g) != nil {
		return outcome{} // see vhidTwice
	}
	o := reportedDifference(f, g, api.DiffersPassword)
	return o.and(eachSuspect(f, g, CodePasswordDiffers, func(s *Suspect) outcome {
		e := &s.Explanation
		const fix = "Set the same password on all nodes (at most 19 bytes; pfSense removes blanks from it) and reload"
		switch {
		case e.Found && len(e.Missing) > 0:
			return fault(
				fmt.Sprintf("%s signs VHID %d with %s and with another address list: %s.", s.Src, g.VHID, e.Key, e.lists()),
				fix+", and make the lists the same.",
			)
		case e.Found:
			return fault(fmt.Sprintf("%s signs VHID %d with another password: %s.", s.Src, g.VHID, e.Key), fix+".")
		}
		tried := fmt.Sprintf("no list similar to ours makes its digest correct with our password (%d tries", e.Tries)
		if e.Spent {
			tried += ", then given up"
		}
		return fault(
			fmt.Sprintf("%s has another password for VHID %d, or an address list that differs in more than the doctor can "+
				"guess.", s.Src, g.VHID),
			fix+fmt.Sprintf(". If %s is not one of your nodes, use another VHID: two clusters must not share one.", s.Src),
			tried+")",
		)
	}))
}

func lladdrDiffers(f *Facts, g *Group) outcome {
	return eachSuspect(f, g, CodeLLAddrDiffers, func(s *Suspect) outcome {
		if s.NoLLAddr {
			return fault(fmt.Sprintf("This node signs a link-layer address for VHID %d, and %s does not.", g.VHID, s.Src),
				"Remove lladdr from the [[vip]] and reload, or set it on that node as well.")
		}
		mac := net.HardwareAddr(s.LLAddr[:])
		return fault(
			fmt.Sprintf("%s signs its link-layer address %s for VHID %d, as OpenBSD does if lladdr was set manually.",
				s.Src, mac, g.VHID),
			fmt.Sprintf("Set lladdr = %q in the [[vip]] and reload, or let OpenBSD use the virtual MAC.", mac.String()))
	})
}

func segmentsJoined(f *Facts, g *Group) outcome {
	return eachSuspect(f, g, CodeSegmentsJoined, func(s *Suspect) outcome {
		return fault(
			fmt.Sprintf("%s sends adverts of %s here: two segments are joined, or a cable or VLAN is in the wrong one.",
				s.Src, s.Group),
			fmt.Sprintf("Find where the segments of %s and %s meet; if they are meant to be joined, give the groups "+
				"different VHIDs.", s.Group, g.Name))
	})
}

// twoClusters returns the unexplained senders if they can only be another cluster: several at
// once, or one beside an authentic master.
func twoClusters(f *Facts, g *Group) []*Suspect {
	var out []*Suspect
	for i := range g.Suspects {
		if s := &g.Suspects[i]; !s.Found && s.kind(f, g) != CodeForged {
			out = append(out, s)
		}
	}
	if len(out) > 1 || len(out) == 1 && heardLately(f, g) && g.Received > 0 && g.Master.Address != out[0].Src {
		return out
	}
	return nil
}

func vhidTwice(f *Facts, g *Group) outcome {
	others := twoClusters(f, g)
	if others == nil {
		return outcome{}
	}
	names := make([]string, len(others))
	var seen []string
	for i, s := range others {
		names[i] = s.Src.String()
		seen = append(seen, evidence(f, g, s)[0])
	}
	if heardLately(f, g) {
		seen = append(seen, fmt.Sprintf("%s is also heard, and its adverts are authentic", g.Master.Address))
	}
	return fault(
		fmt.Sprintf("VHID %d is used twice on this segment: another cluster sends adverts from %s.",
			g.VHID, strings.Join(names, ", ")),
		"Use a VHID that no other cluster has: two clusters with one VHID share a virtual MAC, and the switch sends the "+
			"traffic of one to the other. If these are your nodes, their passwords or address lists differ.",
		seen...)
}

// forged finds adverts in the name of a master whose own are authentic, in the names of many
// nodes, or more of them than a node sends.
func forged(f *Facts, g *Group) outcome {
	var who, seen []string
	for i := range g.Suspects {
		if s := &g.Suspects[i]; s.kind(f, g) == CodeForged {
			who = append(who, s.who())
			seen = append(seen, evidence(f, g, s)[0])
		}
	}
	if who == nil {
		return outcome{}
	}
	if heardLately(f, g) {
		seen = append(seen, fmt.Sprintf("the authentic adverts of %s also arrive", g.Master.Address))
	}
	seen = append(seen, fmt.Sprintf("%s refused as bad_hmac in %s", adverts(f.rose(g, refusedHMAC)), span(g.RiseTime)))
	return warning(
		fmt.Sprintf("Adverts for VHID %d are forged in the name of %s.", g.VHID, strings.Join(who, ", ")),
		"They are refused and change nothing. Find the sender by its MAC in the switch; a second machine with the "+
			"address of one of your nodes and another password looks the same.",
		seen...)
}

// signatureRefused applies if the adverts themselves were not kept.
func signatureRefused(f *Facts, g *Group) outcome {
	n := f.rose(g, refusedHMAC)
	if n == 0 || len(g.Suspects) > 0 {
		return outcome{}
	}
	seen := []string{fmt.Sprintf("%s refused as bad_hmac in %s", adverts(n), span(g.RiseTime))}
	if g.State == api.StateMaster {
		seen = append(seen, twoMasters)
	}
	return fault(
		fmt.Sprintf("Another node sends adverts for VHID %d that are signed differently.", g.VHID),
		"Compare password and address list with the peers': both are signed and must be the same on all nodes. "+
			"`vipctl doctor` reports which of them differs.",
		seen...)
}
