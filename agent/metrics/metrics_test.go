// SPDX-License-Identifier: Apache-2.0

package metrics

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"vipd/tests/goldenfile"
	"vipd/tests/needs"
)

type fixed Snapshot

func (f *fixed) Snapshot() Snapshot { return Snapshot(*f) }

// twoGroups is a node with a MASTER that hears a peer and a new group that has heard no advert.
func twoGroups() *fixed {
	return &fixed{
		LoopAge:          30 * time.Millisecond,
		SamplesLost:      11,
		IncidentsSkipped: 12,
		Enabled:          true,
		Maintenance:      true,
		Demotion:         230,
		Demotions:        []Demotion{{"maintenance", 240}, {"ops", -10}},
		Checks:           []Check{{Name: "app"}, {Name: "uplink", Failing: true, Known: true, Age: 250 * time.Millisecond}},
		RejectReasons:    []string{"bad_hmac", "some_later_reason"},
		DropReasons:      []string{"not_answering_arp"},
		Groups: []Group{
			{
				Interface: "eth0", VHID: 1, State: "MASTER",
				Adverts: Adverts{
					Sent: 100, Received: 7, Rejected: []uint64{3, 1}, EventsLost: 2,
					Heard: true, LastAdvertAge: 1500 * time.Millisecond,
				},
				Dropped: []uint64{5},
				Packets: 1000, Bytes: 64000, LeaseRemaining: 2970 * time.Millisecond,
				Families: []Family{{Name: "ipv4"}, {Name: "ipv6", Silent: true}},
				Watched:  true, Standbys: 1,
				Beat: time.Millisecond, MasterBeat: 2500 * time.Microsecond, BeatDistrusted: true,
				HasHook: true, HookWaiting: 2,
				Contexts: []Context{{Name: "own", Received: 5}, {Name: "accept 1", Received: 2}},
				VIPs: []VIP{
					{Address: "192.0.2.100", ARPRequests: 10, ARPReplies: 9},
					{Address: "2001:db8::100", NDSolicitations: 4, NDAdvertisements: 3},
				},
			},
			{Interface: "eth1", VHID: 255, State: "INIT", LeaseRemaining: -time.Second},
		},
		Interfaces: []Interface{
			{
				Name:     "eth0",
				Mode:     "generic",
				Rejected: map[string]uint64{"bad_vhid": 6},
				Dropped:  map[string]uint64{"tags_lost": 4},
				Lost:     map[string]uint64{"xdp": 2, "egress": 0},

				Fallbacks: map[string]uint64{"attach_failed": 0, "answers_unseen": 1},
			},
			{Name: "eth1"},
		},
		Peers: []Peer{{
			Node: "fw2", Age: 800 * time.Millisecond, Homes: []Home{{"192.0.2.12", "0.1.0"}, {"198.51.100.12", "0.1.0"}},
		}},
	}
}

func newTest(src Source) *Metrics {
	m := New(src, Options{Version: "0.1.0", GoVersion: "go1.26.0"})
	m.ObserveTransition("eth0", 1, "INIT", "BACKUP", "startup")
	m.ObserveTransition("eth0", 1, "BACKUP", "MASTER", "master_timeout")
	m.ObserveWakeupLag(300 * time.Microsecond)
	m.ObserveWakeupLag(-time.Second)
	m.ObserveWakeupLag(20 * time.Second)
	m.CountSlowRound()
	m.PrepareHook("eth0", 1)
	m.ObserveHook("eth0", 1, "timeout", 30*time.Second)
	m.ObserveHookSkipped("eth0", 1)
	return m
}

func scrape(t *testing.T, m *Metrics) (int, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	return w.Code, w.Body.Bytes()
}

// ours keeps the vipd_ metrics; go_ and process_ differ from run to run.
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
	goldenfile.Compare(t, "testdata/exposition.txt", string(ours(body)), "-update if meant")
}

