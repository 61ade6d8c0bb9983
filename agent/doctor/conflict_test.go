// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"slices"
	"strings"
	"testing"

	"vipd/agent/control/api"
	"vipd/agent/doctor"
)

// TestAnnouncementsOfOthers: an announcement that the data plane saw is a fault for five minutes, without a question on
// the wire, and then a note.
func TestAnnouncementsOfOthers(t *testing.T) {
	conflicting := func(x api.Finding) bool { return x.Code == doctor.CodeAddressConflict }
	seen := func(ago float64) doctor.Conflict {
		return doctor.Conflict{Address: vip, MAC: "02:00:00:00:00:66", Source: "02:00:00:00:00:67", Count: 3, Last: at(-ago)}
	}
	find := func(f *doctor.Facts) (found []api.Finding, note string) {
		d := doctor.Diagnose(f)
		for _, c := range d.Checks {
			if c.Code == doctor.CodeAddressConflict {
				note = c.Note
			}
		}
		return d.Findings, note
	}
	for state, facts := range map[string]func() *doctor.Facts{api.StateMaster: master, api.StateBackup: backup} {
		f := facts()
		f.Groups[0].Conflicts = []doctor.Conflict{seen(40)}
		got, _ := find(f)
		if len(got) != 1 || got[0].Code != doctor.CodeAddressConflict || got[0].Severity != api.SeverityFault ||
			!strings.Contains(got[0].Cause, "02:00:00:00:00:66") || len(got[0].Evidence) != 1 {
			t.Fatalf("%s: %+v", state, got)
		}
		for _, want := range []string{"02:00:00:00:00:67", "192.0.2.100", "3 times", "last seen 40s ago"} {
			if !strings.Contains(got[0].Evidence[0], want) {
				t.Errorf("%s: %q lacks %q", state, got[0].Evidence[0], want)
			}
		}
		if passive := doctor.Passive(f, &f.Groups[0]); !slices.Contains(passive, doctor.CodeAddressConflict) {
			t.Errorf("%s: not in the status: %+v", state, passive)
		}
		f.Groups[0].Answers = append(f.Groups[0].Answers, doctor.Answer{Address: vip, MAC: [6]byte{2, 0, 0, 0, 0, 0x66}})
		if got, _ := find(f); len(got) != 1 || len(got[0].Evidence) != 2 {
			t.Errorf("%s, and it answers: %+v", state, got)
		}
		f = facts()
		f.Groups[0].Conflicts = []doctor.Conflict{seen(400)}
		if got, note := find(f); len(got) != 0 || !strings.Contains(note, "02:00:00:00:00:66") {
			t.Errorf("%s, long ago: %+v, %q", state, got, note)
		}
		f.Groups[0].Conflicts, f.Groups[0].State = []doctor.Conflict{seen(1)}, api.StateInit
		if got, _ := find(f); slices.ContainsFunc(got, conflicting) {
			t.Errorf("in INIT: %+v", got)
		}
	}
}
