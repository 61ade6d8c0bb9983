// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

const ownAddress = "own_address"

// fastVIPs returns a group that takes over within half a second.
func fastVIPs(addresses ...string) lab.NodeConfig {
	return lab.NodeConfig{Groups: []lab.Group{{Addresses: addresses, AdvSkew: 25, Extra: "advbase = 0"}}}
}

// ordinary returns every address of a host that vipd did not make, as iproute2 shows it. Seconds left to live are not
// compared.
func ordinary(h *lab.Host) string {
	var out []string
	for line := range strings.Lines(h.MustRun(toolTimeout, "ip", "-o", "addr", "show")) {
		if strings.Contains(line, ":carp") && strings.Contains(line, "dynamic") ||
			strings.Contains(line, "nodad") && strings.Contains(line, "preferred_lft 0sec") {
			continue
		}
		words := strings.Fields(line)
		for i, w := range words {
			if n, ok := strings.CutSuffix(w, "sec"); ok && n != "0" {
				words[i] = "Nsec"
			}
		}
		out = append(out, strings.Join(words, " "))
	}
	return strings.Join(out, "\n")
}

// reaches checks that the client reaches the node's own stack by the address: it asks for it, and the answer passes the
// fence.
func (s *single) reaches(address netip.Addr) {
	s.Helper()
	s.client.MustRun(toolTimeout, "ip", "neigh", "flush", "dev", "eth0")
	p := s.client.Ping(address, 20*time.Millisecond)
	p.AwaitAnswer(time.Now(), patience)
	p.Stop()
}

// A virtual address that is an ordinary one of the host: the host keeps its network and its address, the group waits in
// INIT, and takes part as soon as the address is gone.
func TestOrdinaryAddressKeepsTheGroupInInit(t *testing.T) {
	t.Parallel()
	vip6 := netip.MustParseAddr("2001:db8::100")
	s := newSingle(t, fastVIPs(vip.String()+"/24", vip6.String()+"/64"))
	s.node.AddAddress("eth0", "2001:db8::11/64")
	s.client.AddAddress("eth0", "2001:db8::50/64")
	s.node.MustRun(toolTimeout, "ip", "link", "add", "other0", "up", "type", "bridge")
	s.node.MustRun(toolTimeout, "ip", "link", "add", "link", "eth0", "name", "mv0", "up", "type", "macvlan", "mode",
		"bridge")
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout) // the control: without an ordinary address it serves both

	for _, c := range []struct {
		name, address, dev, more string
		reach                    netip.Addr // what the client reaches on this host by it
	}{
		{"IPv4 with its prefix", "192.0.2.100/24", "eth0", "", vip},
		{"IPv4 alone", "192.0.2.100/32", "lo", "", vip},
		{"IPv4 for a time", "192.0.2.100/25", "eth0", "valid_lft 3000 preferred_lft 2000", vip},
		{"IPv4 on another interface", "192.0.2.100/32", "other0", "", vip},
		{"IPv4 on a macvlan", "192.0.2.100/24", "mv0", "noprefixroute", netip.Addr{}},
		{"IPv6 on another interface", "2001:db8::100/128", "other0", "nodad", netip.Addr{}},
		{"IPv6 on lo", "2001:db8::100/128", "lo", "", netip.Addr{}},
	} {
		s.node.WaitAnswering(group, upTimeout)
		s.node.MustRun(
			toolTimeout,
			"ip",
			append([]string{"addr", "add", c.address, "dev", c.dev}, strings.Fields(c.more)...)...)
		before := ordinary(s.node.Host)
		g := s.node.WaitFor(group, "is INIT: "+c.name, patience, func(g lab.GroupStatus) bool {
			return g.State == lab.Init && g.Reason == ownAddress
		})
		if !strings.Contains(g.Detail, "ip addr del "+c.address+" dev "+c.dev) {
			t.Errorf("%s: the detail does not say what to do: %q", c.name, g.Detail)
		}
		if c.reach.IsValid() {
			s.reaches(c.reach)
		}
		if after := ordinary(s.node.Host); after != before {
			t.Errorf("%s: addresses of the host before\n%s\nand after\n%s", c.name, before, after)
		}
		s.node.MustRun(toolTimeout, "ip", "addr", "del", c.address, "dev", c.dev)
	}
	g := s.node.WaitAnswering(group, upTimeout)
	if g.Reason != "master_timeout" {
		t.Errorf("the group is MASTER for %s", g.Reason)
	}
	s.node.Stop()
}

