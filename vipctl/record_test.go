// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func recorded() *node {
	at := testNow().Add(-time.Hour)
	lag := 0.0004
	cause := &api.Cause{Address: "192.0.2.12", AdvBase: 1}
	frame := bytes.Repeat([]byte{1}, 60)
	return &node{
		status: healthy(),
		incidents: api.Incidents{Incidents: []api.Incident{
			{
				ID:          7,
				Node:        "fw1",
				Group:       "eth2@3",
				Time:        at,
				From:        api.StateBackup,
				To:          api.StateMaster,
				Reason:      "master_timeout",
				Transitions: 1,
				Frames:      4,
			},
			{
				ID:          12,
				Node:        "fw1",
				Group:       "eth2@3",
				Time:        at.Add(time.Minute),
				From:        api.StateMaster,
				To:          api.StateBackup,
				Reason:      "better_advert",
				Cause:       cause,
				Transitions: 3,
				Frames:      3,
				Missed:      5,
			},
			{
				ID:          13,
				Node:        "fw1",
				Group:       "eth2@20",
				Time:        at.Add(time.Hour),
				From:        api.StateInit,
				To:          api.StateBackup,
				Reason:      "startup",
				Transitions: 1,
				Open:        true,
			},
		}},
		records: []api.Record{
			{
				Time:      at.Add(59 * time.Second),
				Kind:      "arp_request",
				Direction: "in",
				Interface: "eth2",
				Group:     "eth2@3",
				State:     api.StateMaster,
				Text:      "192.0.2.2 asks for 192.0.2.100; answered by XDP",
				Length:    60,
				Frame:     frame,
			},
			{
				Time:       at.Add(time.Minute - time.Millisecond),
				Kind:       "authentic",
				Direction:  "in",
				Interface:  "eth2",
				Group:      "eth2@3",
				State:      api.StateMaster,
				Text:       "advert of 192.0.2.12",
				Cause:      true,
				LagSeconds: &lag,
				Length:     60,
				Frame:      frame,
			},
			{
				Time:       at.Add(time.Minute),
				Kind:       api.RecordTransition,
				Group:      "eth2@3",
				State:      api.StateBackup,
				Text:       "MASTER -> BACKUP: a better advert was heard",
				Transition: &api.Transition{From: api.StateMaster, To: api.StateBackup},
			},
			{
				Time:      at.Add(time.Minute + time.Second),
				Kind:      "rejected",
				Reason:    "bad_hmac",
				Direction: "in",
				Interface: "eth2",
				Group:     "eth2@3",
				State:     api.StateBackup,
				Text:      "advert of 192.0.2.13 refused",
				Length:    60,
				Frame:     frame,
			},
		},
	}
}

func TestRecord(t *testing.T) {
	n := recorded()
	socket := n.serve(t)
	record := func(args ...string) (int, string, string) {
		t.Helper()
		return run(t, Env{}, append([]string{"--socket", socket, "record"}, args...)...)
	}
	_, out, _ := record("list")
	golden(t, "record-list", out)
	if code, out, _ := record("list", "eth2@20"); code != ExitOK || strings.Count(out, "\n") != 2 ||
		!strings.Contains(out, "startup") {
		t.Errorf("of one group: exit %d, %q", code, out)
	}
	_, story, _ := record("show", "12")
	golden(t, "record-show", story)
	for args, want := range map[string]string{
		"show eth2@3": "Incident 12: ",
		"show":        "Incident 13: ",
		"show 7":      "Incident 7: ",
	} {
		if code, out, errs := record(strings.Fields(args)...); code != ExitOK || !strings.HasPrefix(out, want) {
			t.Errorf("%s: exit %d, %q, %q", args, code, out, errs)
		}
	}
	var in api.Incident
	if code, out, _ := record("show", "-o", "json", "12"); code != ExitOK || json.Unmarshal([]byte(out), &in) != nil ||
		len(in.Records) != 4 {
		t.Errorf("json: exit %d, %q", code, out)
	}
	n.mu.Lock()
	n.incidents.Skipped, n.incidents.Unsaved = 9, "no space left on device"
	n.mu.Unlock()
	const warnings = "vipctl: 9 transitions came too fast to record each of them; `vipctl history` has them\n" +
		"vipctl: incidents are not on disk and are lost when vipd exits: no space left on device\n"
	if _, _, errs := record("list"); errs != warnings {
		t.Errorf("%q", errs)
	}
	for args, want := range map[string]string{
		"":               "2 which command? There are list, show, export, help; see `vipctl record --help`",
		"show 99":        "1 there is no incident 99",
		"show eth9@9":    "1 there is no incident of eth9@9; `vipctl record list` shows all",
		"export 12":      "2 -w FILE is missing",
		"show -o pcapng": `2 --output "pcapng" is unknown; allowed are table, json`,
	} {
		code, _, errs := record(strings.Fields(args)...)
		if got := fmt.Sprint(code, " ", strings.TrimPrefix(errs, "vipctl: ")); !strings.HasPrefix(got, want) {
			t.Errorf("%q: %q, want %q", args, got, want)
		}
	}
}

