// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

var update = flag.Bool("update", false, "write the golden files anew")

type fixed Snapshot

func (f *fixed) Snapshot() Snapshot { return Snapshot(*f) }

// twoGroups is a master that hears a peer, and a fresh group that heard nothing.
func twoGroups() *fixed {
	return &fixed{
		Enabled: true, Maintenance: true, Demotion: 240,
		Groups: []Group{
			{
				Interface: "eth0", VHID: 1, State: "MASTER", Sent: 100, Received: 7,
				Rejected: map[string]uint64{"bad_hmac": 3, "some_later_reason": 1},
				Dropped:  map[string]uint64{"not_answering_arp": 5},
				Packets:  1000, Bytes: 64000, EventsLost: 2,
				Heard: true, LastAdvertAge: 1500 * time.Millisecond, LeaseRemaining: 2970 * time.Millisecond,
				VIPs: []VIP{
					{Address: "192.0.2.100", ARPRequests: 10, ARPReplies: 9},
					{Address: "2001:db8::100", NDSolicitations: 4, NDAdvertisements: 3},
				},
			},
			{Interface: "eth1", VHID: 255, State: "INIT", LeaseRemaining: -time.Second},
		},
		Interfaces: []Interface{
			{Name: "eth0", Mode: "generic", Rejected: map[string]uint64{"bad_vhid": 6}},
			{Name: "eth1"},
		},
	}
}

func newTest(src Source) *Metrics {
	m := New(src, Options{Version: "0.1.0", GoVersion: "go1.26.0"})
	m.ObserveTransition("eth0", 1, "INIT", "BACKUP", "startup")
	m.ObserveTransition("eth0", 1, "BACKUP", "MASTER", "master_timeout")
	m.ObserveWakeupLag(300 * time.Microsecond)
	m.ObserveWakeupLag(-time.Second)
	m.ObserveWakeupLag(20 * time.Second)
	return m
}

func scrape(t *testing.T, m *Metrics) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Code, w.Body.Bytes()
}

// ours drops go_ and process_, which differ from run to run.
func ours(exposition []byte) []byte {
	var out bytes.Buffer
	for line := range bytes.Lines(exposition) {
		if bytes.Contains(line, []byte("vipd_")) {
			out.Write(line)
		}
	}
	return out.Bytes()
}

func TestExposition(t *testing.T) {
	t.Parallel()
	code, body := scrape(t, newTest(twoGroups()))
	if code != http.StatusOK {
		t.Fatalf("status %d: %s", code, body)
	}
	if !bytes.Contains(body, []byte("\ngo_goroutines ")) || !bytes.Contains(body, []byte("\nprocess_cpu_seconds_total ")) {
		t.Error("the metrics of the process are missing")
	}
	got := ours(body)
	golden := filepath.Join("testdata", "exposition.txt")
	if *update {
		if err := os.WriteFile(golden, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("exposition (-want +got), -update if meant:\n%s", diff)
	}
}

// TestEveryName holds the contract's list against the exposition and the other way.
func TestEveryName(t *testing.T) {
	t.Parallel()
	want := map[string]bool{}
	for _, n := range []string{
		nameGroupState, nameTransitions, nameSent, nameReceived, nameRejected, nameLastAge, nameARPRequests, nameARPReplies,
		nameNDSolicitations, nameNDAdvertisements, namePackets, nameBytes, nameLease, nameDemotion, nameEnabled,
		nameMaintenance, nameDropped, nameXDPInfo, nameEventsLost, nameWakeupLag, nameBuildInfo,
	} {
		want[n] = true
	}
	_, body := scrape(t, newTest(twoGroups()))
	got := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (vipd_\S+)`).FindAllStringSubmatch(string(body), -1) {
		got[m[1]] = true
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
}

func TestZeroFromTheStart(t *testing.T) {
	t.Parallel()
	src := &fixed{Groups: []Group{{Interface: "eth0", VHID: 1, State: "BACKUP"}}, Interfaces: []Interface{{Name: "eth0"}}}
	_, body := scrape(t, New(src, Options{}))
	for _, r := range groupReasons() {
		if line := fmt.Sprintf("vipd_advertisements_rejected_total{interface=\"eth0\",reason=%q,vhid=\"1\"} 0\n", r); !bytes.Contains(body, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	for _, r := range interfaceReasons() {
		if line := fmt.Sprintf("vipd_advertisements_rejected_total{interface=\"eth0\",reason=%q,vhid=\"\"} 0\n", r); !bytes.Contains(body, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	if bytes.Contains(body, []byte(nameLastAge)) {
		t.Error("an age although nothing was heard")
	}
}

// TestFailedRead: no numbers are better than wrong ones.
func TestFailedRead(t *testing.T) {
	t.Parallel()
	code, body := scrape(t, New(&fixed{Err: errors.New("read map stats: no such file")}, Options{}))
	if code != http.StatusInternalServerError || !strings.Contains(string(body), "read map stats") {
		t.Errorf("status %d: %s", code, body)
	}
}

func TestForgetGroup(t *testing.T) {
	t.Parallel()
	m := newTest(&fixed{})
	m.ObserveTransition("eth0", 11, "INIT", "BACKUP", "startup")
	m.ForgetGroup("eth0", 1)
	_, body := scrape(t, m)
	if bytes.Contains(body, []byte(`vhid="1"`)) || !bytes.Contains(body, []byte(`vhid="11"`)) {
		t.Errorf("after forgetting eth0@1:\n%s", ours(body))
	}
}

// TestPedantic: the registry in service does not check the collector at each scrape,
// which costs a fifth of its time; here it is checked.
func TestPedantic(t *testing.T) {
	t.Parallel()
	r := prometheus.NewPedanticRegistry()
	if err := r.Register(newCollector(twoGroups())); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Gather(); err != nil {
		t.Fatal(err)
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	problems, err := testutil.GatherAndLint(newTest(twoGroups()).registry)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if strings.Contains(os.Getenv("VIPD_TEST_REQUIRE"), "promtool") {
			t.Fatal("VIPD_TEST_REQUIRE wants promtool: ", err)
		}
		t.Skip("promtool is not installed (Debian: apt-get install prometheus)")
	}
	_, body := scrape(t, newTest(twoGroups()))
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = bytes.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// BenchmarkScrape is a node with 4,096 VIPs; a scrape must take under 100 ms.
func BenchmarkScrape(b *testing.B) {
	for _, perGroup := range []int{1, 64} {
		b.Run(fmt.Sprintf("%d_addresses_a_group", perGroup), func(b *testing.B) { benchmarkScrape(b, perGroup) })
	}
}

func benchmarkScrape(b *testing.B, perGroup int) {
	src := &fixed{}
	for i := range 4096 / perGroup {
		g := Group{Interface: fmt.Sprintf("eth%d", i/255), VHID: uint8(i%255 + 1), State: "MASTER", Heard: true}
		for j := range perGroup {
			g.VIPs = append(g.VIPs, VIP{Address: fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, j)})
		}
		src.Groups = append(src.Groups, g)
	}
	m := New(src, Options{})
	for b.Loop() {
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil))
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
	}
}
