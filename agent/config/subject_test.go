// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
)

// twoVIPs have addresses of both families, one of them link-local.
const twoVIPs = vip + `[[vip]]
interface = "eth1"
vhid = 2
addresses = ["2001:db8::100/64", "fe80::100/64", "198.51.100.5/32"]
password_file = "/k/good"
`

// A check of a virtual address is refused in every spelling of the address; one of this node is
// not.
func TestChecksOfTheClusterAreRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, kind, lines string
		problem, warning  string // "" is none
	}{
		{
			"arp",
			"arp",
			`target = "192.0.2.100"`,
			`f.toml:14: target: "192.0.2.100" is an address of the [[vip]] in line 4, which is on the node that is MASTER`,
			"",
		},
		{"arp from another interface", "arp", "target = \"192.0.2.100\"\ninterface = \"eth7\"", `line 4`, ""},
		{"icmp of another group", "icmp", `target = "198.51.100.5"`, `line 9`, ""},
		{
			"icmp, another spelling",
			"icmp",
			`target = "2001:0DB8:0:0::0100"`,
			`"2001:0DB8:0:0::0100" (2001:db8::100) is an address of the [[vip]] in line 9`,
			"",
		},
		{"icmp link-local", "icmp", "target = \"fe80::100\"\ninterface = \"eth1\"", `line 9`, ""},
		{"icmp link-local elsewhere", "icmp", "target = \"fe80::100\"\ninterface = \"eth7\"", "", ""},
		{"tcp", "tcp", `target = "192.0.2.100:443"`, `"192.0.2.100:443" is an address`, ""},
		{"tcp, mapped", "tcp", `target = "[::ffff:192.0.2.100]:443"`, `line 4`, ""},
		{"tcp, mapped in hex", "tcp", `target = "[::ffff:c000:264]:443"`, `line 4`, ""},
		{"tcp with zone", "tcp", `target = "[fe80::100%eth1]:443"`, `line 9`, ""},
		{"tcp with another zone", "tcp", `target = "[fe80::100%eth7]:443"`, "", ""},
		{"tcp by name", "tcp", `target = "vip.example:443"`, `"vip.example:443" (192.0.2.100) is an address`, ""},
		{"tcp by name with a dot", "tcp", `target = "vip.example.:443"`, `line 4`, ""},
		{"tcp to another name", "tcp", `target = "router.example:443"`, "", ""},
		{"tcp to this host", "tcp", `target = "192.0.2.11:443"`, "", ""},
		{"tcp to a neighbour", "tcp", `target = "192.0.2.1:443"`, "", ""},
		{
			"route to the address",
			"route",
			`target = "192.0.2.100/32"`,
			`line 4, whose route is on the node that is MASTER`,
			"",
		},
		{
			"route to the network",
			"route",
			`target = "192.0.2.0/24"`,
			"",
			`f.toml:14: target: "192.0.2.0/24" is the network of 192.0.2.100/24`,
		},
		{"default route", "route", `target = "0.0.0.0/0"`, "", ""},
		{
			"arp to this host",
			"arp",
			`target = "192.0.2.11"`,
			"",
			`f.toml:14: target: "192.0.2.11" is an address of this host, which does not answer its own ARP requests`,
		},
		{"icmp to this host", "icmp", `target = "192.0.2.11"`, "", `always answers itself`},
		{
			"command",
			"command",
			`command = ["/bin/ping", "-c1", "192.0.2.100"]`,
			"",
			`f.toml:14: command: "192.0.2.100" names 192.0.2.100, an address of the [[vip]] in line 4`,
		},
		{
			"command with a URL",
			"command",
			`command = ["/bin/curl", "https://192.0.2.100:8443/health"]`,
			"",
			`names 192.0.2.100`,
		},
		{
			"command with an IPv6 URL",
			"command",
			`command = ["/bin/curl", "http://[2001:db8::100]/"]`,
			"",
			`names 2001:db8::100`,
		},
		{"command to a neighbour", "command", `command = ["/bin/ping", "-c1", "192.0.2.1", "192.0.2.1000"]`, "", ""},
		{
			"command that is missing",
			"command",
			`command = ["/h/none"]`,
			"",
			"f.toml:14: command: /h/none is not there\nf.toml:14: command: /h/none is not safe",
		},
		{"interface", "interface", `target = "eth0"`, "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, order := range []string{"after", "before"} {
				check := "[[check]]\nname = \"a\"\ntype = \"" + tt.kind + "\"\n" + tt.lines + "\n"
				text := twoVIPs + check
				if order == "before" {
					text = check + twoVIPs
				}
				_, warnings, err := parseText(text)
				problem := ""
				if err != nil {
					problem = err.Error()
				}
				warned := strings.Join(Strings(warnings), "\n")
				for _, m := range []struct{ what, want, got string }{
					{"problem", tt.problem, problem},
					{"warning", tt.warning, warned},
				} {
					want := m.want
					if order == "before" && want != "" { // the lines are others
						want = "is"
					}
					if (want == "") != (m.got == "") || !strings.Contains(m.got, want) {
						t.Errorf("%s %s:\nwant %s\n got %s", m.what, order, want, m.got)
					}
				}
			}
		})
	}
}

// While the nodes have different lists, an address of the other list is virtual too.
func TestChecksOfAcceptedAddressesAreRefused(t *testing.T) {
	t.Parallel()
	accepting := vip + "[[vip.accept]]\naddresses = [\"192.0.2.100/24\", \"192.0.2.101/24\"]\n"
	for _, tt := range []struct{ kind, lines, want string }{
		{"tcp", `target = "192.0.2.101:443"`, `target: "192.0.2.101:443" is an address of the [[vip.accept]] in line 6`},
		{"route", `target = "192.0.2.101/32"`, `"192.0.2.101/32" is an address of the [[vip.accept]] in line 6, whose route`},
		{"icmp", `target = "192.0.2.100"`, `"192.0.2.100" is an address of the [[vip]] in line 4`},
		{
			"command",
			`command = ["/bin/ping", "192.0.2.101"]`,
			`names 192.0.2.101, an address of the [[vip.accept]] in line 6`,
		},
		{"icmp", `target = "192.0.2.102"`, ""},
	} {
		text := accepting + "[[check]]\nname = \"a\"\ntype = \"" + tt.kind + "\"\n" + tt.lines + "\n"
		_, warnings, err := parseText(text)
		got := strings.Join(Strings(warnings), "\n")
		if err != nil {
			got += err.Error()
		}
		if (tt.want == "") != (got == "") || !strings.Contains(got, tt.want) {
			t.Errorf("%s %s:\nwant %s\n got %s", tt.kind, tt.lines, tt.want, got)
		}
	}
}

// Hooks are examined as the programs of checks are.
func TestHooksAreExamined(t *testing.T) {
	t.Parallel()
	_, warnings, err := parseText(vip + "hook = \"/h/none\"\n")
	if err != nil {
		t.Fatal(err)
	}
	const want = "f.toml:6: hook: /h/none is not there\nf.toml:6: hook: /h/none is not safe"
	if got := strings.Join(Strings(warnings), "\n"); got != want {
		t.Errorf("warnings: %s", got)
	}
}
