// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/pelletier/go-toml/v2"
)

// FuzzParse checks that Parse does not panic, returns either a config or problems, gives each
// problem a line within the file, and accepts only TOML with values within range.
func FuzzParse(f *testing.F) {
	f.Add([]byte(vip))
	f.Add([]byte("a.b.c = {x=[1, 'a', [2]], y=1979-05-27}\n[[vip]]\n[vip.x]\n[[vip]]\nvhid=0x1\n"))
	f.Add([]byte("[carp]\nmaster_down = \"openbsd\"\npreempt_delay = \"1h\"\nclaim_delay = \"1h\"\n" + vip +
		"lladdr = \"02:11:22:33:44:55\"\n[[vip.accept]]\npassword = \"x\"\n" +
		"[[check]]\nname = \"a\"\ntype = \"icmp\"\ntarget = \"fe80::1\"\ninterface = \"eth0\"\ninterval = \"100ms\"\n" +
		"[[check]]\nname = \"b\"\ntype = \"command\"\ncommand = [\"/x\"]\n"))
	f.Add([]byte("[carp]\r\ndead_ratio = inf\n[carp.x]\n[[carp]]\n\"\\n\" = 1e99\n"))
	if ref, err := os.ReadFile("../../packaging/vipd.toml"); err == nil {
		f.Add(ref)
	}
	opts := testOptions()
	f.Fuzz(func(t *testing.T, data []byte) {
		cfg, warnings, err := Parse("f", data, opts)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("config %v with error %v", cfg, err)
		}
		lines := strings.Count(string(data), "\n") + 1
		all, problems := (*Error)(nil), warnings
		if errors.As(err, &all) {
			problems = append(problems, all.Problems...)
		}
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines || strings.ContainsAny(p.String(), "\r\n\x1b") {
				t.Errorf("problem %q in a file of %d lines", p, lines)
			}
		}
		if err != nil {
			return
		}
		var doc map[string]any
		if err := toml.Unmarshal(data, &doc); err != nil {
			t.Fatalf("accepted text that is not TOML: %v", err)
		}
		names := map[string]bool{}
		for _, g := range cfg.Groups {
			if g.VHID == 0 || g.AdvBase > 254 || g.AdvSkew > 254 || len(g.Addresses) == 0 ||
				len(g.Password.Bytes()) > maxPassword || g.Beat != 0 && (g.Beat < MinBeat || g.Beat > MaxBeat) ||
				names[g.Name()] {
				t.Errorf("accepted %+v", g)
			}
			names[g.Name()] = true
			if len(g.Contexts()) > maxContexts || g.Broadcast && len(g.Peers) > 0 || g.LLAddr != nil && g.LLAddr[0]&1 != 0 {
				t.Errorf("accepted %+v", g)
			}
			for _, c := range g.Contexts() {
				if len(c.Password.Bytes()) > maxPassword {
					t.Errorf("accepted the context %s", c.Name)
				}
			}
		}
		if d := cfg.Carp.ClaimDelay; d < 0 || d > maxClaimDelay {
			t.Fatalf("claim_delay %v passed", d)
		}
		if d := cfg.Carp.PeerMemory; d != 0 && d < minPeerMemory || d > maxPeerMemory {
			t.Errorf("accepted a memory of %v", d)
		}
		if d := cfg.Carp.PreemptDelay; d < 0 || d > maxPreemptDelay {
			t.Errorf("accepted a delay of %v", d)
		}
		for _, c := range cfg.Checks {
			if names[c.Name] || !validCheckName(c.Name) || c.Timeout > c.Interval || c.Timeout < minCheckTimeout ||
				c.Interval > maxCheckInterval ||
				c.Rise < 1 || c.Fall < 1 ||
				c.Demotion < 1 ||
				c.Demotion > 255 ||
				(len(c.Command) > 0) != (c.Type == CheckCommand) {
				t.Errorf("accepted %+v", c)
			}
			names[c.Name] = true
		}
		if c := Diff(cfg, cfg); !c.Empty() {
			t.Errorf("differs from itself: %+v", c)
		}
	})
}
