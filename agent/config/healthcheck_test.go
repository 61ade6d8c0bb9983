// SPDX-License-Identifier: Apache-2.0

package config

import (
	"strings"
	"testing"
	"time"
)

func TestCheckProblems(t *testing.T) {
	t.Parallel()
	// check is a [[check]] from line 6.
	check := func(lines string) string { return vip + "[[check]]\n" + lines }
	of := func(kind, lines string) string {
		return check("name = \"a\"\ntype = \"" + kind + "\"\n" + lines + "\n")
	}
	const (
		types      = `allowed are "interface", "route", "command", "tcp", "icmp", "arp" and "http"`
		anIface    = `; allowed is the name of a network interface, 1..15 bytes without blanks, / and :`
		aRoute     = `; allowed is a prefix of the main routing table, such as "0.0.0.0/0" or "2001:db8::/32"`
		aHostPort  = `; allowed is HOST:PORT, such as "192.0.2.1:443" or "[2001:db8::1]:443"`
		aURL       = `; allowed is a URL, such as "https://127.0.0.1:6443/livez"`
		anIPv4     = `; allowed is an IPv4 address, such as "192.0.2.1"`
		aUnicast   = `; allowed is a unicast address, such as "192.0.2.1"`
		theCommand = `; set the program and its arguments, such as ["/usr/local/bin/check", "argument"]`
		good       = "name = \"a\"\ntype = \"interface\"\ntarget = \"eth1\"\n"
	)
	for _, tt := range []struct{ name, text, want string }{
		{
			"of wrong type",
			"check = 1\n" + vip,
			"f.toml:1: check: must be an array of tables, each written [[check]], not an integer",
		},
		{
			"nothing",
			check(""),
			"f.toml:6: name: missing in this [[check]]; it names the demotion check:NAME in the status\n" +
				"f.toml:6: type: missing in this [[check]]; " + types,
		},
		{
			"unknown key",
			check(good + "intervall = \"1s\"\n"),
			"f.toml:10: intervall: unknown key in [[check]]; did you mean interval? allowed are name, type, target, " +
				"status, ca_file, insecure, command, interface, interval, timeout, rise, fall, demotion",
		},
		{
			"name",
			check(strings.Replace(good, `"a"`, `"Up_link"`, 1)),
			`f.toml:7: name: "Up_link" is not allowed; allowed are 1..63 of a-z, 0-9 and -`,
		},
		{
			"name empty",
			check(strings.Replace(good, `"a"`, `""`, 1)),
			`f.toml:7: name: "" is not allowed; allowed are 1..63 of a-z, 0-9 and -`,
		},
		{
			"name twice",
			check(good + "[[check]]\n" + good),
			`f.toml:11: name: "a" is already the [[check]] in line 6; allowed is each name once`,
		},
		{"type", of("ping", ""), `f.toml:8: type: "ping" is unknown, ` + types},
		{"no target", of("tcp", ""), "f.toml:6: target: missing in this [[check]]" + aHostPort},
		{"target type", of("tcp", "target = 443"), "f.toml:9: target: must be a string in quotes, not an integer"},
		{
			"interface",
			of("interface", `target = "a/b"`),
			`f.toml:9: target: "a/b" is not a name that the kernel allows` + anIface,
		},
		{"route", of("route", `target = "default"`), `f.toml:9: target: "default" is not a prefix` + aRoute},
		{
			"route host bits",
			of("route", `target = "10.1.0.1/8"`),
			`f.toml:9: target: "10.1.0.1/8" has bits beyond its prefix length, the network is 10.0.0.0/8` + aRoute,
		},
		{
			"route mapped",
			of("route", `target = "::ffff:10.0.0.0/104"`),
			`f.toml:9: target: "::ffff:10.0.0.0/104" is an IPv4-mapped IPv6 address` + aRoute,
		},
		{"tcp without port", of("tcp", `target = "192.0.2.1"`), `f.toml:9: target: "192.0.2.1" is not HOST:PORT` + aHostPort},
		{
			"tcp port",
			of("tcp", `target = "192.0.2.1:https"`),
			`f.toml:9: target: "192.0.2.1:https" has no port in 1..65535` + aHostPort,
		},
		{
			"tcp port 0",
			of("tcp", `target = "192.0.2.1:0"`),
			`f.toml:9: target: "192.0.2.1:0" has no port in 1..65535` + aHostPort,
		},
		{"tcp host", of("tcp", `target = ":80"`), `f.toml:9: target: ":80" has no host before the port` + aHostPort},
		{
			"tcp host with blank",
			of("tcp", `target = "a b:80"`),
			`f.toml:9: target: "a b:80" has no host before the port` + aHostPort,
		},
		{
			"http without scheme",
			of("http", `target = "127.0.0.1:80/x"`),
			`f.toml:9: target: "127.0.0.1:80/x" is not a URL` + aURL,
		},
		{
			"http scheme",
			of("http", `target = "ftp://127.0.0.1/"`),
			`f.toml:9: target: "ftp://127.0.0.1/" does not begin with http:// or https://` + aURL,
		},
		{"http host", of("http", `target = "https:///x"`), `f.toml:9: target: "https:///x" has no host` + aURL},
		{
			"http odd host",
			of("http", `target = "http://a%20b/"`),
			`f.toml:9: target: "http://a%20b/" is not a URL` + aURL,
		},
		{
			"http port",
			of("http", `target = "http://[::1]:0/"`),
			`f.toml:9: target: "http://[::1]:0/" has no port in 1..65535` + aURL,
		},
		{
			"http user",
			of("http", `target = "http://u:p@h/"`),
			`f.toml:9: target: "http://u:p@h/" has a user name, which the check would not send` + aURL,
		},
		{
			"http status",
			of("http", "target = \"http://h/\"\nstatus = \"200-\""),
			`f.toml:10: status: "200-" is not a status; allowed are numbers and ranges in 200..599, such as "200", ` +
				`"200-399" or "200,401-403"`,
		},
		{
			"http status type",
			of("http", "target = \"http://h/\"\nstatus = 200"),
			"f.toml:10: status: must be a string in quotes, not an integer",
		},
		{
			"http TLS keys",
			of("http", "target = \"http://h/\"\nca_file = \"/ca\""),
			"f.toml:10: ca_file: is for https:// targets only; leave it out",
		},
		{
			"http insecure and ca_file",
			of("http", "target = \"https://h/\"\nca_file = \"/ca\"\ninsecure = true"),
			"f.toml:11: insecure: is set together with ca_file; keep one of the two",
		},
		{
			"http relative ca_file",
			of("http", "target = \"https://h/\"\nca_file = \"ca\""),
			`f.toml:10: ca_file: "ca" is not allowed; use an absolute path, one that begins with /`,
		},
		{
			"http keys for tcp",
			of("tcp", "target = \"192.0.2.1:80\"\nstatus = \"200\"\ninsecure = false"),
			"f.toml:10: status: is for type \"http\" only; leave it out\n" +
				"f.toml:11: insecure: is for type \"http\" only; leave it out",
		},
		{"icmp name", of("icmp", `target = "gateway"`), `f.toml:9: target: "gateway" is not an address` + aUnicast},
		{
			"icmp mapped",
			of("icmp", `target = "::ffff:192.0.2.1"`),
			`f.toml:9: target: "::ffff:192.0.2.1" is an IPv4-mapped IPv6 address` + aUnicast,
		},
		{
			"icmp multicast",
			of("icmp", `target = "224.0.0.1"`),
			`f.toml:9: target: "224.0.0.1" is a multicast address` + aUnicast,
		},
		{
			"icmp zone",
			of("icmp", `target = "fe80::1%eth0"`),
			`f.toml:9: target: "fe80::1%eth0" has a zone, set the interface with the key interface` + aUnicast,
		},
		{
			"icmp link-local",
			of("icmp", `target = "fe80::1"`),
			`f.toml:9: target: "fe80::1" is link-local; set the interface with the key interface`,
		},
		{
			"icmp interface",
			of("icmp", "target = \"192.0.2.1\"\ninterface = \"\""),
			`f.toml:10: interface: "" is empty` + anIface,
		},
		{
			"arp IPv6",
			of("arp", `target = "2001:db8::1"`),
			`f.toml:9: target: "2001:db8::1" is not an IPv4 address, and ARP has no others` + anIPv4,
		},
		{"arp loopback", of("arp", `target = "127.0.0.1"`), `f.toml:9: target: "127.0.0.1" is a loopback address` + anIPv4},
		{
			"interface for tcp",
			of("tcp", "target = \"192.0.2.1:80\"\ninterface = \"eth0\""),
			`f.toml:10: interface: is for the types "icmp" and "arp" only; leave it out`,
		},
		{
			"command for tcp",
			of("tcp", "target = \"192.0.2.1:80\"\ncommand = [\"/bin/true\"]"),
			`f.toml:10: command: is for type "command" only; leave it out`,
		},
		{"no command", of("command", ""), "f.toml:6: command: missing in this [[check]]" + theCommand},
		{"command empty", of("command", "command = []"), "f.toml:9: command: is empty" + theCommand},
		{
			"command as string",
			of("command", `command = "/bin/true"`),
			`f.toml:9: command: must be an array of strings, such as ["/usr/local/bin/check", "argument"], not a string`,
		},
		{
			"command relative",
			of("command", `command = ["true"]`),
			`f.toml:9: command: "true" is not allowed as the program; use an absolute path, one that begins with /: no shell ` +
				`searches for it`,
		},
		{
			"command with zero byte",
			of("command", `command = ["/bin/true", "\u0000"]`),
			`f.toml:9: command: has a zero byte, which no argument can have`,
		},
		{
			"command with target",
			of("command", "command = [\"/bin/true\"]\ntarget = \"-\""),
			`f.toml:10: target: is not for type "command"; put the program and its arguments into command`,
		},
		{
			"interval",
			check(good + "interval = \"99ms\"\n"),
			`f.toml:10: interval: "99ms" is out of range, allowed is "100ms" to "1h"`,
		},
		{
			"timeout 0",
			check(good + "timeout = \"0s\"\n"),
			`f.toml:10: timeout: "0s" is out of range, allowed is "10ms" to "1h"`,
		},
		{
			"timeout over the default interval",
			check(good + "timeout = \"1001ms\"\n"),
			`f.toml:10: timeout: "1.001s" is longer than the interval of 1s; allowed is up to the interval, since one run ` +
				`ends before the next begins`,
		},
		{
			"timeout over interval",
			check(good + "timeout = \"2m\"\ninterval = \"1m\"\n"),
			`f.toml:10: timeout: "2m" is longer than the interval of 1m; allowed is up to the interval, since one run ends ` +
				`before the next begins`,
		},
		{"rise", check(good + "rise = 0\n"), "f.toml:10: rise: 0 is out of range, allowed is 1..255"},
		{"fall", check(good + "fall = 256\n"), "f.toml:10: fall: 256 is out of range, allowed is 1..255"},
		{"demotion", check(good + "demotion = 0\n"), "f.toml:10: demotion: 0 is out of range, allowed is 1..255"},
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
	many := vip
	for i := range maxChecks + 1 {
		many += "[[check]]\n" + strings.Replace(good, `"a"`, `"a`+strings.Repeat("b", i%60)+strings.Repeat("c", i/60)+`"`, 1)
	}
	if _, _, err := parseText(many); err == nil ||
		err.Error() != "f.toml:1030: check: 257 checks are configured, allowed are 256" {
		t.Errorf("too many: %v", err)
	}
}

func TestCheckTargets(t *testing.T) {
	t.Parallel()
	for _, lines := range []string{
		"type = \"interface\"\ntarget = \"lo\"",
		"type = \"route\"\ntarget = \"0.0.0.0/0\"",
		"type = \"route\"\ntarget = \"::/0\"",
		"type = \"tcp\"\ntarget = \"db-1.example.org:5432\"",
		"type = \"tcp\"\ntarget = \"[fe80::1%eth0]:80\"",
		"type = \"tcp\"\ntarget = \"127.0.0.1:1\"",
		"type = \"icmp\"\ntarget = \"127.0.0.1\"",
		"type = \"icmp\"\ntarget = \"fe80::1\"\ninterface = \"eth0\"",
		"type = \"arp\"\ntarget = \"192.0.2.1\"",
		"type = \"icmp\"\ntarget = \"2001:db8::1\"\ninterval = \"100ms\"",
	} {
		cfg, warnings, err := parseText(vip + "[[check]]\nname = \"a\"\n" + lines + "\n")
		if err != nil || len(warnings) > 0 {
			t.Errorf("%s: %v, %v", lines, err, warnings)
			continue
		}
		if c := cfg.Checks[0]; c.Timeout != min(time.Second, c.Interval) || c.Rise != 2 || c.Fall != 3 || c.Demotion != 240 {
			t.Errorf("%s: defaults %+v", lines, c)
		}
	}
}