func TestRecordNothing(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	if code, out, _ := run(t, Env{}, "--socket", socket, "record", "list"); code != ExitOK ||
		!strings.HasPrefix(out, "Nothing is recorded yet") {
		t.Errorf("exit %d, %q", code, out)
	}
	if code, _, errs := run(t, Env{}, "--socket", socket, "record", "show"); code != ExitFailure ||
		!strings.Contains(errs, "nothing is recorded yet") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestRecordExport(t *testing.T) {
	n := recorded()
	socket := n.serve(t)
	export := func(env Env, args ...string) (int, string, string) {
		t.Helper()
		return run(t, env, append([]string{"--socket", socket, "record", "export"}, args...)...)
	}
	magic := []byte{0x0a, 0x0d, 0x0d, 0x0a}
	file := filepath.Join(t.TempDir(), "i.pcapng")
	code, out, errs := export(Env{}, "12", "-w", file)
	b, err := os.ReadFile(file)
	if code != ExitOK || out != "" || !bytes.HasPrefix(b, magic) ||
		errs != "vipctl: incident 12 with 3 frames written to "+file+"\n" {
		t.Errorf("exit %d, %q, %q, %v", code, out, errs, err)
	}
	if st, err := os.Stat(file); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if code, out, errs := export(Env{}, "-w", "-", "12"); code != ExitOK || out != string(b) || errs != "" {
		t.Errorf("to stdout: exit %d, %d bytes, %q", code, len(out), errs)
	}
	if code, out, errs := export(Env{Terminal: true}, "-w", "-", "12"); code != ExitFailure || out != "" ||
		!strings.Contains(errs, "would go to the terminal") {
		t.Errorf("to a terminal: exit %d, %q, %q", code, out, errs)
	}
	var in api.Incident
	if code, out, _ := export(Env{}, "-w", "-", "-o", "json", "12"); code != ExitOK ||
		json.Unmarshal([]byte(out), &in) != nil || in.ID != 12 {
		t.Errorf("json: exit %d, %q", code, out)
	}
	// An incomplete file is removed; a user other than root gets no frames.
	n.mu.Lock()
	for i := range n.records {
		n.records[i].Frame = nil
	}
	n.mu.Unlock()
	code, _, errs = export(Env{}, "12", "-w", file)
	if _, err := os.Stat(file); code != ExitFailure || !strings.Contains(errs, "only root receives them") ||
		!os.IsNotExist(err) {
		t.Errorf("without frames: exit %d, %q, %v", code, errs, err)
	}
	if code, _, errs := export(Env{}, "12", "-w", filepath.Join(file, "x")); code != ExitFailure ||
		!strings.Contains(errs, "open the file to write to") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

func TestCapture(t *testing.T) {
	n := recorded()
	lost := uint64(17)
	for i := range n.records {
		n.lines = append(n.lines, api.CaptureLine{Record: &n.records[i]})
	}
	n.lines = append(n.lines, api.CaptureLine{Lost: &lost})
	socket := n.serve(t)
	capture := func(args ...string) (int, string, string) {
		t.Helper()
		return run(t, Env{}, append([]string{"--socket", socket, "capture"}, args...)...)
	}
	code, out, errs := capture("--for", "500ms", "eth2@3")
	if code != ExitOK || errs != "vipctl: 3 frames captured, 17 lost\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
	golden(t, "capture", out)
	file := filepath.Join(t.TempDir(), "c.pcapng")
	if code, out, errs := capture("eth2@3", "-w", file, "--count", "2"); code != ExitOK || out != "" ||
		errs != "vipctl: 2 frames captured, 0 lost\n" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if st, err := os.Stat(file); err != nil || st.Size() < 200 || st.Mode().Perm() != 0o600 {
		t.Errorf("%v", err)
	}
	if code, out, _ := capture("-o", "json", "--count", "1", "eth2@3"); code != ExitOK ||
		!strings.HasPrefix(out, `{"record":{`) || strings.Count(out, "\n") != 1 {
		t.Errorf("exit %d, %q", code, out)
	}
	// If vipd exits, the file with the frames so far stays.
	n.mu.Lock()
	n.lines, n.ends = append(n.lines, api.CaptureLine{End: "vipd stopped"}), true
	n.mu.Unlock()
	if code, _, errs := capture("-w", file, "eth2@3"); code != ExitFailure ||
		!strings.Contains(errs, "3 frames captured, 17 lost") ||
		!strings.Contains(errs, "vipd ended the capture: vipd stopped") {
		t.Errorf("exit %d, %q", code, errs)
	}
	if st, err := os.Stat(file); err != nil || st.Size() < 200 {
		t.Errorf("%v", err)
	}
	for args, want := range map[string]string{
		"":                 "GROUP is missing",
		"eth2@3 --count 0": "--count 0 is not allowed",
		"eth2@3 --for -1s": "--for -1s is not allowed",
		"eth2@3 -o wide":   "--output \"wide\" is unknown",
	} {
		if code, out, errs := capture(strings.Fields(args)...); code != ExitUsage || out != "" ||
			!strings.HasPrefix(errs, "vipctl: "+want) {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
	if code, _, errs := capture("eth9@9"); code != ExitFailure ||
		!strings.HasPrefix(errs, "vipctl: there is no group eth9@9; there are ") {
		t.Errorf("exit %d, %q", code, errs)
	}
}

// A file that cannot be written is reported once.
func TestCaptureOnAFullDisk(t *testing.T) {
	n := &node{status: healthy(), lines: []api.CaptureLine{{Record: &api.Record{Kind: api.RecordTransition}}}}
	socket := n.serve(t)
	code, _, errs := run(t, Env{}, "--socket", socket, "capture", "eth2@3", "-w", "/dev/full")
	if code != ExitFailure || strings.Count(errs, "no space left on device") != 1 {
		t.Errorf("exit %d, %q", code, errs)
	}
}
