// SPDX-License-Identifier: Apache-2.0

package web

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
)

// severity orders faults; the most severe is shown first.
type severity int

const (
	notice severity = iota + 1
	warning
	critical
)

// Class returns the CSS class of the severity.
func (s severity) Class() string {
	switch s {
	case critical:
		return "bad"
	case warning:
		return "warn"
	default:
		return "notice"
	}
}

// fault is one problem of a group. It is comparable.
type fault struct {
	Severity severity
	// Badge names it in two or three words; Cause explains it and says what to do.
	Badge, Cause string
}

const (
	// bothHeard is how long another master's advert is shown as a fault.
	bothHeard = 10 * time.Second
	// silentAfter is the number of intervals without an advert after which a BACKUP takes over.
	silentAfter = 3
)

func interval(base, skew int) time.Duration {
	return time.Duration(base)*time.Second + time.Duration(skew)*time.Second/256
}

// faultsOf returns the present faults of a group, including the counters that rose in the last minutes.
func faultsOf(g *api.Group, rise map[string]uint64, at time.Time) []fault {
	var out []fault
	switch {
	case g.State == api.StateInit && g.Reason != api.ReasonDisabled:
		out = append(out, fault{critical, "not taking part", cmp.Or(g.Detail, "INIT: "+g.Reason)})
	case g.State == api.StateMaster && !g.Dataplane.Answering:
		out = append(out, fault{critical, "not answering", "The kernel does not answer for this address: the lease " +
			"expired or a better master advertised. Possibly no node serves it."})
	case g.Detail != "" && g.State != api.StateInit:
		out = append(out, fault{warning, "host", g.Detail})
	}
	if m := g.Master; m != nil && g.State == api.StateMaster {
		own := interval(g.AdvBase, g.EffectiveAdvSkew)
		if m.LastSeen.After(g.Since.Add(own)) && at.Sub(m.LastSeen) < max(bothHeard, 2*interval(m.AdvBase, m.AdvSkew)) {
			out = append(out, fault{critical, "two masters", "This node is MASTER and also hears " + m.Address +
				" as master: that node does not receive our advertisements or refuses them. Check the switch between " +
				"the nodes, and the password and address list on both."})
		}
	}
	if g.State == api.StateBackup {
		out = append(out, silence(g, at)...)
	}
	if g.SilentFamily != "" {
		family := familyName(g.SilentFamily)
		out = append(out, fault{warning, family + " silent", "The master is heard, but not over " + family +
			": check multicast of that family on the switch (MLD or IGMP snooping)."})
	}
	for _, d := range g.Differences {
		out = append(out, differing(d))
	}
	for reason, n := range rise {
		k := risen(reason)
		cause := fmt.Sprintf("%s %s in the last minutes. %s", number(n), k.Cause, k.advice)
		out = append(out, fault{k.Severity, k.Badge, cause})
	}
	for _, code := range g.Faults {
		if f, ok := named(code); ok && !slices.ContainsFunc(out, func(x fault) bool { return x.Badge == f.Badge }) {
			out = append(out, f)
		}
	}
	slices.SortFunc(out, func(a, b fault) int {
		return cmp.Or(cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.Badge, b.Badge))
	})
	return out
}

func silence(g *api.Group, at time.Time) []fault {
	heard, patience := g.Since, silentAfter*interval(g.AdvBase, g.EffectiveAdvSkew)
	if g.Master != nil {
		heard, patience = g.Master.LastSeen, silentAfter*interval(g.Master.AdvBase, g.Master.AdvSkew)
	}
	if at.Sub(heard) < patience {
		return nil
	}
	return []fault{{warning, "nothing heard", "No master was heard for longer than three advertisement intervals. " +
		"This node takes over automatically unless something prevents it."}}
}

// kind explains a counter that rose.
type kind struct {
	fault
	advice string
}