// The same before vipd starts, with the address in each form that a migration leaves, and for IPv6 as the host's own
// prefix.
func TestOrdinaryAddressSurvivesStartAndStop(t *testing.T) {
	t.Parallel()
	vip6 := netip.MustParseAddr("2001:db8::100")
	s := newSingle(t, fastVIPs(vip.String()+"/24", vip6.String()+"/64"))
	s.client.AddAddress("eth0", "2001:db8::50/64")
	for _, c := range []struct {
		address, more string
		reach         netip.Addr
	}{
		{"192.0.2.100/24", "label eth0:carp1", vip},
		{"192.0.2.100/32", "scope link", vip},
		{"192.0.2.100/32", "valid_lft 3600 preferred_lft 3600", vip},
		{"2001:db8::100/64", "nodad", vip6},
		{"2001:db8::100/128", "nodad", vip6},
		{"2001:db8::100/64", "nodad valid_lft 600 preferred_lft 300", vip6},
	} {
		s.node.MustRun(
			toolTimeout,
			"ip",
			append([]string{"addr", "add", c.address, "dev", "eth0"}, strings.Fields(c.more)...)...)
		if c.address == "2001:db8::100/128" {
			s.node.MustRun(toolTimeout, "ip", "-6", "route", "add", "2001:db8::/64", "dev", "eth0")
		}
		before := ordinary(s.node.Host)
		s.node.Start()
		s.node.WaitFor(group, "is INIT: "+c.address, patience, func(g lab.GroupStatus) bool {
			return g.State == lab.Init && g.Reason == ownAddress
		})
		s.reaches(c.reach)
		if code, out := s.node.CTL("doctor"); code == 0 || !strings.Contains(out, "ip addr del "+c.address+" dev eth0") {
			t.Errorf("%s: doctor (exit code %d) does not name it:\n%s", c.address, code, out)
		}
		if out := s.node.MustCTL("why", group); !strings.Contains(out, c.address) {
			t.Errorf("%s: why does not name it:\n%s", c.address, out)
		}
		s.node.Stop()
		if after := ordinary(s.node.Host); after != before {
			t.Errorf("%s: addresses of the host before\n%s\nand after\n%s", c.address, before, after)
		}
		if _, out := s.node.VIPD("--config", s.node.ConfigFile(), "--check"); !strings.Contains(out, c.address) {
			t.Errorf("%s: --check does not name it:\n%s", c.address, out)
		}
		s.node.MustRun(toolTimeout, "ip", "addr", "del", c.address, "dev", "eth0")
	}
}

// The address of a MASTER is made an ordinary one: the other node takes over at once, and the address stays as
// it was made.
func TestMasterHandsOverWhenItsAddressBecomesOrdinary(t *testing.T) {
	t.Parallel()
	vip6 := "2001:db8::100"
	config := func(skew int) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip.String() + "/24", vip6 + "/64"}, AdvSkew: skew}}}
	}
	p := newPair(t, config(0), config(20))
	p.a.AddAddress("eth0", "2001:db8::11/64")
	p.b.AddAddress("eth0", "2001:db8::12/64")
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	for _, make := range [][]string{
		{"addr", "add", "192.0.2.100/24", "dev", "eth0"},
		{"addr", "change", "192.0.2.100/32", "dev", "eth0", "valid_lft", "forever", "preferred_lft", "forever"},
		{"addr", "change", vip6 + "/128", "dev", "eth0", "valid_lft", "forever", "preferred_lft", "forever"},
		{"addr", "change", vip6 + "/128", "dev", "eth0", "valid_lft", "5", "preferred_lft", "3"},
	} {
		p.a.WaitAnswering(group, upTimeout)
		p.b.WaitState(group, lab.Backup, patience)
		p.a.MustRun(toolTimeout, "ip", make...)
		made := ordinary(p.a.Host)
		p.b.WaitAnswering(group, 1500*time.Millisecond) // long before the master-down time
		p.a.WaitFor(group, "is INIT", patience, func(g lab.GroupStatus) bool {
			return g.State == lab.Init && g.Reason == ownAddress
		})
		if now := ordinary(p.a.Host); now != made && make[len(make)-1] != "3" {
			t.Errorf("%v: addresses as made\n%s\nand now\n%s", make, made, now)
		}
		if make[len(make)-1] != "3" { // that one leaves by itself
			p.a.MustRun(toolTimeout, "ip", "addr", "del", make[2], "dev", "eth0")
		}
	}
	p.a.WaitAnswering(group, upTimeout)
}

// What an earlier vipd left is its own, and what an operator made of it meanwhile is not.
func TestNextVipdTellsItsAddressesFromTheHosts(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	s.node.Kill9()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout) // the control: its own are adopted
	s.node.Kill9()
	s.node.MustRun(toolTimeout, "ip", "addr", "change", "192.0.2.100/32", "dev", "eth0", "valid_lft", "forever",
		"preferred_lft", "forever")
	made := ordinary(s.node.Host)
	s.node.Start()
	s.node.WaitFor(group, "is INIT", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Init && g.Reason == ownAddress
	})
	s.node.Kill9()
	s.node.Cleanup()
	if now := ordinary(s.node.Host); now != made {
		t.Errorf("addresses as made\n%s\nand now\n%s", made, now)
	}
}
