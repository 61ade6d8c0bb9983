// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

// tshark reads a capture file and gives back one line of tab-separated fields a frame.
func tshark(p *lab.Lab, h *lab.Host, file string, fields ...string) [][]string {
	p.Helper()
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var out [][]string
	for line := range strings.Lines(h.MustRun(30*time.Second, "tshark", args...)) {
		if strings.HasPrefix(line, "Running as user") || strings.TrimSpace(line) == "" {
			continue
		}
		out = append(out, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return out
}

// The better node comes back and takes over: the recorder of the other has frozen the advert that did it, and what it
// exports is read by tshark.
func TestRecorderHasTheAdvertThatCausedTheTransition(t *testing.T) {
	t.Parallel()
	require(t, needTShark)
	p := newPair(t, oneVIP(100), oneVIP(0))
	p.a.Start()
	p.a.WaitState(group, lab.Backup, 5*time.Second)
	newPeer(p.clientPort, addrClient).goodbye()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	p.a.WaitState(group, lab.Backup, 5*time.Second)

	var id uint64
	p.Eventually(6*time.Second, 50*time.Millisecond, func() (bool, string) {
		var list api.Incidents
		out := p.a.MustCTL("record", "list", "-o", "json", group)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		for _, in := range list.Incidents {
			if in.Reason == "better_advert" && !in.Open {
				id = in.ID
			}
		}
		return id != 0, "an incident for better_advert is whole:\n" + out
	})
	if story := p.a.MustCTL("record", "show", group); !strings.Contains(story, "this caused the transition") || !strings.Contains(story, "advert of "+addrB.String()) {
		t.Errorf("the story does not name its cause:\n%s", story)
	}
	file := filepath.Join(t.TempDir(), "incident.pcapng")
	p.a.MustCTL("record", "export", "-w", file, strconv.FormatUint(id, 10))
	causes := 0
	frames := tshark(p.Lab, p.a.Host, file, "frame.interface_name", "ip.src", "vrrp.virt_rtr_id", "frame.comment")
	for _, f := range frames {
		if f[0] != "eth0" || !strings.Contains(f[3], group) {
			t.Errorf("frame without its interface or comment: %q", f)
		}
		if !strings.Contains(f[3], "CAUSE of the transition") {
			continue
		}
		if causes++; f[1] != addrB.String() || !strings.Contains(f[3], "advbase 1, advskew 0") || !strings.Contains(f[3], "sealed counter") {
			t.Errorf("the cause is %q", f)
		}
	}
	if causes != 1 {
		t.Errorf("%d causes, want 1, among\n%q", causes, frames)
	}
	// What is on disk outlives the daemon.
	p.a.Stop()
	p.a.Start()
	p.Eventually(5*time.Second, 50*time.Millisecond, func() (bool, string) {
		code, out := p.a.CTL("record", "show", strconv.FormatUint(id, 10))
		return code == 0 && strings.Contains(out, "this caused the transition"), "the incident is there after a restart:\n" + out
	})
}
