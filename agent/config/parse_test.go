// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/command"
)

// compareSecrets lets cmp compare passwords, which print as [redacted].
func compareSecrets() cmp.Option {
	return cmp.Comparer(func(a, b Secret) bool { return a == b })
}

func comparePrefixes() cmp.Options {
	return cmp.Options{
		// TestGroupKnowsItsLine checks it.
		cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Line" }, cmp.Ignore()),
		cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }),
		cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		compareSecrets(),
	}
}

// testOptions is a host named "host" with a few password files.
func testOptions() Options {
	return Options{
		Mode:        0o640,
		Hostname:    func() (string, error) { return "host", nil },
		Credentials: "/creds",
		Examine: func(path string) []command.Fault {
			if path == "/h/none" {
				return []command.Fault{{Text: path + " is not there"}, {Text: path + " is not safe", Unsafe: true}}
			}
			return nil
		},
		Addresses: func() []netip.Addr { return []netip.Addr{netip.MustParseAddr("192.0.2.11")} },
		Hosts: func(name string) []netip.Addr {
			if name == "vip.example" {
				return []netip.Addr{netip.MustParseAddr("192.0.2.100")}
			}
			return nil
		},
		ReadFile: func(path string) ([]byte, fs.FileMode, error) {
			switch path {
			case "/k/good", "/creds/eth0-1":
				return []byte("sesame\nsecond line\n"), 0o600, nil
			case "/k/crlf":
				return []byte("sesame\r\n"), 0o600, nil
			case "/k/open":
				return []byte("sesame"), 0o644, nil
			case "/k/long":
				return []byte("this-is-a-password-of-32-bytes!!\n"), 0o600, nil
			case "/k/token":
				return []byte("0123456789abcdef\n"), 0o600, nil
			case "/k/opentoken":
				return []byte("0123456789abcdef\n"), 0o644, nil
			case "/k/19":
				return []byte("exactly-19-bytes-ab"), 0o600, nil
			case "/k/empty":
				return nil, 0o600, nil
			case "/k/zero":
				return []byte("a\x00b\n"), 0o600, nil
			}
			return nil, 0, errors.New("cannot be read: no such file or directory")
		},
	}
}

// vip is a valid [[vip]] of five lines.
const vip = "[[vip]]\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"192.0.2.100/24\"]\npassword_file = \"/k/good\"\n"

func goodConfig() *Config {
	c := Default()
	c.Source = "f.toml"
	c.Node.Name = "host"
	c.Groups = []Group{{
		Interface: "eth0", VHID: 1, AdvBase: 1,
		Addresses:    []netip.Prefix{netip.MustParsePrefix("192.0.2.100/24")},
		Password:     NewSecret([]byte("sesame")),
		PasswordFile: "/k/good",
		HookTimeout:  30 * time.Second,
		Digest:       DigestAll,
		PeerTTL:      PeerTTLAny,
		Replay:       ReplayOff,
	}}
	return c
}

