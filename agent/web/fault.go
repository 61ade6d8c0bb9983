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

// severity orders what is shown; the worst comes first.
type severity int

const (
	notice severity = iota + 1
	warning
	critical
)

// Class is the style of the severity, Word what it is called for those who see no colour.
func (s severity) Class() string {
	return map[severity]string{notice: "notice", warning: "warn", critical: "bad"}[s]
}

// fault is one thing that is wrong with a group, as people call it. It is comparable.
type fault struct {
	Severity severity
	// Badge is two or three words, Cause a sentence with what to do.
	Badge, Cause string
}

const (
	// bothHeard is how long ago another master's advert still is a fault.
	bothHeard = 10 * time.Second
	// silentAfter intervals without an advert a BACKUP is about to take over.
	silentAfter = 3
)

func interval(base, skew int) time.Duration {
	return time.Duration(base)*time.Second + time.Duration(skew)*time.Second/256
}

// faultsOf tells what is wrong now, and which counters rose in the last minutes.
func faultsOf(g *api.Group, rise map[string]uint64, at time.Time) []fault {
	var out []fault
	switch {
	case g.State == api.StateInit && g.Reason != api.ReasonDisabled:
		out = append(out, fault{critical, "not taking part", cmp.Or(g.Detail, "INIT: "+g.Reason)})
	case g.State == api.StateMaster && !g.Dataplane.Answering:
		out = append(out, fault{critical, "not answering", "The kernel does not answer for this address: the lease ran out or a better master spoke. Nobody may be serving it."})
	case g.Detail != "" && g.State != api.StateInit:
		out = append(out, fault{warning, "host", g.Detail})
	}
	if m := g.Master; m != nil && g.State == api.StateMaster {
		own := interval(g.AdvBase, g.EffectiveAdvSkew)
		if m.LastSeen.After(g.Since.Add(own)) && at.Sub(m.LastSeen) < max(bothHeard, 2*interval(m.AdvBase, m.AdvSkew)) {
			out = append(out, fault{critical, "two masters", "This node is MASTER and hears " + m.Address + " as master too: it does not hear us, or does not accept our adverts. Look at the switch between the two, and at password and address list on both."})
		}
	}
	if g.State == api.StateBackup {
		out = append(out, silence(g, at)...)
	}
	if g.SilentFamily != "" {
		out = append(out, fault{warning, familyName(g.SilentFamily) + " silent", "The master is heard, but not over " + familyName(g.SilentFamily) + ": look at multicast of that family on the switch (MLD or IGMP snooping)."})
	}
	for reason, n := range rise {
		k := risen(reason)
		out = append(out, fault{k.Severity, k.Badge, fmt.Sprintf("%s %s in the last minutes. %s", number(n), k.Cause, k.advice)})
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
	const advice = " Nobody speaks for the address as far as this node can hear; it takes over by itself unless it is kept from it."
	heard, patience := g.Since, silentAfter*interval(g.AdvBase, g.EffectiveAdvSkew)
	if g.Master != nil {
		heard, patience = g.Master.LastSeen, silentAfter*interval(g.Master.AdvBase, g.Master.AdvSkew)
	}
	if at.Sub(heard) < patience {
		return nil
	}
	return []fault{{warning, "nothing heard", "No master was heard for longer than it may be silent." + advice}}
}

// kind is what a counter that rose means.
type kind struct {
	fault
	advice string
}

func risen(reason string) kind {
	k, ok := map[string]kind{
		"bad_hmac":     {fault{warning, "digest mismatch", "adverts were signed with another password or address list"}, "Password and addresses of this VHID must be the same on all nodes."},
		"foreign_vrrp": {fault{warning, "foreign VRRP", "adverts of a VRRP router came on this VHID"}, "Another router on the segment uses this number and the same virtual MAC: choose another VHID."},
		"replay":       {fault{warning, "replay", "adverts had been sent before"}, "Somebody repeats old adverts, or the segment has a loop."},
		"loop":         {fault{warning, "loop", "of our own adverts came back to us"}, "The switch or the hypervisor reflects frames, or the segment has a loop."},
		"bad_ttl":      {fault{warning, "bad TTL", "adverts came over a router (TTL not 255)"}, "Adverts must not be routed; somebody outside of the segment sends them."},
		"wrong_family": {fault{warning, "wrong family", "adverts came over an address family that this group does not have"}, "Compare the address lists of the nodes."},
		"rate_limited": {fault{warning, "flood", "adverts came faster than can be checked"}, "Somebody floods the segment; adverts of the known master are still taken."},
		"bad_checksum": {fault{warning, "damaged", "adverts arrived damaged (checksum)"}, "Look at cables, drivers and checksum offload of the sender."},
		"bad_length":   {fault{warning, "not CARP", "adverts have a length that CARP has not"}, "Something else speaks IP protocol 112 on this VHID."},
		"bad_version":  {fault{warning, "not CARP", "adverts have a version that CARP has not"}, "Something else speaks IP protocol 112 on this VHID."},
		"events_lost":  {fault{notice, "events lost", "adverts did not fit into the queue to the agent"}, "The kernel's own record has them; the machine is overloaded."},
	}[reason]
	if !ok {
		k = kind{fault{warning, reason, "adverts were refused (" + reason + ")"}, ""}
	}
	return k
}

// named is a fault that the doctor's passive rules (docs/doctor.md) found in the counters.
// What the page judges itself, from the moment and over its own minutes, is not told twice.
func named(code string) (fault, bool) {
	switch code {
	case doctor.CodeGroupDown, doctor.CodeNotAnswering, doctor.CodeFamilySilent, doctor.CodeNothingHeard, doctor.CodeForeignVRRP,
		doctor.CodeReplay, doctor.CodeFlood, doctor.CodeDamaged, doctor.CodeTTLChanged, doctor.CodeReflected,
		doctor.CodeSignatureRefused, doctor.CodeSendFailing, doctor.CodeAllInMaintenance:
		return fault{}, false
	case doctor.CodePeerDeaf:
		return fault{critical, "two masters", "Another node speaks as master although this one is better: it does not hear us. `vipctl doctor` looks closer."}, true
	case doctor.CodeAnswersUnseen:
		return fault{warning, "answers unseen", "Clients ask again and again although they are answered: frames that XDP sends do not arrive. Set [xdp] mode = \"generic\" on this driver; `vipctl doctor` looks closer."}, true
	}
	return fault{warning, strings.ReplaceAll(code, "_", " "), "The counters point to this fault; `vipctl doctor` looks closer."}, true
}

func familyName(f string) string {
	if f == api.FamilyIPv6 {
		return "IPv6"
	}
	return "IPv4"
}
