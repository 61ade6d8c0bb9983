// SPDX-License-Identifier: Apache-2.0

package object

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/cilium/ebpf"

	"vipd/loader/internal/kerneltest"
)

// verifierCost is what the verifier says of a program at the end of its log.
var verifierCost = regexp.MustCompile(`processed (\d+) insns .* total_states (\d+) peak_states (\d+)`)

// refusal loads the programs again and returns the end of what the verifier logs about the one that it refuses.
func refusal(t *testing.T, s *ebpf.CollectionSpec) string {
	t.Helper()
	const lines = 60
	_, err := ebpf.NewCollection(s)
	var refused *ebpf.VerifierError
	if !errors.As(err, &refused) {
		return fmt.Sprint(err)
	}
	return strings.Join(refused.Log[max(0, len(refused.Log)-lines):], "\n")
}

// TestVerifierBudget prints how far each program is from the verifier's limit of a million
// instructions, and holds testdata/verifier.txt: older kernels prune less.
func TestVerifierBudget(t *testing.T) {
	kerneltest.Require(t, kerneltest.BPF)
	s, err := Options{MaxGroups: 16, MaxVIPs: 64}.Spec()
	if err != nil {
		t.Fatal(err)
	}
	c, err := ebpf.NewCollectionWithOptions(
		s,
		ebpf.CollectionOptions{Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevelStats}},
	)
	if err != nil {
		t.Fatalf("%v\n%s", err, refusal(t, s))
	}
	defer c.Close()
	budget := readBudget(t)
	for name, p := range c.Programs {
		m := verifierCost.FindStringSubmatch(p.VerifierLog)
		if m == nil {
			t.Fatalf("%s: no figures at the end of the verifier's log: %.200q", name, p.VerifierLog)
		}
		cost := map[string]int{}
		for i, what := range []string{"instructions", "states", "peak_states"} {
			n, err := strconv.Atoi(m[i+1])
			if err != nil {
				t.Fatal(err)
			}
			cost[what] = n
		}
		t.Logf("%s: %v", name, cost)
		for what, n := range cost {
			limit, ok := budget[name+" "+what]
			switch {
			case !ok:
				t.Errorf("%s: no budget for %s in testdata/verifier.txt", name, what)
			case n > limit:
				t.Errorf("%s: %d %s, more than the %d of testdata/verifier.txt", name, n, what, limit)
			case n < limit/8:
				t.Errorf(
					"%s: %d %s, far below the %d of testdata/verifier.txt: lower it, or it holds nothing",
					name,
					n,
					what,
					limit,
				)
			}
		}
	}
}

func readBudget(t *testing.T) map[string]int {
	t.Helper()
	f, err := os.Open("testdata/verifier.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	budget := map[string]int{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		word := strings.Fields(lines.Text())
		if len(word) == 0 || word[0] == "#" {
			continue
		}
		n, err := strconv.Atoi(word[len(word)-1])
		if err != nil || len(word) != 3 {
			t.Fatalf("testdata/verifier.txt: %q: want PROGRAM FIGURE LIMIT", lines.Text())
		}
		budget[word[0]+" "+word[1]] = n
	}
	return budget
}