func TestParseGood(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		text string
		want func(*Config)
	}{
		{"defaults", vip, func(*Config) {}},
		{"every key", `
[node]
name = "fw1"
state_dir = "/s"
runtime_dir = "/r/"
bpf_dir = "/sys/fs/bpf/x"
[control]
socket = "/r/c.sock"
group = ""
[http]
listen = "[::1]:0"
[carp]
preempt = false
dead_ratio = 2
send_demote = false
ifdown_demotion = 0
senderr_demotion = 0xff
dscp = 0
master_down = "openbsd"
preempt_delay = "1m30s"
claim_delay = "30s"
peer_memory = "1h"
[xdp]
mode = "generic"
` + vip + `advbase = 2
advskew = 240
beat = "1500us"
description = "LAN gateway, Büro"
peers = []
hook = "/h/good"
hook_timeout = "1m30s"
digest = "no-link-local"
lladdr = "02:11:22:33:44:5F"
peer_ttl = "any"
broadcast = true
require_trailer = true
replay = "strict"
[[vip.accept]]
password = "newer"
[[vip.accept]]
addresses = ["192.0.2.101/24", "192.0.2.100/24"]
[[check]]
name = "uplink-1"
type = "arp"
target = "192.0.2.1"
interface = "eth0"
interval = "500ms"
timeout = "250ms"
rise = 1
fall = 255
demotion = 1
[[check]]
name = "app"
type = "command"
command = ["/usr/bin/true", "-x", ""]
interval = "300ms"
`, func(c *Config) {
			c.Node = Node{"fw1", "/s", "/r", "/sys/fs/bpf/x"}
			c.Control = Control{"/r/c.sock", ""}
			c.HTTP.Listen = "[::1]:0"
			c.Carp = Carp{
				DeadRatio:       2,
				SenderrDemotion: 255,
				MasterDown:      MasterDownOpenBSD,
				PreemptDelay:    90 * time.Second,
				ClaimDelay:      30 * time.Second,
				PeerMemory:      time.Hour,
			}
			c.XDP.Mode = ModeGeneric
			c.Groups[0].AdvBase, c.Groups[0].AdvSkew, c.Groups[0].Beat = 2, 240, 1500*time.Microsecond
			c.Groups[0].Description = "LAN gateway, Büro"
			g := &c.Groups[0]
			g.Hook, g.HookTimeout = "/h/good", 90*time.Second
			g.Digest, g.Broadcast, g.RequireTrailer, g.Replay = DigestNoLinkLocal, true, true, ReplayStrict
			g.LLAddr = &[6]byte{0x02, 0x11, 0x22, 0x33, 0x44, 0x5f}
			g.Accept = []Accept{
				{NewSecret([]byte("newer")), g.Addresses},
				{g.Password, []netip.Prefix{netip.MustParsePrefix("192.0.2.101/24"), netip.MustParsePrefix("192.0.2.100/24")}},
			}
			c.Checks = []Check{
				{
					Name: "uplink-1", Type: CheckARP, Target: "192.0.2.1", Interface: "eth0",
					Interval: 500 * time.Millisecond, Timeout: 250 * time.Millisecond, Rise: 1, Fall: 255, Demotion: 1,
				},
				{
					Name: "app", Type: CheckCommand, Command: []string{"/usr/bin/true", "-x", ""},
					Interval: 300 * time.Millisecond, Timeout: 300 * time.Millisecond,
					Rise: 2, Fall: 3, Demotion: 240,
				},
			}
		}},
		{"dotted and inline", "carp.preempt = false\nhttp = { listen = \"\" }\n" + vip, func(c *Config) {
			c.Carp.Preempt = false
			c.HTTP.Listen = ""
		}},
		{"CRLF in the password file", strings.ReplaceAll(vip, "good", "crlf"), func(c *Config) {
			c.Groups[0].PasswordFile = "/k/crlf"
		}},
		{"same vhid on another interface", vip + strings.ReplaceAll(vip, "eth0", "eth0.7"), func(c *Config) {
			g := c.Groups[0]
			g.Interface = "eth0.7"
			c.Groups = append(c.Groups, g)
		}},
		{"/31 and /32", strings.ReplaceAll(vip, `"192.0.2.100/24"`, `"192.0.2.0/31", "192.0.2.255/32"`), func(c *Config) {
			c.Groups[0].Addresses = []netip.Prefix{
				netip.MustParsePrefix("192.0.2.0/31"),
				netip.MustParsePrefix("192.0.2.255/32"),
			}
		}},
		{"explicit empty password", strings.ReplaceAll(vip, `password_file = "/k/good"`, `password = ""`), func(c *Config) {
			c.Groups[0].Password, c.Groups[0].PasswordFile = Secret{}, ""
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, warnings, err := Parse("f.toml", []byte(tt.text), testOptions())
			want := goodConfig()
			tt.want(want)
			if want.Groups[0].PeerTTL == PeerTTLAny && strings.Contains(tt.text, "peer_ttl") && len(warnings) == 1 {
				warnings = nil // no effect without peers; TestWarnings checks the text
			}
			if want.Groups[0].PasswordFile == "/k/crlf" && len(warnings) == 1 {
				warnings = nil // CR LF; TestKeyFileOddities checks the text
			}
			if err != nil || len(warnings) > 0 {
				t.Fatalf("error %v, warnings %v", err, warnings)
			}
			if diff := cmp.Diff(want, got, comparePrefixes()); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAllProblemsAtOnce(t *testing.T) {
	t.Parallel()
	const text = `[carp]
preempt = "yes"
dead_ratio = 4
dcsp = 3

[xdp]
mode = "fast"
[[vip]]
interface = "eth0"
vhid = 300
addresses = [
  "192.0.2.100/24",
  "224.0.0.18/4",
  "192.0.2.101",
]
advskew = 255
password = "x"
colour = "red"
`
	want := []string{
		`f.toml:2: preempt: must be true or false, not a string`,
		`f.toml:3: dead_ratio: 4 is out of range, allowed is 1 to 3`,
		`f.toml:4: dcsp: unknown key in [carp]; did you mean dscp? allowed are preempt, dead_ratio, send_demote, ` +
			`ifdown_demotion, senderr_demotion, dscp, master_down, preempt_delay, claim_delay, peer_memory`,
		`f.toml:7: mode: "fast" is unknown, allowed are "auto", "native", "tc" and "generic"`,
		`f.toml:10: vhid: 300 is out of range, allowed is 1..255`,
		`f.toml:13: addresses: "224.0.0.18/4" is a multicast address; allowed is a unicast address with the prefix length ` +
			`of its network, such as 192.0.2.100/24`,
		`f.toml:14: addresses: "192.0.2.101" has no prefix length; write that of its network, such as 192.0.2.101/24`,
		`f.toml:16: advskew: 255 is out of range, allowed is 0..254`,
		`f.toml:18: colour: unknown key in [[vip]]; allowed are interface, vhid, addresses, advbase, advskew, beat, ` +
			`description, password, password_file, peers, hook, hook_timeout, digest, lladdr, peer_ttl, broadcast, ` +
			`require_trailer, replay, accept`,
	}
	cfg, _, err := parseText(text)
	if cfg != nil {
		t.Error("a config came with the problems")
	}
	var all *Error
	if !errors.As(err, &all) {
		t.Fatalf("error is %T", err)
	}
	if diff := cmp.Diff(want, all.Strings()); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(want) {
		t.Errorf("%d lines for %d problems", got, len(want))
	}
}

// TestProblems has every problem by its text. Each case is a valid config with one line replaced or
// added, and has one problem.
func TestProblems(t *testing.T) {
	t.Parallel()
	// swap replaces text in the valid [[vip]].
	swap := func(before, after string) string { return strings.Replace(vip, before, after, 1) }
	add := func(lines string) string { return vip + lines }
	addr := func(a string) string { return swap("192.0.2.100/24", a) }
	const anAddress = "; allowed is a unicast address with the prefix length of its network, such as 192.0.2.100/24"
	tests := []struct{ name, text, want string }{
		{"syntax", "[carp]\npreempt = \n" + vip, "f.toml:2: not valid TOML: "},
		{"leading zero", add("advskew = 010\n"), "f.toml:6: not valid TOML: "},
		{"unclosed table", "[carp\n" + vip, "f.toml:1: not valid TOML: "},
		{"duplicate key", add("vhid = 2\n"), "f.toml:6: vhid: duplicate: already set in line 3; keep one of them"},
		{
			"duplicate dotted key",
			"carp.dscp = 1\ncarp.dscp = 2\n" + vip,
			"f.toml:2: carp.dscp: duplicate: already set in line 1; keep one of them",
		},
		{
			"duplicate table",
			"[carp]\n[xdp]\n[carp]\n" + vip,
			"f.toml:3: carp: duplicate: [carp] is already defined in line 1; put its keys there",
		},
		{"table for array", add("[vip]\n"), "f.toml:6: vip: is [[vip]] in line 1, so it must be [[vip]] here"},
		{
			"array for table",
			"[carp]\n" + vip + "[[carp]]\n",
			"f.toml:7: carp: is a table since line 1, so it cannot be [[carp]] here",
		},
		{
			"value as table",
			"node = 1\n[node.x]\n" + vip,
			"f.toml:1: node: must be a table, written [node], not an integer\n" +
				"f.toml:2: node: is an integer since line 1, so it cannot be a table here",
		},
		{
			"unknown table",
			"[ndoe]\nname = \"x\"\n" + vip,
			"f.toml:1: ndoe: unknown key at the top; did you mean node? allowed are node, control, http, web, carp, xdp, " +
				"record, vip, check",
		},
		{"table of wrong type", "node = 1\n" + vip, "f.toml:1: node: must be a table, written [node], not an integer"},
		{
			"vip of wrong type",
			"vip = \"x\"\n",
			"f.toml:1: vip: must be an array of tables, each written [[vip]], not a string",
		},
		{
			"vip with wrong element",
			"vip = [1]\n",
			"f.toml:1: vip: must be an array of tables, each written [[vip]], but an element is an integer",
		},
		{
			"node name",
			"[node]\nname = \"\"\n" + vip,
			"f.toml:2: name: is empty; allowed is one line of 1..64 bytes, or leave it out for the host's name",
		},
		{
			"long node name",
			"[node]\nname = \"" + strings.Repeat("n", 65) + "\"\n" + vip,
			"f.toml:2: name: is 65 bytes long; allowed is one line of 1..64 bytes, or leave it out for the host's name",
		},
		{
			"node name with escape",
			"[node]\nname = \"\\u001b[2J\"\n" + vip,
			"f.toml:2: name: has a character that cannot be printed; allowed is one line of 1..64 bytes, or leave it out " +
				"for the host's name",
		},
		{
			"relative path",
			"[node]\nstate_dir = \"var\"\n" + vip,
			`f.toml:2: state_dir: "var" is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"root as path",
			"[node]\nbpf_dir = \"/..\"\n" + vip,
			`f.toml:2: bpf_dir: "/.." is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"socket",
			"[control]\nsocket = \"\"\n" + vip,
			`f.toml:2: socket: "" is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"socket too long",
			"[control]\nsocket = \"/" + strings.Repeat("x", 107) + "\"\n" + vip,
			"f.toml:2: socket: is 108 bytes long, the path of a unix socket may have at most 107",
		},
		{
			"group",
			"[control]\ngroup = \"a b\"\n" + vip,
			`f.toml:2: group: "a b" is not a valid group name; use one from /etc/group, or "" for root only`,
		},
		{
			"listen on the control socket",
			"[control]\nsocket = \"/run/v/s\"\n[http]\nlisten = \"unix:/run//v/s\"\n" + vip,
			`f.toml:4: listen: "unix:/run//v/s" is the [control] socket; choose another path`,
		},
		{
			"listen without port",
			"[http]\nlisten = \"127.0.0.1\"\n" + vip,
			`f.toml:2: listen: "127.0.0.1" is not ADDRESS:PORT; allowed is ADDRESS:PORT such as "127.0.0.1:9112" or ` +
				`"[::1]:9112", "unix:/path", or "" for off`,
		},
		{
			"listen port",
			"[http]\nlisten = \":65536\"\n" + vip,
			`f.toml:2: listen: ":65536" has no port in 0..65535; allowed is ADDRESS:PORT such as "127.0.0.1:9112" or ` +
				`"[::1]:9112", "unix:/path", or "" for off`,
		},
		{
			"listen host",
			"[http]\nlisten = \"nowhere:1\"\n" + vip,
			`f.toml:2: listen: "nowhere:1" has no address before the port; allowed is ADDRESS:PORT such as "127.0.0.1:9112" ` +
				`or "[::1]:9112", "unix:/path", or "" for off`,
		},
		{
			"dead_ratio nan",
			"[carp]\ndead_ratio = nan\n" + vip,
			"f.toml:2: dead_ratio: nan is out of range, allowed is 1 to 3",
		},
		{
			"dead_ratio low",
			"[carp]\ndead_ratio = 0.99\n" + vip,
			"f.toml:2: dead_ratio: 0.99 is out of range, allowed is 1 to 3",
		},
		{"dead_ratio type", "[carp]\ndead_ratio = \"3\"\n" + vip, "f.toml:2: dead_ratio: must be a number, not a string"},
		{
			"demotion",
			"[carp]\nifdown_demotion = 256\n" + vip,
			"f.toml:2: ifdown_demotion: 256 is out of range, allowed is 0..255",
		},
		{
			"demotion negative",
			"[carp]\nsenderr_demotion = -1\n" + vip,
			"f.toml:2: senderr_demotion: -1 is out of range, allowed is 0..255",
		},
		{"dscp", "[carp]\ndscp = 64\n" + vip, "f.toml:2: dscp: 64 is out of range, allowed is 0..63"},
		{
			"dscp beyond 64 bits",
			"[carp]\ndscp = 99999999999999999999\n" + vip,
			"f.toml:2: dscp: 99999999999999999999 is out of range, allowed is 0..63",
		},
		{"dscp type", "[carp]\ndscp = 1979-05-27\n" + vip, "f.toml:2: dscp: must be an integer 0..63, not a date or time"},

		{
			"no interface",
			swap("interface = \"eth0\"\n", ""),
			`f.toml:1: interface: missing in this [[vip]]; name the interface, such as interface = "eth0"`,
		},
		{
			"interface too long",
			swap("eth0", "interface0123456"),
			`f.toml:2: interface: "interface0123456" is 16 bytes long; allowed is the name of a network interface, 1..15 ` +
				`bytes without blanks, / and :`,
		},
		{
			"interface with slash",
			swap("eth0", "a/b"),
			`f.toml:2: interface: "a/b" is not a name that the kernel allows; allowed is the name of a network interface, ` +
				`1..15 bytes without blanks, / and :`,
		},
		{
			"interface lo",
			swap("eth0", "lo"),
			`f.toml:2: interface: "lo" is the loopback interface, which has no peers; allowed is the name of a network ` +
				`interface, 1..15 bytes without blanks, / and :`,
		},
		{
			"interface empty",
			swap("eth0", ""),
			`f.toml:2: interface: "" is empty; allowed is the name of a network interface, 1..15 bytes without blanks, / and :`,
		},
		{
			"no vhid",
			swap("vhid = 1\n", ""),
			"f.toml:1: vhid: missing in this [[vip]]; allowed is 1..255, the same on all nodes of the group",
		},
		{"vhid 0", swap("vhid = 1", "vhid = 0"), "f.toml:3: vhid: 0 is out of range, allowed is 1..255"},
		{"vhid float", swap("vhid = 1", "vhid = 1.0"), "f.toml:3: vhid: must be an integer 1..255, not a float"},
		{
			"same group twice",
			add(strings.Replace(vip, ".100/", ".101/", 1)),
			"f.toml:8: vhid: eth0@1 is already defined in line 1; allowed is one [[vip]] for each interface and vhid: put " +
				"all addresses there",
		},
		{
			"same address in two groups",
			add(strings.Replace(vip, "vhid = 1", "vhid = 2", 1)),
			"f.toml:9: addresses: 192.0.2.100 is already an address of the [[vip]] in line 4; allowed is each address once " +
				"per interface",
		},
		{
			"no addresses",
			swap("addresses = [\"192.0.2.100/24\"]\n", ""),
			`f.toml:1: addresses: missing in this [[vip]]; at least one address is needed, such as addresses = ` +
				`["192.0.2.100/24"]`,
		},
		{
			"empty addresses",
			swap(`"192.0.2.100/24"`, ""),
			`f.toml:4: addresses: missing in this [[vip]]; at least one address is needed, such as addresses = ` +
				`["192.0.2.100/24"]`,
		},
		{
			"addresses no array",
			swap(`["192.0.2.100/24"]`, `"192.0.2.100/24"`),
			`f.toml:4: addresses: must be an array of addresses with prefix length, such as "192.0.2.100/24", not a string`,
		},
		{
			"addresses with number",
			swap(`"192.0.2.100/24"`, `192`),
			`f.toml:4: addresses: must be an array of addresses with prefix length, such as "192.0.2.100/24", but an element ` +
				`is an integer`,
		},
		{
			"address twice",
			swap(`"192.0.2.100/24"`, "\"192.0.2.100/24\",\n\"192.0.2.100/32\""),
			"f.toml:5: addresses: 192.0.2.100 is given more than once; keep one",
		},
		{"address nonsense", addr("gateway"), `f.toml:4: addresses: "gateway" is not an address` + anAddress},
		{
			"address zone",
			addr("fe80::1%eth0"),
			`f.toml:4: addresses: "fe80::1%eth0" has a zone; set the interface with the key interface`,
		},
		{
			"address without prefix, IPv6",
			addr("2001:db8::1"),
			`f.toml:4: addresses: "2001:db8::1" has no prefix length; write that of its network, such as 2001:db8::1/64`,
		},
		{
			"address mapped",
			addr("::ffff:192.0.2.1/120"),
			`f.toml:4: addresses: "::ffff:192.0.2.1/120" is an IPv4-mapped IPv6 address; write 192.0.2.1 with its IPv4 ` +
				`prefix length`,
		},
		{
			"address unspecified",
			addr("0.0.0.0/24"),
			`f.toml:4: addresses: "0.0.0.0/24" is the unspecified address` + anAddress,
		},
		{
			"address in 0/8",
			addr("0.1.2.3/24"),
			`f.toml:4: addresses: "0.1.2.3/24" is in 0.0.0.0/8, which no host can have` + anAddress,
		},
		{"address loopback", addr("127.0.0.1/8"), `f.toml:4: addresses: "127.0.0.1/8" is a loopback address` + anAddress},
		{
			"address limited broadcast",
			addr("255.255.255.255/32"),
			`f.toml:4: addresses: "255.255.255.255/32" is the broadcast address` + anAddress,
		},
		{
			"address of network",
			addr("192.0.2.0/24"),
			`f.toml:4: addresses: "192.0.2.0/24" is the address of the network itself; choose one for a host in it`,
		},
		{
			"address broadcast",
			addr("192.0.2.63/26"),
			`f.toml:4: addresses: "192.0.2.63/26" is the broadcast address of its network; choose one for a host in it`,
		},
		{"address prefix 0", addr("192.0.2.1/0"), `f.toml:4: addresses: "192.0.2.1/0" has prefix length 0` + anAddress},
		{"address prefix 33", addr("192.0.2.1/33"), `f.toml:4: addresses: "192.0.2.1/33" is not an address` + anAddress},
		{
			"address of IPv6 network",
			addr("2001:db8::/64"),
			`f.toml:4: addresses: "2001:db8::/64" is the address of the network itself; choose one for a host in it`,
		},
		{"advbase", add("advbase = 255\n"), "f.toml:6: advbase: 255 is out of range, allowed is 0..254"},
		{
			"advbase 0 without skew",
			add("advbase = 0\n"),
			"f.toml:6: advbase: 0 needs advskew >= 1, since the interval is advbase seconds + advskew/256 s; allowed is " +
				"1..254, or 0 with advskew 1..254",
		},
		{
			"beat type",
			add("beat = 1\n"),
			`f.toml:6: beat: must be a duration in quotes, such as "1s" or "500ms", not an integer`,
		},
		{
			"beat short",
			add("beat = \"999us\"\n"),
			`f.toml:6: beat: "999us" is out of range, allowed are "0s" (none) and "1ms" to "30ms"`,
		},
		{"beat long", add("beat = \"31ms\"\n"), `f.toml:6: beat: "31ms" is out of range, allowed is "0s" to "30ms"`},
		{
			"beat of half a microsecond",
			add("beat = \"1000500ns\"\n"),
			`f.toml:6: beat: "1000500ns" is not a whole number of microseconds, such as "1500us"`,
		},
		{
			"beat as long as the interval",
			add("advbase = 0\nadvskew = 1\nbeat = \"4ms\"\n"),
			`f.toml:8: beat: "4ms" is not less than the interval, which is 3.906ms (advbase seconds + advskew/256 s); leave ` +
				`it out`,
		},
		{"advskew type", add("advskew = true\n"), "f.toml:6: advskew: must be an integer 0..254, not a boolean"},
		{
			"description",
			add("description = \"a\\nb\"\n"),
			"f.toml:6: description: has a character that cannot be printed; allowed is one line of at most 255 bytes",
		},
		{
			"description too long",
			add("description = \"" + strings.Repeat("x", 256) + "\"\n"),
			"f.toml:6: description: is 256 bytes long; allowed is one line of at most 255 bytes",
		},
		{
			"peer zone",
			add("peers = [\"192.0.2.1%eth0\"]\n"),
			`f.toml:6: peers: "192.0.2.1%eth0" is not an address; allowed is the unicast address of another node, without ` +
				`prefix length`,
		},
		{
			"peer zone, IPv6",
			add("peers = [\"2001:db8::2%eth0\"]\n"),
			`f.toml:6: peers: "2001:db8::2%eth0" has a zone; allowed is the unicast address of another node, without prefix ` +
				`length`,
		},
		{
			"peer mapped",
			add("peers = [\"::ffff:192.0.2.1\"]\n"),
			`f.toml:6: peers: "::ffff:192.0.2.1" is an IPv4-mapped IPv6 address; allowed is the unicast address of another ` +
				`node, without prefix length`,
		},
		{
			"peer twice",
			add("peers = [\"192.0.2.2\", \"192.0.2.2\"]\n"),
			`f.toml:6: peers: "192.0.2.2" is given more than once; allowed is the unicast address of another node, without ` +
				`prefix length`,
		},
		{
			"too many hosts",
			"[http]\nhosts = [" + strings.Repeat(`"a",`, maxHosts+1) + "]\n" + vip,
			"f.toml:2: hosts: has 65 names, allowed are 64",
		},
		{
			"too many nodes",
			"[web]\nnodes = [" + strings.Repeat(`"http://a:1",`, maxNodes+1) + "]\n" + vip,
			fmt.Sprintf("f.toml:2: nodes: has %d entries, allowed are %d", maxNodes+1, maxNodes),
		},
		{
			"too many origins",
			"[web]\nwidget_origins = [" + strings.Repeat(`"http://a:1",`, maxOrigins+1) + "]\n" + vip,
			fmt.Sprintf("f.toml:2: widget_origins: has %d entries, allowed are %d", maxOrigins+1, maxOrigins),
		},
		{
			"both passwords",
			add("password = \"x\"\n"),
			"f.toml:6: password_file: is set together with password; keep one of the two",
		},
		{
			"no password",
			swap("password_file = \"/k/good\"\n", ""),
			`f.toml:1: password_file: missing in this [[vip]]; name a file with the password in its first line, or write ` +
				`password = "" to use the all-zero key that CARP has without a password`,
		},
		{
			"password too long",
			swap(`password_file = "/k/good"`, `password = "`+strings.Repeat("x", 20)+`"`),
			"f.toml:5: password: the password is 20 bytes long, CARP allows 0..19",
		},
		{
			"password type",
			swap(`password_file = "/k/good"`, `password = 4711`),
			"f.toml:5: password: must be a string in quotes, not an integer",
		},
		{
			"password file missing",
			swap("good", "none"),
			"f.toml:5: password_file: /k/none cannot be read: no such file or directory; its first line must be the " +
				"password, 0..19 bytes",
		},
		{
			"password file long",
			swap("good", "long"),
			"f.toml:5: password_file: the password is 32 bytes long, CARP allows 0..19",
		},
		{
			"password file zero byte",
			swap("good", "zero"),
			"f.toml:5: password_file: the password has a zero byte, which ends it on the peers; allowed are 0..19 other bytes",
		},
		{
			"password file relative",
			swap("/k/good", "k"),
			`f.toml:5: password_file: "k" is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"peer nonsense",
			add("peers = [\"fw2\"]\n"),
			`f.toml:6: peers: "fw2" is not an address; allowed is the unicast address of another node, without prefix length`,
		},
		{
			"peer multicast",
			add("peers = [\"224.0.0.18\"]\n"),
			`f.toml:6: peers: "224.0.0.18" is a multicast address; allowed is the unicast address of another node, without ` +
				`prefix length`,
		},
		{
			"peer is a broadcast address",
			add("peers = [\"192.0.2.255\"]\n"),
			`f.toml:6: peers: "192.0.2.255" is the broadcast address of the network of this group's addresses; ` +
				`allowed is the unicast address of another node, without prefix length`,
		},
		{
			"peer is own VIP",
			add("peers = [\"192.0.2.100\"]\n"),
			`f.toml:6: peers: "192.0.2.100" is one of this group's own addresses; allowed is the unicast address of another ` +
				`node, without prefix length`,
		},
		{
			"no such credential",
			strings.Replace(vip, "/k/good", "credential:none", 1),
			"f.toml:5: password_file: /creds/none cannot be read: no such file or directory; its first line must be the " +
				"password, 0..19 bytes",
		},
		{
			"credential with a path",
			strings.Replace(vip, "/k/good", "credential:../good", 1),
			`f.toml:5: password_file: "../good" is not a credential name; allowed is credential:NAME as in ` +
				`LoadCredential=NAME:FILE of the systemd unit`,
		},
		{
			"hook_timeout too short",
			add("hook = \"/h/good\"\nhook_timeout = \"1ms\"\n"),
			`f.toml:7: hook_timeout: "1ms" is out of range, allowed is "100ms" to "1h"`,
		},
		{
			"hook relative",
			add("hook = \"hook\"\n"),
			`f.toml:6: hook: "hook" is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"unknown key, nothing near",
			add("foo = 1\n"),
			"f.toml:6: foo: unknown key in [[vip]]; allowed are interface, vhid, addresses, advbase, advskew, beat, " +
				"description, password, password_file, peers, hook, hook_timeout, digest, lladdr, peer_ttl, broadcast, " +
				"require_trailer, replay, accept",
		},
		{"unknown key, escapes", add("\"\\u001b[2J\" = 1\n"), "f.toml:6: \\x1b[2J: unknown key in [[vip]]; "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cfg, _, err := Parse("f.toml", []byte(tt.text), testOptions())
			if cfg != nil || err == nil {
				t.Fatalf("accepted: %v", err)
			}
			got := err.Error()
			if strings.HasSuffix(tt.want, " ") { // the rest is from the library
				got = got[:min(len(got), len(tt.want))]
			}
			if got != tt.want {
				t.Errorf("problem:\nwant %s\n got %s", tt.want, got)
			}
		})
	}
}

func TestWarnings(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, text, want string }{
		{"nothing to do", "", "f.toml: no [[vip]] is configured: vipd has nothing to do"},
		{
			"open password file",
			strings.Replace(vip, "good", "open", 1),
			"f.toml:5: password_file: /k/open is readable by every user of this host: `chmod o-rwx /k/open`",
		},
		{
			"empty password file",
			strings.Replace(vip, "good", "empty", 1),
			"f.toml:5: password_file: the first line is empty, so the key is all zero and any host on the segment can take " +
				"over the addresses",
		},
		{"skew above the wire's", vip + "advskew = 254\n", "f.toml:6: advskew: 254 is sent as 240, as FreeBSD does"},
		{"hook_timeout alone", vip + "hook_timeout = \"5s\"\n", "f.toml:6: hook_timeout: has no effect without hook"},
		{
			"peer_ttl alone",
			vip + "peer_ttl = \"any\"\n",
			"f.toml:6: peer_ttl: has no effect without peers: the TTL of multicast is always 255",
		},
		{
			"one dir for both",
			"[node]\nruntime_dir = \"/var/lib/vipd\"\n" + vip,
			"f.toml:2: runtime_dir: is the same as state_dir, so either `vipctl disable` survives a reboot or maintenance " +
				"mode does not; set runtime_dir to a directory under /run",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, warnings, err := Parse("f.toml", []byte(tt.text), testOptions())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{tt.want}, Strings(warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestInlinePasswordInOpenFile(t *testing.T) {
	t.Parallel()
	text := []byte(strings.Replace(vip, `password_file = "/k/good"`, `password = "sesame"`, 1))
	opts := testOptions()
	opts.Mode = 0o644
	_, _, err := Parse("/etc/vipd/vipd.toml", text, opts)
	const want = "/etc/vipd/vipd.toml:5: password: a password must not be in a file that every user can read: `chmod " +
		"o-rwx /etc/vipd/vipd.toml`, or use password_file"
	if err == nil || err.Error() != want {
		t.Errorf("problem:\nwant %s\n got %v", want, err)
	}
	opts.Mode = 0o640
	if _, _, err := Parse("f.toml", text, opts); err != nil {
		t.Errorf("mode 0640: %v", err)
	}
}

func TestHostnameUnknown(t *testing.T) {
	t.Parallel()
	opts := testOptions()
	opts.Hostname = func() (string, error) { return "", errors.New("no name") }
	_, _, err := Parse("f.toml", []byte(vip), opts)
	if err == nil || err.Error() != "f.toml: name: the host's name is unknown (no name); set name in [node]" {
		t.Error(err)
	}
	if _, _, err := Parse("f.toml", []byte("[node]\nname = \"x\"\n"+vip), opts); err != nil {
		t.Errorf("with a name of its own: %v", err)
	}
	opts.Hostname = func() (string, error) { return "fw\x1b[2J", nil }
	_, _, err = Parse("f.toml", []byte(vip), opts)
	if err == nil || err.Error() !=
		"f.toml: name: the host's name has a character that cannot be printed; set name in [node]" {
		t.Error(err)
	}
}

func TestTooMany(t *testing.T) {
	t.Parallel()
	var drafts []*draft
	for range maxGroups + 1 {
		drafts = append(drafts, &draft{group: Group{Addresses: make([]netip.Prefix, 4)}})
	}
	r := &report{file: "f.toml"}
	checkTogether(r, drafts)
	want := []string{
		"f.toml: vip: 16385 groups are configured, allowed are 16384",
		"f.toml: addresses: 65540 addresses are configured in total, allowed are 32768",
	}
	if diff := cmp.Diff(want, Strings(r.problems)); diff != "" {
		t.Errorf("problems (-want +got):\n%s", diff)
	}
}

func TestGroupKnowsItsLine(t *testing.T) {
	t.Parallel()
	const text = "# first\n[[vip]]\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"192.0.2.100/24\"]\n" +
		"password = \"\"\n\n" +
		"[[vip]]\ninterface = \"eth0\"\nvhid = 2\naddresses = [\"192.0.2.101/24\"]\npassword = \"\"\n"
	cfg, _, err := Parse("f", []byte(text), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if a, b := cfg.Groups[0].Line, cfg.Groups[1].Line; a != 2 || b != 8 {
		t.Errorf("lines %d and %d, want 2 and 8", a, b)
	}
}