func risen(reason string) kind {
	k, ok := map[string]kind{
		"bad_hmac": {
			fault{warning, "digest mismatch", "advertisements were signed with another password or address list"},
			"Password and addresses of this VHID must be the same on all nodes.",
		},
		"foreign_vrrp": {
			fault{warning, "foreign VRRP", "VRRP advertisements arrived for this VHID"},
			"A VRRP router on the segment uses this number and the same virtual MAC: choose another VHID.",
		},
		"replay": {
			fault{warning, "replay", "advertisements had been received before"},
			"A host repeats old advertisements, the segment has a loop, or a guest that was paused is behind.",
		},
		"bad_trailer": {
			fault{warning, "bad trailer", "advertisements lacked the trailer of a vipd node, or had a wrong one"},
			"Another implementation sends from the address of a vipd node (`vipctl peer forget ADDRESS`), or a host forges " +
				"advertisements.",
		},
		"loop": {
			fault{warning, "loop", "advertisements of this node came back to it"},
			"The switch or the hypervisor reflects frames, or the segment has a loop.",
		},
		"bad_ttl": {
			fault{warning, "bad TTL", "advertisements came through a router (TTL not 255)"},
			"Advertisements must not be routed: a host outside the segment sends them.",
		},
		"wrong_family": {
			fault{warning, "wrong family", "advertisements used an address family that this group does not have"},
			"Compare the address lists of the nodes.",
		},
		"rate_limited": {
			fault{warning, "flood", "advertisements arrived faster than they can be checked"},
			"A host floods the segment; advertisements of the known master are still accepted.",
		},
		"bad_checksum": {
			fault{warning, "damaged", "advertisements arrived damaged (checksum)"},
			"Check cables, drivers and checksum offload of the sender.",
		},
		"bad_length": {
			fault{warning, "not CARP", "advertisements do not have the length of CARP"},
			"Another protocol uses IP protocol 112 on this VHID.",
		},
		"bad_version": {
			fault{warning, "not CARP", "advertisements do not have the version of CARP"},
			"Another protocol uses IP protocol 112 on this VHID.",
		},
		"events_lost": {
			fault{notice, "events lost", "advertisements did not fit into the queue to the agent"},
			"The kernel still has the last one; the machine is overloaded.",
		},
	}[reason]
	if !ok {
		k = kind{fault{warning, reason, "advertisements were refused (" + reason + ")"}, ""}
	}
	return k
}

// named returns a fault that the doctor's passive rules (docs/doctor.md) found in the counters.
// It reports false for faults that the page detects itself.
func named(code string) (fault, bool) {
	switch code {
	case doctor.CodeGroupDown,
		doctor.CodeNotAnswering,
		doctor.CodeFamilySilent,
		doctor.CodeNothingHeard,
		doctor.CodeForeignVRRP,
		doctor.CodeReplay,
		doctor.CodeBadTrailer,
		doctor.CodeFlood,
		doctor.CodeDamaged,
		doctor.CodeTTLChanged,
		doctor.CodeReflected,
		doctor.CodeSignatureRefused,
		doctor.CodeSendFailing,
		doctor.CodeAllInMaintenance:
		return fault{}, false
	case doctor.CodePeerDeaf:
		return fault{critical, "two masters", "Another node advertises as master although this one is better: " +
			"it does not receive our advertisements. Run `vipctl doctor` for details."}, true
	case doctor.CodeNoStandby:
		return fault{warning, "no standby", "Redundancy is lost: no other vipd node reports that it would take over. " +
			"Check the other nodes; `vipctl peers` shows what they reported last."}, true
	case doctor.CodeAnswersUnseen:
		return fault{warning, "answers unseen", "Clients repeat their ARP or ND requests although they are answered: " +
			"the answers do not arrive. In native mode the driver may lose them: set [xdp] mode = \"tc\"; " +
			"run `vipctl doctor` for details."}, true
	}
	return fault{
		warning, strings.ReplaceAll(code, "_", " "),
		"The counters indicate this fault. Run `vipctl doctor` for details.",
	}, true
}

func familyName(f string) string {
	if f == api.FamilyIPv6 {
		return "IPv6"
	}
	return "IPv4"
}
