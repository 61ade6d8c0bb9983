// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
)

func newHTTPServer(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(func() {
		srv.CloseClientConnections()
		srv.Close()
	})
	return srv.URL
}

func badges(fs []fault) []string {
	var out []string
	for _, f := range fs {
		out = append(out, f.Badge)
	}
	return out
}

func TestFaultsAreDerivedFromStatus(t *testing.T) {
	t.Parallel()
	now := time.Now()
	heard := func(ago time.Duration) *api.Master {
		return &api.Master{Address: "192.0.2.12", AdvBase: 1, LastSeen: now.Add(-ago)}
	}
	for _, tt := range []struct {
		name string
		g    func(g *api.Group)
		want []string
	}{
		{"a master", func(*api.Group) {}, nil},
		{"a master that took over", func(g *api.Group) { g.Master = heard(time.Hour - 200*time.Millisecond) }, nil},
		{"two masters", func(g *api.Group) { g.Master = heard(time.Second) }, []string{"two masters"}},
		{"two masters, long ago", func(g *api.Group) { g.Master = heard(time.Minute) }, nil},
		{"not answering", func(g *api.Group) { g.Dataplane.Answering = false }, []string{"not answering"}},
		{"a backup", func(g *api.Group) { g.State, g.Master = api.StateBackup, heard(time.Second) }, nil},
		{
			"nothing heard",
			func(g *api.Group) { g.State, g.Master = api.StateBackup, heard(5*time.Second) },
			[]string{"nothing heard"},
		},
		{"nothing ever heard", func(g *api.Group) { g.State = api.StateBackup }, []string{"nothing heard"}},
		{"a new backup", func(g *api.Group) { g.State, g.Since = api.StateBackup, now }, nil},
		{"init", func(g *api.Group) { g.State, g.Reason = api.StateInit, "link_down" }, []string{"not taking part"}},
		{"disabled", func(g *api.Group) { g.State, g.Reason = api.StateInit, api.ReasonDisabled }, nil},
		{"answers unseen", func(g *api.Group) { g.Faults = []string{"answers_unseen"} }, []string{"answers unseen"}},
		{
			"reported once",
			func(g *api.Group) { g.Master, g.Faults = heard(time.Second), []string{"peer_deaf", "not_answering"} },
			[]string{"two masters"},
		},
		{"of a newer doctor", func(g *api.Group) { g.Faults = []string{"moon_phase"} }, []string{"moon phase"}},
		{
			"silent family",
			func(g *api.Group) { g.State, g.Master, g.SilentFamily = api.StateBackup, heard(0), "ipv6" },
			[]string{"IPv6 silent"},
		},
	} {
		g := masterGroup("eth0@1", "192.0.2.100/24")
		g.Since = now.Add(-time.Hour)
		tt.g(&g)
		if got := badges(faultsOf(&g, nil, now)); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// Every reason that the daemon counts has a badge and a cause in words.
func TestEveryRejectHasACause(t *testing.T) {
	t.Parallel()
	g := masterGroup("eth0@1", "192.0.2.100/24")
	for _, reason := range []string{
		"bad_ttl", "bad_version", "bad_length", "bad_checksum", "bad_hmac", "loop", "replay", "rate_limited", "wrong_family",
		"bad_trailer",
		"foreign_vrrp", "events_lost",
	} {
		fs := faultsOf(&g, map[string]uint64{reason: 1234}, time.Now())
		if len(fs) != 1 || strings.Contains(fs[0].Cause, "_") || !strings.HasPrefix(fs[0].Cause, "1\u202f234 ") ||
			strings.Contains(fs[0].Cause, "("+reason+")") {
			t.Errorf("%s: %+v", reason, fs)
		}
	}
	if fs := faultsOf(&g, map[string]uint64{"from_the_future": 1}, time.Now()); len(fs) != 1 ||
		fs[0].Badge != "from_the_future" {
		t.Errorf("an unknown reason: %+v", fs)
	}
}

func TestMemoryDropsOldCounts(t *testing.T) {
	t.Parallel()
	m, at := newMemory(), time.Now()
	st := api.Status{Groups: []api.Group{masterGroup("eth0@1", "192.0.2.100/24"), masterGroup("eth0@2", "192.0.2.101/24")}}
	st.Groups[0].Counters.AdvertisementsRejected = map[string]uint64{"bad_hmac": 7}
	step := func() {
		at = at.Add(sampleEvery)
		m.note(at, &st)
	}
	step()
	if r := m.rise(&st.Groups[0]); r != nil {
		t.Errorf("counts from before the start are reported as new: %v", r)
	}
	st.Groups[0].Counters.AdvertisementsRejected = map[string]uint64{"bad_hmac": 9}
	st.Groups[0].Counters.Packets = 50
	step()
	if r := m.rise(&st.Groups[0]); r["bad_hmac"] != 2 {
		t.Errorf("rose by %v, want 2", r)
	}
	line := m.line(&m.groups["eth0@1"].series[seriesPackets])
	if len(line) != 1 || line[0] != 10 {
		t.Errorf("50 packets in 5 s are %v", line)
	}
	for range 4 * 12 { // four minutes
		step()
	}
	if r := m.rise(&st.Groups[0]); r["bad_hmac"] != 2 {
		t.Errorf("forgotten within the last minutes: %v", r)
	}
	for range 3 * 12 {
		step()
	}
	if r := m.rise(&st.Groups[0]); r != nil {
		t.Errorf("not forgotten after seven minutes: %v", r)
	}
	if line := m.line(&m.groups["eth0@1"].series[seriesPackets]); len(line) != points || slices.Max(line) != 0 {
		t.Errorf("the chart has %d samples, highest %v", len(line), slices.Max(line))
	}
	st.Groups[0].Counters.AdvertisementsRejected = map[string]uint64{"bad_hmac": 1} // it began anew
	if r := m.rise(&st.Groups[0]); r["bad_hmac"] != 1 {
		t.Errorf("after a restart of the counter: %v", r)
	}
	st.Groups = st.Groups[:1]
	step()
	if len(m.groups) != 1 {
		t.Errorf("%d groups are remembered", len(m.groups))
	}
}

func TestRatesHaveSIUnits(t *testing.T) {
	t.Parallel()
	for v, want := range map[float64]string{
		0: "0 /s", 0.4: "0.4 /s", 12: "12 /s", 999: "999 /s", 999.9: "1.0 k/s", 1234: "1.2 k/s", 56789: "57 k/s",
		3.2e9: "3.2 G/s",
	} {
		if got := perSecond(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
	if got := bitsPerSecond(125000); got != "1 Mbit/s" {
		t.Errorf("1 Mbit: %q", got)
	}
	if c := draw("x", []float32{1, 2}, perSecond); c.Path != "M118 14L120 2" || c.Quiet {
		t.Errorf("%+v", c)
	}
	if c := draw("x", nil, perSecond); c.Path != "" || !c.Quiet {
		t.Errorf("%+v", c)
	}
}
