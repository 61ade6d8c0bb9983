// SPDX-License-Identifier: Apache-2.0

package config

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parseText(text string) (*Config, []Problem, error) {
	return Parse("f.toml", []byte(text), testOptions())
}

// TestProtocolProblems has the problems of the keys for peers, by their text.
func TestProtocolProblems(t *testing.T) {
	t.Parallel()
	add := func(lines string) string { return vip + lines }
	carp := func(line string) string { return "[carp]\n" + line + "\n" + vip }
	accept := func(lines string) string { return vip + "[[vip.accept]]\n" + lines }
	var eight strings.Builder
	for i := range 8 {
		fmt.Fprintf(&eight, "[[vip.accept]]\npassword = \"p%d\"\n", i)
	}
	linkLocal := strings.Replace(vip, `"192.0.2.100/24"`, `"192.0.2.100/24", "fe80::1/64"`, 1)
	const anLLAddr = `; allowed is the lladdr that is set by hand on the peers' carp interface, such as ` +
		`"02:11:22:33:44:55"`
	for _, tt := range []struct{ name, text, want string }{
		{
			"master_down",
			carp(`master_down = "netbsd"`),
			`f.toml:2: master_down: "netbsd" is unknown, allowed are "freebsd" and "openbsd"`,
		},
		{"master_down type", carp(`master_down = true`), `f.toml:2: master_down: must be a string in quotes, not a boolean`},
		{
			"claim_delay long",
			carp(`claim_delay = "61m"`),
			`f.toml:2: claim_delay: "61m" is out of range, allowed is "0s" to "1h"`,
		},
		{
			"peer_memory short",
			carp(`peer_memory = "59s"`),
			`f.toml:2: peer_memory: "59s" is out of range, allowed are "0" (for ever) and "1m" to "8784h"`,
		},
		{
			"peer_memory long",
			carp(`peer_memory = "8785h"`),
			`f.toml:2: peer_memory: "8785h" is out of range, allowed is "0s" to "8784h"`,
		},
		{
			"claim_delay negative",
			carp(`claim_delay = "-1s"`),
			`f.toml:2: claim_delay: "-1s" is out of range, allowed is "0s" to "1h"`,
		},
		{
			"preempt_delay number",
			carp(`preempt_delay = 5`),
			`f.toml:2: preempt_delay: must be a duration in quotes, such as "1s" or "500ms", not an integer`,
		},
		{
			"preempt_delay nonsense",
			carp(`preempt_delay = "5"`),
			`f.toml:2: preempt_delay: "5" is not a duration, allowed is "0s" to "1h"`,
		},
		{
			"preempt_delay long",
			carp(`preempt_delay = "61m"`),
			`f.toml:2: preempt_delay: "61m" is out of range, allowed is "0s" to "1h"`,
		},
		{
			"preempt_delay negative",
			carp(`preempt_delay = "-1s"`),
			`f.toml:2: preempt_delay: "-1s" is out of range, allowed is "0s" to "1h"`,
		},

		{
			"digest",
			add(`digest = "openbsd"`),
			`f.toml:6: digest: "openbsd" is unknown, allowed are "all" and "no-link-local"`,
		},
		{"lladdr nonsense", add(`lladdr = "virtual"`), `f.toml:6: lladdr: "virtual" is not an Ethernet address` + anLLAddr},
		{
			"lladdr in Cisco's form",
			add(`lladdr = "0211.2233.4455"`),
			`f.toml:6: lladdr: "0211.2233.4455" is not an Ethernet address` + anLLAddr,
		},
		{
			"lladdr of InfiniBand",
			add(`lladdr = "02:00:00:00:00:00:00:01"`),
			`f.toml:6: lladdr: "02:00:00:00:00:00:00:01" is not an Ethernet address` + anLLAddr,
		},
		{
			"lladdr multicast",
			add(`lladdr = "01:00:5e:00:01:01"`),
			`f.toml:6: lladdr: "01:00:5e:00:01:01" is a multicast address` + anLLAddr,
		},
		{
			"lladdr zero",
			add(`lladdr = "00:00:00:00:00:00"`),
			`f.toml:6: lladdr: "00:00:00:00:00:00" is not an address that an interface can have` + anLLAddr,
		},
		{
			"lladdr virtual",
			add(`lladdr = "00:00:5E:00:01:01"`),
			`f.toml:6: lladdr: "00:00:5E:00:01:01" is the virtual MAC of vhid 1, which OpenBSD does not include in the ` +
				`digest; leave the key out`,
		},
		{"peer_ttl", add(`peer_ttl = 255`), `f.toml:6: peer_ttl: must be a string in quotes, not an integer`},
		{"peer_ttl word", add(`peer_ttl = "255"`), `f.toml:6: peer_ttl: "255" is unknown, allowed are "any" and "strict"`},
		{
			"broadcast with peers",
			add("broadcast = true\npeers = [\"192.0.2.12\"]\n"),
			`f.toml:7: broadcast: is set together with peers; keep one of the two: broadcast is for ucarp --nomcast, peers ` +
				`get unicast`,
		},
		{"broadcast type", add(`broadcast = 1`), `f.toml:6: broadcast: must be true or false, not an integer`},
		{
			"require_trailer type", add(`require_trailer = "yes"`),
			`f.toml:6: require_trailer: must be true or false, not a string`,
		},
		{"require_seal", add(`require_seal = true`), `f.toml:6: require_seal: is called require_trailer now; rename it`},
		{"replay", add(`replay = "on"`), `f.toml:6: replay: "on" is unknown, allowed are "off" and "strict"`},

		{
			"accept of wrong type",
			add(`accept = "sesame"`),
			`f.toml:6: accept: must be an array of tables, each written [[vip.accept]], not a string`,
		},
		{
			"accept as table",
			add("[vip.accept]\n"),
			`f.toml:6: accept: must be an array of tables, each written [[vip.accept]], not a table`,
		},
		{
			"accept empty",
			accept(""),
			`f.toml:6: accept: this [[vip.accept]] is empty; set password_file, password or addresses; anything left out is ` +
				`the group's own`,
		},
		{
			"accept unknown key",
			accept("password = \"x\"\npassphrase = \"y\"\n"),
			`f.toml:8: passphrase: unknown key in [[vip.accept]]; allowed are password, password_file, addresses`,
		},
		{
			"accept both passwords",
			accept("password = \"x\"\npassword_file = \"/k/good\"\n"),
			`f.toml:8: password_file: is set together with password; keep one of the two`,
		},
		{
			"accept password file",
			accept("password_file = \"/k/none\"\n"),
			`f.toml:7: password_file: /k/none cannot be read: no such file or directory; its first line must be the ` +
				`password, 0..19 bytes`,
		},
		{
			"accept password long",
			accept("password = \"" + strings.Repeat("x", 20) + "\"\n"),
			`f.toml:7: password: the password is 20 bytes long, CARP allows 0..19`,
		},
		{
			"accept addresses empty",
			accept("addresses = []\n"),
			`f.toml:7: addresses: is empty; leave the key out to use the group's own addresses`,
		},
		{
			"accept address twice",
			accept("addresses = [\"192.0.2.7/24\",\n\"192.0.2.7/24\"]\n"),
			`f.toml:8: addresses: 192.0.2.7 is given more than once; keep one`,
		},
		{
			"accept address",
			accept("addresses = [\"192.0.2.7\"]\n"),
			`f.toml:7: addresses: "192.0.2.7" has no prefix length; write that of its network, such as 192.0.2.7/24`,
		},
		{
			"eight accepts",
			add(eight.String()),
			`f.toml:20: accept: 8 [[vip.accept]] are in this [[vip]], allowed are 7; remove those that the counters show unused`,
		},
		{
			"too many digests",
			linkLocal + strings.Join(strings.SplitAfter(eight.String(), "\n")[:8], ""),
			`f.toml:12: accept: with this [[vip.accept]] there are 10 digests to try, allowed are 8; a list with link-local ` +
				`addresses has two, with and without them`,
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, _, err := parseText(tt.text)
			if cfg != nil || err == nil {
				t.Fatalf("accepted: %+v", cfg)
			}
			if err.Error() != tt.want {
				t.Errorf("problem:\nwant %s\n got %v", tt.want, err)
			}
		})
	}
}