// TestEveryName: the exposition has exactly the names of the contract.
func TestEveryName(t *testing.T) {
	t.Parallel()
	want := map[string]bool{}
	for _, n := range []string{
		nameGroupState, nameTransitions, nameSent, nameReceived, nameRejected, nameLastAge, nameARPRequests, nameARPReplies,
		nameNDSolicitations, nameNDAdvertisements, namePackets, nameBytes, nameRestored, nameLease, nameDemotion, nameEnabled,
		nameMaintenance, nameDropped, nameXDPInfo, nameProgramsLost, nameFallbacks, nameEventsLost, nameWakeupLag,
		nameBuildInfo, nameSlowRounds, nameStreamsDropped,
		nameCheckAge, nameLoopAge, nameHookRuns, nameHookSkipped, nameHookWaiting, nameHookDuration,
		nameSamplesLost, nameSkipped, nameAnswersUnseen,
		nameStandbys, namePeerLastSeen, namePeerInfo, nameNotRemembered,
		nameContext, nameFamilySilent, nameContribution, nameCheckFailing, nameConflicts,
		nameBeat, nameMasterBeat, nameBeatDistrusted,
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
	const rejected = "vipd_advertisements_rejected_total{interface=\"eth0\",reason=%q,vhid=%q} 0\n"
	for _, r := range groupReasons() {
		if line := fmt.Sprintf(rejected, r, "1"); !bytes.Contains(body, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	for _, r := range interfaceReasons() {
		if line := fmt.Sprintf(rejected, r, ""); !bytes.Contains(body, []byte(line)) {
			t.Errorf("no %s", line)
		}
	}
	if bytes.Contains(body, []byte(nameLastAge)) {
		t.Error("an age although nothing was heard")
	}
}

// TestFailedRead: a scrape fails if the source does.
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

// parse reads the exposition as the library does.
func parse(t *testing.T, body []byte) []*dto.MetricFamily {
	t.Helper()
	p := expfmt.NewTextParser(model.LegacyValidation)
	byName, err := p.TextToMetricFamilies(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(maps.Values(byName))
}

// TestWellFormed checks what the library would check of its own metrics: families and labels
// are sorted, no series occurs twice, every value is a number.
func TestWellFormed(t *testing.T) {
	t.Parallel()
	src := twoGroups()
	hostile := "a\\b\"c\nd\xff"
	src.Groups[0].Interface, src.Groups[0].VIPs[0].Address = hostile, hostile
	src.Groups[0].Contexts[1].Name, src.Demotions[1].Name, src.Interfaces[0].Mode = hostile, hostile, hostile
	src.RejectReasons, src.Groups[0].Rejected = append(src.RejectReasons, hostile), append(src.Groups[0].Rejected, 1)
	_, body := scrape(t, newTest(src))
	var names []string
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+)`).FindAllStringSubmatch(string(body), -1) {
		names = append(names, m[1])
	}
	if !slices.IsSorted(names) || len(slices.Compact(slices.Clone(names))) != len(names) {
		t.Errorf("families are not sorted and unique: %v", names)
	}
	seen := map[string]bool{}
	escaped := 0
	for _, f := range parse(t, body) {
		for _, m := range f.GetMetric() {
			series := f.GetName()
			for i, l := range m.GetLabel() {
				series += " " + l.GetName() + "=" + l.GetValue()
				if l.GetValue() == "a\\b\"c\nd\uFFFD" {
					escaped++
				}
				if i > 0 && m.GetLabel()[i-1].GetName() >= l.GetName() {
					t.Errorf("labels of %s are not sorted", series)
				}
			}
			if seen[series] {
				t.Errorf("%s occurs twice", series)
			}
			seen[series] = true
		}
	}
	if escaped < 20 {
		t.Errorf("only %d labels needed escaping: the test does not test it", escaped)
	}
}

func TestGzip(t *testing.T) {
	t.Parallel()
	m := newTest(twoGroups())
	_, plain := scrape(t, m)
	for header, want := range map[string]bool{
		"gzip":             true,
		"zstd, gzip;q=0.5": true,
		"gzip;q=0":         false,
		"br":               false,
		"":                 false,
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil)
		r.Header.Set("Accept-Encoding", header)
		w := httptest.NewRecorder()
		m.Handler().ServeHTTP(w, r)
		if ct := w.Header().Get("Content-Type"); ct != "text/plain; version=0.0.4; charset=utf-8" {
			t.Errorf("content type %q", ct)
		}
		if vary := w.Header().Get("Vary"); vary != "Accept-Encoding" {
			t.Errorf("Vary: %q", vary)
		}
		if got := w.Header().Get("Content-Encoding") == "gzip"; got != want {
			t.Errorf("%q: compressed %v, want %v", header, got, want)
		}
		if !want {
			continue
		}
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(z)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(ours(plain)), string(ours(body))); diff != "" {
			t.Errorf("%q (-plain +compressed):\n%s", header, diff)
		}
	}
}

// slow is a source that blocks.
type slow struct{ entered, leave chan struct{} }

func (s *slow) Snapshot() Snapshot {
	s.entered <- struct{}{}
	<-s.leave
	return Snapshot{}
}

// TestTooManyScrapes: scrapes beyond the limit are refused at once.
func TestTooManyScrapes(t *testing.T) {
	t.Parallel()
	src := &slow{make(chan struct{}, maxScrapes), make(chan struct{})}
	m := New(src, Options{})
	codes := make(chan int, maxScrapes)
	for range maxScrapes {
		go func() {
			code, _ := scrape(t, m)
			codes <- code
		}()
	}
	<-src.entered
	for len(m.scrapes) < maxScrapes { // the others wait for the page that the first one makes
		runtime.Gosched()
	}
	if code, _ := scrape(t, m); code != http.StatusServiceUnavailable {
		t.Errorf("one too many: status %d", code)
	}
	close(src.leave)
	for range maxScrapes {
		if code := <-codes; code != http.StatusOK {
			t.Errorf("status %d", code)
		}
	}
}

// TestPageIsMadeOnce: scrapes share a page for ten times as long as it took to make, at most for a second, but not
// after a change.
func TestPageIsMadeOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		src := &counted{took: 30 * time.Millisecond}
		m := New(src, Options{})
		for i, step := range []struct {
			after   time.Duration
			outdate bool
			took    time.Duration
			made    int
		}{
			{0, false, 30 * time.Millisecond, 1},
			{299 * time.Millisecond, false, 0, 1},
			{time.Millisecond, false, 200 * time.Millisecond, 2},
			{999 * time.Millisecond, false, 0, 2},
			{0, true, 200 * time.Millisecond, 3},
			{999 * time.Millisecond, false, 0, 3},
			{time.Millisecond, false, time.Millisecond, 4},
			{0, false, time.Millisecond, 5},
		} {
			time.Sleep(step.after)
			if step.outdate {
				m.Outdate()
			}
			src.took = step.took
			if code, body := scrape(t, m); code != http.StatusOK || !bytes.Contains(body, []byte("vipd_build_info")) {
				t.Fatalf("step %d: status %d", i, code)
			}
			if src.made != step.made {
				t.Errorf("step %d: made %d times, want %d", i, src.made, step.made)
			}
		}
	})
}

// counted is a source that takes time.
type counted struct {
	took time.Duration
	made int
}

func (s *counted) Snapshot() Snapshot {
	s.made++
	time.Sleep(s.took)
	return Snapshot{}
}

func TestLint(t *testing.T) {
	t.Parallel()
	_, body := scrape(t, newTest(twoGroups()))
	problems, err := promlint.NewWithMetricFamilies(parse(t, body)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestPromtool(t *testing.T) {
	t.Parallel()
	path := needs.Program(t, "promtool") // Debian: apt-get install prometheus
	_, body := scrape(t, newTest(twoGroups()))
	cmd := exec.CommandContext(t.Context(), path, "check", "metrics")
	cmd.Stdin = bytes.NewReader(body)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// BenchmarkScrape scrapes a node with 4,096 VIPs; a scrape must take less than 100 ms.
func BenchmarkScrape(b *testing.B) {
	for _, perGroup := range []int{1, 64} {
		for _, encoding := range []string{"plain", "gzip"} {
			b.Run(fmt.Sprintf("%d_addresses_a_group/%s", perGroup, encoding), func(b *testing.B) {
				benchmarkScrape(b, perGroup, encoding)
			})
		}
	}
}

func benchmarkScrape(b *testing.B, perGroup int, encoding string) {
	src := &fixed{
		RejectReasons: groupReasons(),
		DropReasons:   []string{"not_answering_arp", "not_answering_mac", "not_answering_nd"},
	}
	for i := range 4096 / perGroup {
		g := Group{
			Interface: fmt.Sprintf("eth%d", i/255),
			VHID:      uint8(i%255 + 1),
			State:     "MASTER",
			Adverts:   Adverts{Heard: true, Rejected: make([]uint64, 9)},
			Dropped:   make([]uint64, 3),
		}
		for j := range perGroup {
			g.VIPs = append(g.VIPs, VIP{Address: fmt.Sprintf("10.%d.%d.%d", i>>8, i&255, j), ARPRequests: uint64(i * j)})
		}
		src.Groups = append(src.Groups, g)
	}
	m := New(src, Options{})
	for i := range src.Groups {
		m.ObserveTransition(src.Groups[i].Interface, src.Groups[i].VHID, "INIT", "BACKUP", "startup")
	}
	for b.Loop() {
		w := httptest.NewRecorder()
		r := httptest.NewRequestWithContext(b.Context(), http.MethodGet, "/metrics", nil)
		if encoding == "gzip" {
			r.Header.Set("Accept-Encoding", encoding)
		}
		m.Handler().ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			b.Fatal(w.Code)
		}
		b.ReportMetric(float64(w.Body.Len())/1e6, "MB")
	}
}
