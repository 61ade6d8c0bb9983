// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// vipsOf returns so many addresses of each family, of which no two fill a prefix, after whole prefixes of both.
func vipsOf(each int) (out []string) {
	for i := range each {
		last := 32 + i
		if i >= 32 {
			last = 2 * i
		}
		out = append(out, fmt.Sprintf("198.18.%d.%d/16", last/256, last%256), fmt.Sprintf("2001:db8:9::1:%x/64", last))
	}
	return out
}

func addrsOf(addresses []string) (out []netip.Addr) {
	for _, text := range addresses {
		out = append(out, netip.MustParsePrefix(text).Addr())
	}
	return out
}

// manyLab is a node and a client on 198.18.0.0/16 and 2001:db8:9::/64.
type manyLab struct {
	*single
	client4, client6 netip.Addr
}

func newManyLab(t *testing.T, addresses []string) manyLab {
	t.Helper()
	s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{{Addresses: addresses}}})
	m := manyLab{s, netip.MustParseAddr("198.18.255.50"), netip.MustParseAddr("2001:db8:9::50")}
	s.node.AddAddress("eth0", "198.18.255.11/16")
	s.node.AddAddress("eth0", "2001:db8:9::11/64")
	s.client.AddAddress("eth0", m.client4.String()+"/16")
	s.client.AddAddress("eth0", m.client6.String()+"/64")
	return m
}

// questions returns for each address what asks the data plane for it, and what asks the host.
func (m manyLab) questions(addresses []string) (plane, host map[netip.Addr][]byte) {
	plane, host = map[netip.Addr][]byte{}, map[netip.Addr][]byte{}
	for _, text := range addresses {
		addr, mac := netip.MustParsePrefix(text).Addr(), m.clientPort.MAC
		if addr.Is4() {
			plane[addr], host[addr] = lab.ARPRequest(mac, m.client4, addr), lab.EchoRequest(mac, vmac, m.client4, addr)
		} else {
			plane[addr] = lab.NeighbourSolicitation(mac, m.client6, addr)
			host[addr] = lab.EchoRequest(mac, vmac, m.client6, addr)
		}
	}
	return plane, host
}

// expectServed checks that data plane and host serve all of the addresses.
func (m manyLab) expectServed(addresses []string) {
	m.Helper()
	plane, host := m.questions(addresses)
	if got := m.clientPort.Sweep(plane, lab.IsAnswer, patience); len(got) != len(addresses) {
		m.Errorf("the data plane answers for %d of %d", len(got), len(addresses))
	}
	if got := m.clientPort.Sweep(host, lab.IsEchoReply, patience); len(got) != len(addresses) {
		m.Errorf("the host delivers to %d of %d", len(got), len(addresses))
	}
}

// onHost counts what the node has: virtual addresses, local routes of vipd, and solicited-node groups of the VIPs.
func (m manyLab) onHost() (addresses, routes, groups int) {
	m.Helper()
	for line := range strings.SplitSeq(m.node.MustRun(toolTimeout, "ip", "-o", "addr", "show", "dev", "eth0"), "\n") {
		if strings.Contains(line, "198.18.") && strings.Contains(line, "/32 ") || strings.Contains(line, "2001:db8:9::1:") ||
			strings.Contains(line, "2001:db8:9::1/128") {
			addresses++
		}
	}
	for _, family := range []string{"-4", "-6"} {
		out := m.node.MustRun(toolTimeout, "ip", family, "route", "show", "table", "local", "proto", "112")
		routes += strings.Count(out, "\n")
	}
	out := m.node.MustRun(toolTimeout, "ip", "-6", "maddr", "show", "dev", "eth0")
	return addresses, routes, strings.Count(out, "ff02::1:ff01:")
}

// waitOnHost waits until the node has so many of each.
func (m manyLab) waitOnHost(what string, addresses, routes, groups int) {
	m.Helper()
	m.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		a, r, g := m.onHost()
		return a == addresses && r == routes && g == groups, fmt.Sprintf("%s: %d addresses, %d local routes and %d groups, "+
			"want %d, %d and %d", what, a, r, g, addresses, routes, groups)
	})
}