func TestAcceptWarnings(t *testing.T) {
	t.Parallel()
	_, warnings, err := parseText(vip + "[[vip.accept]]\npassword = \"sesame\"\n[[vip.accept]]\npassword = \"x\"\n" +
		"[[vip.accept]]\npassword = \"x\"\naddresses = [\"192.0.2.100/32\"]\n")
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		"f.toml:6: accept: has no effect: this [[vip]] accepts the same without it",
		"f.toml:10: accept: has no effect: this [[vip]] accepts the same without it",
	}
	if diff := cmp.Diff(want, Strings(warnings)); diff != "" {
		t.Errorf("warnings (-want +got):\n%s", diff)
	}
}

func TestAcceptInOpenFile(t *testing.T) {
	t.Parallel()
	opts := testOptions()
	opts.Mode = 0o644
	_, _, err := Parse("f.toml", []byte(vip+"[[vip.accept]]\npassword = \"x\"\n"), opts)
	const want = "f.toml:7: password: a password must not be in a file that every user can read: `chmod o-rwx f.toml`, " +
		"or use password_file"
	if err == nil || err.Error() != want {
		t.Errorf("problem:\nwant %s\n got %v", want, err)
	}
}

// The first context is the one to sign with. OpenBSD's other digest is always accepted.
func TestContexts(t *testing.T) {
	t.Parallel()
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, p := range texts {
			out = append(out, netip.MustParsePrefix(p))
		}
		return out
	}
	text := func(g Group) (out []string) {
		for _, c := range g.Contexts() {
			out = append(out, fmt.Sprint(c.Name, " ", string(c.Password.Bytes()), " ", c.Addresses))
		}
		return out
	}
	g := Group{Password: NewSecret([]byte("old")), Addresses: prefixes("192.0.2.1/24", "fe80::1/64", "169.254.0.1/16")}
	g.Accept = []Accept{
		{NewSecret([]byte("new")), g.Addresses},
		{g.Password, prefixes("192.0.2.1/24")},
		{g.Password, prefixes("fe80::1/64")},
	}
	for _, tt := range []struct {
		digest string
		want   []string
	}{
		{DigestAll, []string{
			"own old [192.0.2.1 fe80::1 169.254.0.1]", "own old [192.0.2.1 169.254.0.1]",
			"accept 1 new [192.0.2.1 fe80::1 169.254.0.1]", "accept 1 new [192.0.2.1 169.254.0.1]",
			"accept 2 old [192.0.2.1]", "accept 3 old [fe80::1]", "accept 3 old []",
		}},
		{DigestNoLinkLocal, []string{
			"own old [192.0.2.1 169.254.0.1]", "own old [192.0.2.1 fe80::1 169.254.0.1]",
			"accept 1 new [192.0.2.1 169.254.0.1]", "accept 1 new [192.0.2.1 fe80::1 169.254.0.1]",
			"accept 2 old [192.0.2.1]", "accept 3 old []", "accept 3 old [fe80::1]",
		}},
	} {
		g.Digest = tt.digest
		if diff := cmp.Diff(tt.want, text(g)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.digest, diff)
		}
	}
}

