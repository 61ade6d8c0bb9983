// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"fmt"
	"net"
	"net/netip"
	"strings"

	"vipd/agent/control/api"
)

// What a digest does not fit by. A CARP digest covers password, VHID and address list,
// so that any difference looks the same on the wire; [Explain] tells them apart.

func digestRules() []Rule {
	return []Rule{
		{Code: CodeAddressesDiffer, What: "the peers' address lists", group: addressesDiffer},
		{Code: CodePasswordDiffers, What: "the peers' passwords", group: passwordDiffers},
		{Code: CodeLLAddrDiffers, What: "link-layer addresses in the peers' digests (OpenBSD)", group: lladdrDiffers},
		{Code: CodeSegmentsJoined, What: "adverts of another group of this node", group: segmentsJoined},
		{Code: CodeVHIDTwice, What: "another cluster with the same VHID", group: vhidTwice},
		{Code: CodeForged, What: "forged adverts", group: forged},
		{Code: CodeSignatureRefused, What: "adverts whose signature is refused", Passive: true, group: signatureRefused},
	}
}

// manySenders is how many unexplained senders are no clusters any more but one forger,
// and manyAdverts how many of one sender in an interval are none of a CARP node.
const (
	manySenders = 4
	manyAdverts = 30
)

// tooMany says that no misconfigured node sends that many adverts in the time watched.
func tooMany(g *Group, n uint64) bool {
	return float64(n)*g.Interval.Seconds() > manyAdverts*g.RiseTime.Seconds() && g.RiseTime > 0
}

// kind sorts what Explain found.
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
	case unexplained(g) > manySenders, tooMany(g, g.share(s)), g.Received > 0 && heardLately(f, g) && s.Src == g.Master.Address:
		return CodeForged
	default:
		return CodePasswordDiffers
	}
}

// share is how many of the refused adverts were the sender's, as far as those that were
// kept tell.
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

func (s *Suspect) who() string {
	return fmt.Sprintf("%s (%s)", s.Src, net.HardwareAddr(s.SrcMAC[:]))
}

// eachSuspect makes one finding for every sender of that kind.
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
	out := []string{fmt.Sprintf("%s of %s refused as bad_hmac, the last %s ago", adverts(uint64(s.Count)), s.who(), ago(f, s.Last))}
	if g.State == api.StateMaster {
		out = append(out, "this node is MASTER, and whoever sends adverts believes to be: there are two")
	}
	return out
}

func addressesDiffer(f *Facts, g *Group) outcome {
	return eachSuspect(f, g, CodeAddressesDiffer, func(s *Suspect) outcome {
		e := &s.Explanation
		return fault(
			fmt.Sprintf("%s has another address list for VHID %d: %s.", s.Src, g.VHID, e.lists()),
			e.mendLists(s.Src)+"; or accept both meanwhile with [[vip.accept]] addresses.",
			fmt.Sprintf("its digest is right for our password and that list (found after %d tries)", e.Tries))
	})
}

// lists says how the peer's list differs.
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

func (e *Explanation) mendLists(peer netip.Addr) string {
	switch {
	case len(e.Extra) == 0:
		return fmt.Sprintf("Add %s on %s, or take it out here, and reload", join(e.Missing), peer)
	case len(e.Missing) == 0:
		return fmt.Sprintf("Add %s here, or take it out on %s, and reload", join(e.Extra), peer)
	default:
		return fmt.Sprintf("Make the list of %s and this one the same, and reload", peer)
	}
}

