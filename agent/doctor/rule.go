// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"cmp"
	"slices"
	"strings"

	"vipd/agent/control/api"
)

// Codes of findings. They are stable; docs/doctor.md explains each.
const (
	CodePasswordDiffers  = "password_differs"
	CodeAddressesDiffer  = "addresses_differ"
	CodeLLAddrDiffers    = "lladdr_differs"
	CodeSegmentsJoined   = "segments_joined"
	CodeVHIDTwice        = "vhid_twice"
	CodeForged           = "forged"
	CodeSignatureRefused = "signature_refused"
	CodePeerDeaf         = "peer_deaf"
	CodeNothingHeard     = "nothing_heard"
	CodeReflected        = "reflected"
	CodeForeignVRRP      = "foreign_vrrp"
	CodeTTLChanged       = "ttl_changed"
	CodeReplay           = "replay"
	CodeBadTrailer       = "bad_trailer"
	CodeFlood            = "flood"
	CodeDamaged          = "damaged"
	CodeAdvertsLost      = "adverts_lost"
	CodeBeatDistrusted   = "beat_distrusted"
	CodeFamilySilent     = "family_silent"
	CodePeerUnresolved   = "peer_unresolved"
	CodeOutOfReach       = "out_of_reach"
	CodeAddressConflict  = "address_conflict"
	CodeSecondInterface  = "second_interface"
	CodeAnswersUnseen    = "answers_unseen"
	CodeMACFilter        = "mac_filter"
	CodeNotAnswering     = "not_answering"
	CodeFencedTraffic    = "fenced_traffic"
	CodeMACSpoofing      = "mac_spoofing_filter"
	CodeXDPTaken         = "xdp_taken"
	CodeGroupDown        = "group_down"
	CodeAllInMaintenance = "all_in_maintenance"
	CodeNoOwner          = "no_owner"
	CodeNoStandby        = "no_standby"
	CodeConfigDiffers    = "config_differs"
	CodePeersFull        = "peers_full"
	CodeSendFailing      = "send_failing"
	CodeStarved          = "starved"
	CodeNoRealTime       = "no_realtime"
	CodeCommands         = "commands"
	CodeOwnAddress       = "own_address"
	CodeAddressRemoved   = "address_removed"
	CodeRoutesLost       = "routes_lost"
	CodeHostConfig       = "host_config"
)

// Reasons for which the data plane refuses adverts.
const (
	refusedHMAC    = "bad_hmac"
	refusedTTL     = "bad_ttl"
	refusedLoop    = "loop"
	refusedReplay  = "replay"
	refusedTrailer = "bad_trailer"
	refusedLimited = "rate_limited"
	refusedVRRP    = "foreign_vrrp"
)

// Rule finds one cause.
type Rule struct {
	Code string
	// OK and Found state the result in words: without a finding, and with one.
	OK, Found string
	// Passive rules need only a status, see [FromStatus].
	Passive bool

	group func(*Facts, *Group) outcome // nil for a rule about the node
	node  func(*Facts) outcome
}

// outcome is what a rule found, or a note on something that is not a fault.
type outcome struct {
	findings []api.Finding
	note     string
}

// Rules returns all rules in the order of the report.
func Rules() []Rule {
	return slices.Concat(digestRules(), wireRules(), addressRules(), hostRules(), stateRules(), reportRules())
}

// Diagnose applies every rule. A rule whose code is in [Facts.Skipped] and that finds nothing
// is reported as skipped.
func Diagnose(f *Facts) api.Doctor {
	out := api.Doctor{
		Node:           f.Node,
		Time:           f.Time,
		WatchedSeconds: f.Watched.Seconds(),
		Findings:       []api.Finding{},
		Checks:         []api.DoctorCheck{},
	}
	for _, r := range Rules() {
		check := api.DoctorCheck{Code: r.Code, What: r.OK, Result: api.CheckOK}
		found, notes := r.apply(f)
		why, skipped := f.Skipped[r.Code]
		switch {
		case len(found) > 0:
			check.What, check.Result = r.Found, api.CheckFound
		case skipped:
			check.Result = api.CheckSkipped
			notes = append([]string{why}, notes...)
		}
		check.Note = strings.Join(notes, "; ")
		out.Findings = append(out.Findings, found...)
		out.Checks = append(out.Checks, check)
	}
	slices.SortStableFunc(out.Findings, func(a, b api.Finding) int {
		return cmp.Compare(rank(a.Severity), rank(b.Severity))
	})
	return out
}

// passive are the rules about a group that need only a status.
var passive = slices.DeleteFunc(Rules(), func(r Rule) bool { return !r.Passive || r.group == nil })

// Passive returns the codes of what the passive rules find in one group, the faults first. f needs no groups.
func Passive(f *Facts, g *Group) []string {
	var faults, warnings []string
	for i := range passive {
		for _, x := range passive[i].group(f, g).findings {
			if x.Severity == api.SeverityFault {
				faults = append(faults, passive[i].Code)
			} else {
				warnings = append(warnings, passive[i].Code)
			}
		}
	}
	return append(faults, warnings...)
}

func rank(severity string) int {
	if severity == api.SeverityFault {
		return 0
	}
	return 1
}

// apply runs the rule for every group, or for the node.
func (r Rule) apply(f *Facts) (found []api.Finding, notes []string) {
	said := map[string][]string{} // groups by note
	var order []string
	take := func(group string, o outcome) {
		for _, x := range o.findings {
			x.Code, x.Group = r.Code, group
			if x.Evidence == nil {
				x.Evidence = []string{}
			}
			found = append(found, x)
		}
		if o.note != "" {
			if said[o.note] == nil {
				order = append(order, o.note)
			}
			said[o.note] = append(said[o.note], group)
		}
	}
	if r.node != nil {
		take("", r.node(f))
	} else {
		for i := range f.Groups {
			take(f.Groups[i].Name, r.group(f, &f.Groups[i]))
		}
	}
	for _, note := range order {
		notes = append(notes, strings.TrimPrefix(few(said[note])+": "+note, ": "))
	}
	return found, notes
}

func fault(cause, advice string, evidence ...string) outcome {
	return outcome{
		findings: []api.Finding{{Severity: api.SeverityFault, Cause: cause, Advice: advice, Evidence: evidence}},
	}
}

// and joins what two searches of one rule found.
func (o outcome) and(more outcome) outcome {
	return outcome{slices.Concat(o.findings, more.findings), cmp.Or(o.note, more.note)}
}

func warning(cause, advice string, evidence ...string) outcome {
	o := fault(cause, advice, evidence...)
	o.findings[0].Severity = api.SeverityWarning
	return o
}

// stray is how many refused adverts in the last minute are not yet a fault: a single one may
// remain from a fault that was just fixed.
const stray = 1

// rose returns by how much a counter rose, and 0 for a rise that means nothing.
func (f *Facts) rose(g *Group, reason string) uint64 {
	n := g.Rise[reason]
	if f.Watched == 0 && n <= stray {
		return 0
	}
	return n
}
