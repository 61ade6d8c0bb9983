// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// metric returns the value of one series of an exposition, -1 when it is not there.
func metric(text, series string) float64 {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, series+" "); ok {
			if v, err := strconv.ParseFloat(strings.TrimSpace(rest), 64); err == nil {
				return v
			}
		}
	}
	return -1
}

func netipAddr(s string) netip.Addr { return netip.MustParseAddr(s) }

// promtool has no complaint about a live /metrics, and what it says agrees with the status.
func TestMetricsArePromtoolCleanAndTrue(t *testing.T) {
	require(t, needPromtool)
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	s.clientPort.AnswersARP(addrClient, vip, 50*time.Millisecond)
	text := s.node.Metrics()
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(strings.TrimSpace(string(out))) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
	labels := `interface="eth0",vhid="1"`
	for series, want := range map[string]float64{
		`vipd_group_state{interface="eth0",state="MASTER",vhid="1"}`:                                   1,
		`vipd_group_state{interface="eth0",state="BACKUP",vhid="1"}`:                                   0,
		`vipd_group_state{interface="eth0",state="INIT",vhid="1"}`:                                     0,
		`vipd_transitions_total{from="BACKUP",interface="eth0",reason="goodbye",to="MASTER",vhid="1"}`: 1,
		`vipd_arp_requests_total{address="192.0.2.100",` + labels + `}`:                                1,
		`vipd_arp_replies_total{address="192.0.2.100",` + labels + `}`:                                 1,
		`vipd_advertisements_received_total{` + labels + `}`:                                           1,
		`vipd_advertisements_rejected_total{interface="eth0",reason="bad_hmac",vhid="1"}`:              0,
		`vipd_advertisements_rejected_total{interface="eth0",reason="bad_vhid",vhid=""}`:               0,
		`vipd_enabled`:     1,
		`vipd_maintenance`: 0,
		`vipd_demotion`:    0,
		`vipd_xdp_info{interface="eth0",mode="tc"}`: 1,
	} {
		if got := metric(text, series); got != want {
			t.Errorf("%s is %v, want %v", series, got, want)
		}
	}
	for _, name := range []string{
		"vipd_build_info{", "vipd_lease_remaining_seconds{",
		"vipd_last_advertisement_age_seconds{", "vipd_packets_total{", "vipd_bytes_total{", "vipd_frames_dropped_total{",
		"vipd_events_lost_total", "vipd_agent_wakeup_lag_seconds_bucket{", "vipd_advertisements_sent_total{",
	} {
		if !strings.Contains(text, "\n"+name) {
			t.Errorf("no series %s", name)
		}
	}
	if t.Failed() {
		t.Log(text)
	}
	if code, _ := s.node.Get("/healthz"); code != 200 {
		t.Errorf("/healthz of a healthy node: %d", code)
	}
}

// vipctl prints the same JSON as the socket, a table with one row per address, and everything about one group.
func TestStatusOutputsAgree(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	table := s.node.MustCTL("status")
	row := ""
	for line := range strings.Lines(table) {
		if strings.Contains(line, "192.0.2.100") {
			row = line
		}
	}
	for _, word := range []string{group, "192.0.2.100/24", lab.Master} {
		if !strings.Contains(row, word) {
			t.Errorf("no row with %s in:\n%s", word, table)
		}
	}
	for _, word := range []string{"INTERFACE", "VIRTUAL IP", "STATUS"} {
		if !strings.Contains(table, word) {
			t.Errorf("no column %s in:\n%s", word, table)
		}
	}
	if wide := s.node.MustCTL("status", "-o", "wide"); !strings.Contains(wide, lab.Master) ||
		!strings.Contains(wide, "  tc") {
		t.Errorf("wide does not show state and mode:\n%s", wide)
	}
	st := s.node.CTLStatus()
	direct := s.node.Status()
	for range 50 { // a time that wobbles looks like a transition
		if again := s.node.Status().Groups[0].Since; !again.Equal(direct.Groups[0].Since) {
			t.Errorf("since was %v and is now %v", direct.Groups[0].Since, again)
			break
		}
	}
	if st.Node != "a" || st.Version == "" || len(st.Groups) != 1 || st.Groups[0].State != direct.Groups[0].State ||
		!st.Groups[0].Since.Equal(direct.Groups[0].Since) || st.Groups[0].VirtualMAC != "00:00:5e:00:01:01" || !st.Preempt {
		t.Errorf("vipctl says %+v, the socket %+v", st, direct)
	}
	if show := s.node.MustCTL("show", group); !strings.Contains(show, lab.Master) ||
		!strings.Contains(show, "192.0.2.100") || !strings.Contains(show, "00:00:5e:00:01:01") {
		t.Errorf("show:\n%s", show)
	}
	if code, out := s.node.CTL("show", "eth0@9"); code != 1 || !strings.Contains(out, "eth0@9") {
		t.Errorf("show of an unknown group: exit code %d\n%s", code, out)
	}
	if out := s.node.MustCTL("version"); !strings.Contains(out, st.Version) {
		t.Errorf("version %q does not say %q", out, st.Version)
	}
}

// tcpdump decodes our adverts as CARP and has no complaint about checksums.
func TestTCPDumpDecodesOurAdverts(t *testing.T) {
	require(t, needTCPDump)
	t.Parallel()
	s := newSingle(t, oneVIP(7))
	file := filepath.Join(s.Dir(), "adverts.pcap")
	dump := s.client.Spawn("tcpdump", "tcpdump", "-i", "eth0", "-U", "-Z", "root", "-c", "4", "-w", file, "proto 112")
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return strings.Contains(dump.Output(), "listening on"), "tcpdump listens: " + dump.Output()
	})
	s.startMaster() // its own goodbye is one of the four
	if code := dump.Wait(patience); code != 0 {
		t.Fatalf("tcpdump: exit code %d\n%s", code, dump.Output())
	}
	if _, err := os.Stat(file); err != nil {
		t.Fatal(err)
	}
	out := s.client.MustRun(toolTimeout, "tcpdump", "-T", "carp", "-nvv", "-e", "-r", file)
	t.Log(out)
	for _, want := range []string{"CARPv2-advertise", "vhid=1 advbase=1 advskew=7", "ttl 255", "00:00:5e:00:01:01"} {
		if !strings.Contains(out, want) {
			t.Errorf("tcpdump does not say %q", want)
		}
	}
	if strings.Contains(out, "bad") {
		t.Error("tcpdump complains")
	}
}