func passwordDiffers(f *Facts, g *Group) outcome {
	if twoClusters(f, g) != nil {
		return outcome{} // vhidTwice says it
	}
	return eachSuspect(f, g, CodePasswordDiffers, func(s *Suspect) outcome {
		e := &s.Explanation
		const mend = "Write the same password on all nodes (at most 19 bytes; pfSense takes blanks out of it) and reload"
		switch {
		case e.Found && len(e.Missing) > 0:
			return fault(fmt.Sprintf("%s signs VHID %d with %s, and with another address list: %s.", s.Src, g.VHID, e.Key, e.lists()), mend+", and make the lists the same.")
		case e.Found:
			return fault(fmt.Sprintf("%s signs VHID %d with another password: %s.", s.Src, g.VHID, e.Key), mend+".")
		}
		tried := fmt.Sprintf("no list near ours makes its digest right with our password (%d tries", e.Tries)
		if e.Spent {
			tried += ", then given up"
		}
		return fault(
			fmt.Sprintf("%s has another password for VHID %d, or an address list that differs in more than the doctor can guess.", s.Src, g.VHID),
			mend+fmt.Sprintf(". If %s is no node of yours, choose another VHID: two clusters must not share one.", s.Src),
			tried+")")
	})
}

func lladdrDiffers(f *Facts, g *Group) outcome {
	return eachSuspect(f, g, CodeLLAddrDiffers, func(s *Suspect) outcome {
		if s.NoLLAddr {
			return fault(fmt.Sprintf("This node signs a link-layer address for VHID %d, and %s does not.", g.VHID, s.Src),
				"Take lladdr out of the [[vip]] and reload, or set it on that node as well.")
		}
		mac := net.HardwareAddr(s.LLAddr[:])
		return fault(fmt.Sprintf("%s signs its link-layer address %s for VHID %d, as OpenBSD does with an lladdr that was set by hand.", s.Src, mac, g.VHID),
			fmt.Sprintf("Write lladdr = %q into the [[vip]] and reload, or let OpenBSD have the virtual MAC.", mac.String()))
	})
}

func segmentsJoined(f *Facts, g *Group) outcome {
	return eachSuspect(f, g, CodeSegmentsJoined, func(s *Suspect) outcome {
		return fault(
			fmt.Sprintf("%s sends adverts here that are those of %s: two segments are joined, or somebody's cable or VLAN is in the wrong one.", s.Src, s.Group),
			fmt.Sprintf("Find where the segments of %s and %s meet; if they are meant to, give the groups different VHIDs.", s.Group, g.Name))
	})
}

// twoClusters are the senders that nothing explains, if that many can only be another
// cluster: several at once, or one beside an authentic master.
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
		seen = append(seen, fmt.Sprintf("%s is heard as well, and its adverts are authentic", g.Master.Address))
	}
	return fault(
		fmt.Sprintf("VHID %d is used twice on this segment: another cluster speaks from %s.", g.VHID, strings.Join(names, ", ")),
		"Choose a VHID that nobody else has: two clusters with one VHID share a virtual MAC, and the switch sends their traffic to either. If these are nodes of yours, their passwords or address lists differ.",
		seen...)
}

// forged are adverts in the name of a master whose own are authentic, in the names of
// many, or more than a node would send.
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
		seen = append(seen, fmt.Sprintf("the true adverts of %s arrive as well", g.Master.Address))
	}
	seen = append(seen, fmt.Sprintf("%s refused as bad_hmac in %s", adverts(f.rose(g, refusedHMAC)), span(g.RiseTime)))
	return warning(
		fmt.Sprintf("Somebody forges adverts for VHID %d in the name of %s.", g.VHID, strings.Join(who, ", ")),
		"They are refused and move nothing. Find the sender by its MAC in the switch; a second machine with the address of a node of yours, and another password, looks the same.",
		seen...)
}

// signatureRefused is for when the adverts themselves were not kept.
func signatureRefused(f *Facts, g *Group) outcome {
	n := f.rose(g, refusedHMAC)
	if n == 0 || len(g.Suspects) > 0 {
		return outcome{}
	}
	seen := []string{fmt.Sprintf("%s refused as bad_hmac in %s", adverts(n), span(g.RiseTime))}
	if g.State == api.StateMaster {
		seen = append(seen, "this node is MASTER, and whoever sends adverts believes to be: there are two")
	}
	return fault(
		fmt.Sprintf("Another node sends adverts for VHID %d that are not signed as here.", g.VHID),
		"Compare password and address list with the peers': both are signed, and must be the same on all nodes. `vipctl doctor` says which.",
		seen...)
}