// A group of 300 VIPs of both families has local routes, and the data plane and the host serve all of them. They
// outlive a restart and kill -9 with a start after it, a route that another program deletes comes back, a reload makes
// addresses of 200 and routes of 300 again while the host delivers without a gap, and in the end nothing is left.
func TestManyVIPsAreLocalRoutes(t *testing.T) {
	t.Parallel()
	const each = 150
	all := vipsOf(each)
	few := all[:200]
	routes := 2 * (each - 32 + 1) // 32 to 63 are one prefix of each family
	m := newManyLab(t, all)
	clean := m.node.Snapshot()
	peer := newPeer(m.clientPort, addrClient)
	peer.prefix = wire.DigestPrefix(vhid, addrsOf(all), nil)
	m.node.Start()
	m.node.WaitState(group, lab.Backup, patience)
	m.waitOnHost("BACKUP", 0, 0, each)
	peer.goodbye()
	m.node.WaitAnswering(group, patience)
	m.waitOnHost("MASTER", 0, routes, each)
	m.expectServed(all)

	// A service may bind an IPv4 address; IPv6 needs a sysctl (docs/howto/bind.md).
	bind := func(addr string) error {
		return m.node.Within(func() error {
			l, err := net.Listen("tcp", net.JoinHostPort(addr, "8080"))
			if err == nil {
				err = l.Close()
			}
			return err
		})
	}
	if err := bind("198.18.0.64"); err != nil {
		t.Error(err)
	}
	for _, addr := range []string{"198.18.0.65", "2001:db8:9::1:40"} { // the first is not a VIP
		if bind(addr) == nil {
			t.Errorf("%s can be bound", addr)
		}
	}
	m.node.Set("ipv6/ip_nonlocal_bind", "1")
	if err := bind("2001:db8:9::1:40"); err != nil {
		t.Error(err)
	}

	for family, route := range map[string]string{"-4": "198.18.0.64/32", "-6": "2001:db8:9::1:40/128"} {
		m.node.MustRun(toolTimeout, "ip", family, "route", "del", "local", route, "dev", "eth0", "table", "local")
	}
	m.waitOnHost("routes were deleted", 0, routes, each)

	pinger := m.client.Ping(netip.MustParseAddr("198.18.0.64"), pingSpacing)
	pinger6 := m.client.Ping(netip.MustParseAddr("2001:db8:9::1:40"), pingSpacing)
	reload := func(addresses []string) {
		m.Helper()
		m.node.WriteConfig(lab.NodeConfig{Groups: []lab.Group{{Addresses: addresses}}})
		m.node.MustCTL("reload")
	}
	reload(few)
	m.waitOnHost("a reload with 200", len(few), 0, len(few)/2) // the kernel joins those
	m.expectServed(few)
	gone := all[len(few):]
	if _, host := m.questions(gone); len(m.clientPort.Sweep(host, lab.IsEchoReply, 200*time.Millisecond)) != 0 {
		t.Error("the host delivers to addresses that a reload took out")
	}
	reload(all)
	m.waitOnHost("a reload with 300", 0, routes, each)
	m.expectServed(all)
	for _, p := range []*lab.Pinger{pinger, pinger6} {
		if r := p.Stop(); r.Lost > 0 {
			t.Errorf("reloads: %v", r)
		}
	}

	was := m.node.Group(group)
	leave(t, m.node)
	m.node.Start()
	if now := m.node.WaitAnswering(group, patience); now.Generation != was.Generation {
		t.Errorf("generation %d after a restart, was %d", now.Generation, was.Generation)
	}
	m.waitOnHost("restarted", 0, routes, each)
	m.expectServed(all)
	m.node.Kill9()
	if _, got, _ := m.onHost(); got != routes {
		t.Errorf("%d local routes after kill -9, want %d", got, routes)
	}
	m.node.WriteConfig(lab.NodeConfig{Groups: []lab.Group{{Addresses: few}}})
	m.node.Start()
	m.node.WaitAnswering(group, upTimeout)
	m.waitOnHost("200 after kill -9", len(few), 0, len(few)/2)
	m.node.WriteConfig(lab.NodeConfig{Groups: []lab.Group{{Addresses: all}}})
	m.node.MustCTL("reload")
	m.waitOnHost("300 again", 0, routes, each)
	m.node.Kill9()
	m.node.Cleanup()
	m.waitOnHost("cleaned up", 0, 0, 0)
	m.node.Start()
	m.node.WaitAnswering(group, upTimeout)
	m.waitOnHost("started clean", 0, routes, each)
	m.node.Stop()
	assertNothingLeft(t, m.node, clean)
}
