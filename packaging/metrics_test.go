// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vipd/tests/needs"
)

// exposition returns the metrics in the golden file of agent/metrics, by name, with the labels of their series.
func exposition(t *testing.T) map[string][]string {
	t.Helper()
	data, err := os.ReadFile("../agent/metrics/testdata/exposition.txt")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string][]string{}
	for _, m := range regexp.MustCompile(`(?m)^(vipd_\w+)(?:\{(.*)\})? \S+$`).FindAllStringSubmatch(string(data), -1) {
		labels := out[m[1]]
		for _, l := range regexp.MustCompile(`(\w+)="`).FindAllStringSubmatch(m[2], -1) {
			if !slices.Contains(labels, l[1]) {
				labels = append(labels, l[1])
			}
		}
		out[m[1]] = labels
	}
	if len(out) < 20 {
		t.Fatalf("only %d metrics", len(out))
	}
	return out
}

// checkQueries reports metrics and labels in the queries that vipd does not have.
func checkQueries(t *testing.T, queries []string) {
	t.Helper()
	have := exposition(t)
	for _, q := range queries {
		for _, m := range regexp.MustCompile(`\b(vipd_\w+)(?:\{([^}]*)\})?`).FindAllStringSubmatch(q, -1) {
			labels, ok := have[m[1]]
			if !ok {
				t.Errorf("vipd has no %s, which is in %s", m[1], q)
			}
			for _, l := range regexp.MustCompile(`(\w+)\s*(?:=~|!~|!=|=)\s*"`).FindAllStringSubmatch(m[2], -1) {
				if l[1] != "job" && l[1] != "instance" && !slices.Contains(labels, l[1]) {
					t.Errorf("%s has no label %s, which is in %s", m[1], l[1], q)
				}
			}
		}
	}
}

// TestAlerts lets promtool test every rule: once for silence, once for the alert with its text.
func TestAlerts(t *testing.T) {
	t.Parallel()
	promtool := needs.Program(t, "promtool")
	rules, err := os.ReadFile("prometheus/alerts.yml")
	if err != nil {
		t.Fatal(err)
	}
	tests, err := os.ReadFile("prometheus/alerts_test.yml")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile(`(?m)^ +- alert: (\w+)$`).FindAllStringSubmatch(string(rules), -1)
	if len(names) < 10 {
		t.Fatalf("only %d alerts", len(names))
	}
	for _, m := range names {
		quiet := strings.Count(string(tests), "alertname: "+m[1]+"\n        exp_alerts: []\n")
		if all := strings.Count(string(tests), "alertname: "+m[1]+"\n"); quiet == 0 || all == quiet {
			t.Errorf("%s is tested %d times, for silence %d times", m[1], all, quiet)
		}
	}
	var queries []string
	for _, m := range regexp.MustCompile(`(?m)^ +expr: (.+)$`).FindAllStringSubmatch(string(rules), -1) {
		queries = append(queries, m[1])
	}
	checkQueries(t, queries)
	for _, args := range [][]string{
		{"check", "rules", "prometheus/alerts.yml"},
		{"test", "rules", "prometheus/alerts_test.yml"},
	} {
		if out, err := exec.CommandContext(t.Context(), promtool, args...).CombinedOutput(); err != nil {
			t.Errorf("promtool %v: %v\n%s", args, err, out)
		}
	}
}

// TestDashboard proves that the dashboard is valid JSON and queries only existing metrics.
func TestDashboard(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("grafana/vipd.json")
	if err != nil {
		t.Fatal(err)
	}
	var d any
	if err := json.Unmarshal(data, &d); err != nil {
		t.Fatal(err)
	}
	var queries []string
	ids := map[float64]bool{}
	var walk func(key string, v any)
	walk = func(key string, v any) {
		switch v := v.(type) {
		case map[string]any:
			for k, inner := range v {
				walk(k, inner)
			}
			if _, panel := v["gridPos"]; panel {
				id, _ := v["id"].(float64)
				if ids[id] || v["title"] == "" || v["targets"] == nil {
					t.Errorf("panel %v is there twice, or has no title or query", id)
				}
				ids[id] = true
			}
		case []any:
			for _, inner := range v {
				walk(key, inner)
			}
		case string:
			if key == "expr" || key == "query" {
				queries = append(queries, v)
			}
		}
	}
	walk("", d)
	if len(queries) < 20 || len(ids) < 15 {
		t.Fatalf("%d queries in %d panels", len(queries), len(ids))
	}
	checkQueries(t, queries)
	if promtool, err := exec.LookPath("promtool"); err == nil {
		checkPromQL(t, promtool, queries)
	}
}

// checkPromQL lets promtool parse the queries, as rules with the variables substituted.
func checkPromQL(t *testing.T, promtool string, queries []string) {
	t.Helper()
	var b strings.Builder
	b.WriteString("groups: [{name: d, rules: [\n")
	for _, q := range queries {
		if strings.Contains(q, "label_values") || !strings.Contains(q, "vipd_") {
			continue
		}
		text, err := json.Marshal(strings.ReplaceAll(q, "$__rate_interval", "1m"))
		if err != nil {
			t.Fatal(err)
		}
		b.WriteString("{record: a:b, labels: {q: " + string(text) + "}, expr: " + string(text) + "},\n")
	}
	b.WriteString("]}]\n")
	file := t.TempDir() + "/rules.yml"
	if err := os.WriteFile(file, []byte(b.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), promtool, "check", "rules", "--lint=none", file).
		CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