// Diff finds a change of each single key of a group, of [carp] and of a check.
func TestDiffFindsEveryKey(t *testing.T) {
	t.Parallel()
	const check = "[[check]]\nname = \"a\"\ntype = \"interface\"\ntarget = \"eth1\"\n"
	const full = "[carp]\nmaster_down = \"openbsd\"\npreempt_delay = \"1s\"\nclaim_delay = \"2s\"\n" +
		"peer_memory = \"2h\"\n" + vip +
		"digest = \"no-link-local\"\nlladdr = \"02:11:22:33:44:55\"\npeer_ttl = \"strict\"\npeers = []\n" +
		"broadcast = true\nrequire_trailer = true\nreplay = \"strict\"\nbeat = \"2ms\"\n" +
		"[[vip.accept]]\npassword = \"x\"\n" + check
	parse := func(text string) *Config {
		cfg, _, err := parseText(text)
		if err != nil {
			t.Fatal(err)
		}
		return cfg
	}
	before := parse(full)
	for _, tt := range []struct {
		from, to      string
		group, global []string
	}{
		{`"openbsd"`, `"freebsd"`, nil, []string{"carp.master_down"}},
		{`"1s"`, `"1001ms"`, nil, []string{"carp.preempt_delay"}},
		{`"2s"`, `"0s"`, nil, []string{"carp.claim_delay"}},
		{`"2h"`, `"0"`, nil, []string{"carp.peer_memory"}},
		{`"no-link-local"`, `"all"`, []string{"digest"}, nil},
		{`:55"`, `:56"`, []string{"lladdr"}, nil},
		{"lladdr = \"02:11:22:33:44:55\"\n", "", []string{"lladdr"}, nil},
		{`peer_ttl = "strict"`, `peer_ttl = "any"`, []string{"peer_ttl"}, nil},
		{`broadcast = true`, `broadcast = false`, []string{"broadcast"}, nil},
		{`require_trailer = true`, ``, []string{"require_trailer"}, nil},
		{`replay = "strict"`, `replay = "off"`, []string{"replay"}, nil},
		{`beat = "2ms"`, `beat = "1ms"`, []string{"beat"}, nil},
		{`beat = "2ms"`, `beat = "0s"`, []string{"beat"}, nil},
		{`password = "x"`, `password = "y"`, []string{"accept"}, nil},
		{`password = "x"`, `addresses = ["192.0.2.101/24"]`, []string{"accept"}, nil},
		{"[[vip.accept]]\npassword = \"x\"\n", "", []string{"accept"}, nil},
		{`"a"`, `"b"`, nil, []string{"check.a", "check.b"}},
		{`target = "eth1"`, `target = "eth2"`, nil, []string{"check.a"}},
		{check, check + "fall = 4\n", nil, []string{"check.a"}},
		{check, check + "rise = 4\n", nil, []string{"check.a"}},
		{check, check + "demotion = 4\n", nil, []string{"check.a"}},
		{check, check + "interval = \"2s\"\n", nil, []string{"check.a"}},
		{check, check + "timeout = \"50ms\"\n", nil, []string{"check.a"}},
		{check, check + strings.Replace(check, "\"a\"", "\"b\"", 1), nil, []string{"check.b"}},
		{check, "", nil, []string{"check.a"}},
		{check, check + "fall = 3\n", nil, nil},
	} {
		after := parse(strings.Replace(full, tt.from, tt.to, 1))
		d := Diff(before, after)
		var group []string
		for _, c := range d.Changed {
			group = append(group, c.Fields...)
		}
		if diff := cmp.Diff([][]string{tt.group, tt.global, nil}, [][]string{group, d.Global, d.NeedRestart}); diff != "" {
			t.Errorf("%s -> %s (-want +got):\n%s", tt.from, tt.to, diff)
		}
	}
}
