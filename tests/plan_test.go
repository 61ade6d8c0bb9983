// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

func fourGroups(advskew int) lab.NodeConfig {
	var c lab.NodeConfig
	for i, a := range []string{"192.0.2.100/24", "192.0.2.101/24", "192.0.2.102/24", "192.0.2.103/24"} {
		c.Groups = append(c.Groups, lab.Group{VHID: i + 1, Addresses: []string{a}, AdvSkew: advskew})
	}
	return c
}

// planOf asks for a plan of a config that is not the node's own.
func planOf(t *testing.T, n *lab.Node, c lab.NodeConfig) api.Plan {
	t.Helper()
	running := n.Config
	n.WriteConfig(c)
	text, err := os.ReadFile(n.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	n.WriteConfig(running)
	path := filepath.Join(t.TempDir(), "new.toml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	var plan api.Plan
	if err := json.Unmarshal([]byte(n.MustCTL("plan", path, "-o", "json")), &plan); err != nil {
		t.Fatal(err)
	}
	return plan
}

// A plan names what a reload moves and changes nothing; the reload then moves exactly that, and a group that was not
// named keeps its term.
func TestPlanSaysWhatReloadDoes(t *testing.T) {
	t.Parallel()
	p := newPair(t, fourGroups(0), fourGroups(50))
	p.a.Start()
	names := []string{"eth0@1", "eth0@2", "eth0@3", "eth0@4"}
	for _, g := range names {
		p.a.WaitAnswering(g, upTimeout)
	}
	p.b.Start()
	before := map[string]lab.GroupStatus{}
	for _, g := range names {
		p.b.WaitFor(g, "hears a", patience, hearsMaster)
		before[g] = p.a.Group(g)
	}

	next := fourGroups(0)
	next.Groups[1].AdvSkew = 100      // b is better then
	next.Groups[2].VHID = 30          // another group
	next.Groups[3].Description = "no" // moves nothing
	plan := planOf(t, p.a, next)
	effects := map[string][]string{}
	for _, c := range plan.Changes {
		for _, e := range c.Effects {
			effects[c.Action+" "+c.Group] = append(effects[c.Action+" "+c.Group], e.Effect)
		}
	}
	want := map[string][]string{
		"change eth0@2": {api.EffectMayMove}, "remove eth0@3": {api.EffectGivesUp, api.EffectGivesUp},
		"add eth0@30": {api.EffectMayTake}, "change eth0@4": {api.EffectNone},
	}
	if diff := cmp.Diff(want, effects); diff != "" || !slices.Equal(plan.Untouched, []string{"eth0@1"}) || !plan.Moves {
		t.Errorf("plan (-want +got):\n%s\nuntouched %q, moves %v", diff, plan.Untouched, plan.Moves)
	}
	for _, g := range names {
		if now := p.a.Group(g); now.State != lab.Master || !sameTime(now.Since, before[g].Since) || now.AdvSkew != 0 {
			t.Errorf("the plan touched %s: %s since %v", g, now.State, now.Since)
		}
	}

	p.a.WriteConfig(next)
	out := p.a.MustCTL("plan") // of its own file now
	for _, said := range []string{
		"~ change eth0@2 (MASTER here): advskew", "- remove eth0@3 (MASTER here)",
		"+ add eth0@30", "Not touched: eth0@1",
	} {
		if !strings.Contains(out, said) {
			t.Errorf("no %q in\n%s", said, out)
		}
	}
	reloaded := p.a.MustCTL("reload")
	if reloaded != "reloaded: added eth0@30; removed eth0@3; changed eth0@2, eth0@4\n" {
		t.Errorf("reload: %s", reloaded)
	}
	p.b.WaitAnswering("eth0@2", patience)
	p.b.WaitAnswering("eth0@3", patience)
	p.a.WaitAnswering("eth0@30", upTimeout)
	p.a.WaitState("eth0@2", lab.Backup, patience)
	for _, g := range []string{"eth0@1", "eth0@4"} {
		if now := p.a.Group(g); now.State != lab.Master || !sameTime(now.Since, before[g].Since) ||
			now.Reason != before[g].Reason {
			t.Errorf("the reload moved %s: %s (%s) since %v, was since %v", g, now.State, now.Reason, now.Since, before[g].Since)
		}
		if b := p.b.Group(g); b.State != lab.Backup {
			t.Errorf("%s is %s on the other node", g, b.State)
		}
	}
	if out := p.a.MustCTL("plan"); !strings.Contains(out, "a reload would change nothing") {
		t.Errorf("after the reload:\n%s", out)
	}

	p.a.WriteRawConfig("[carp]\ndscp = 99\nbogus = 1\n")
	if code, out := p.a.CTL("plan"); code != 1 || !strings.Contains(out, "dscp: 99 is out of range") ||
		!strings.Contains(out, "bogus") {
		t.Errorf("plan of a bad config: exit code %d\n%s", code, out)
	}
	p.a.Stop()
	if code, out := p.a.CTL("plan", p.a.ConfigFile()); code != 3 || !strings.Contains(out, "config check") {
		t.Errorf("plan without a daemon: exit code %d\n%s", code, out)
	}
}
