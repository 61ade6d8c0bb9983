// SPDX-License-Identifier: Apache-2.0

package sim_test

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var plantedFlag = flag.Bool("sim.planted", false, "plant faults into the election of beats, and look for them")

// TestSimulatorFindsPlantedFaults replaces a line of the election, one after the other: the random runs of the
// simulator must find each as a violation of the invariant that it breaks. make sim runs it.
func TestSimulatorFindsPlantedFaults(t *testing.T) {
	if !*plantedFlag {
		t.Skip("no -sim.planted: it builds the election once per fault")
	}
	for _, c := range []struct{ name, file, line, fault, invariants string }{
		{
			"the lease is not cut before an advert that states a shorter interval", "master.go",
			"if end := leaseFrom(m.now, m.span()); s.lease > end {",
			"if end := leaseFrom(m.now, m.span()); s.lease > end.Add(claimTime*1000) {", "fence|overlap",
		},
		{
			"a longer interval counts at once", "master.go",
			"*o = shorter{unit: s.unit, last: 2 * downRatio * s.unit}", "*o = shorter{}", "doubt",
		},
		{
			"backups have no rank", "fast.go",
			"skew := unit * time.Duration(m.cfg.AdvSkew) / rankParts", "skew := unit * 0 / rankParts", "order",
		},
		{
			"a late backup decides at once", "timers.go",
			"limit = min(beat, max(limit, m.heardBeat))", "limit = max(beat, minLateness)", "cause",
		},
		{
			"the lease does not follow the beat", "master.go",
			"s.lease = leaseFrom(t0, m.cfg.span(s.old.limit(s.unit)))",
			"s.lease = leaseFrom(t0, m.cfg.span(max(m.cfg.interval(), s.unit)))", "fence",
		},
		{
			"slower masters that were heard are forgotten", "backup.go",
			"due = max(due, m.allQuiet().Add(m.rank(beat)+b.tie))", "due = max(due, 0)", "fence",
		},
		{"beats that proved wrong are counted", "beat.go", "m.beginDoubt(a)", "m.missed = missed{}", "doubt"},
		{
			"a doubt stretches too little", "beat.go",
			"pauseRatio*a.At.Sub(lost.last)/downRatio+1", "a.At.Sub(lost.last)/downRatio+1", "doubt",
		},
		{
			"a master in doubt is not counted in beats", "beat.go",
			"unit := max(m.heardBeat, m.doubt.unit)", "unit := max(m.heardBeat, m.doubt.unit*1000)", "wait",
		},
		{
			"a master that was started again is taken for a late one", "beat.go",
			"a.Beat > 0 && a.Beat%beatStep == 0 {", "a.Beat > 0 {", "wait",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			found := regexp.MustCompile(`seed \d+: (` + c.invariants + `) at .*`).FindString(planted(t, c.file, c.line, c.fault))
			if found == "" {
				t.Fatalf("no violation of %s", c.invariants)
			}
			t.Log(found)
		})
	}
}

// planted builds the tests with a changed line of the election, and returns what the random runs with beats print.
func planted(t *testing.T, file, line, fault string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("../election", file))
	if err != nil {
		t.Fatal(err)
	}
	code, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(code), line); n != 1 {
		t.Fatalf("%s has %d times %q", file, n, line)
	}
	dir := t.TempDir()
	changed, overlay, test := filepath.Join(dir, file), filepath.Join(dir, "overlay.json"), filepath.Join(dir, "sim.test")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{
		changed: strings.Replace(string(code), line, fault, 1), overlay: string(list),
	} {
		if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	build := exec.CommandContext(t.Context(), "go", "test", "-overlay", overlay, "-c", "-o", test, ".")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	out, err := exec.CommandContext(t.Context(), test, "-test.run=^TestRandom$", "-test.v", "-sim.beat").CombinedOutput()
	if err == nil {
		return ""
	}
	return string(out)
}
