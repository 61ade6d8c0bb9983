// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/lab"
)

// A tunnel has no receive filter: a MASTER on VXLAN answers, and doctor finds no fault.
func TestDoctorFindsNoFilterOnVXLAN(t *testing.T) {
	t.Parallel()
	config := oneVIP(0)
	config.Groups[0].Interface = "vx0"
	s := newSingle(t, config)
	asShipped(t, s.node)
	for host, own := range map[*lab.Host]string{s.node.Host: addrA.String(), s.client: addrClient.String()} {
		peer := map[string]string{addrA.String(): addrClient.String(), addrClient.String(): addrA.String()}[own]
		host.MustRun(toolTimeout, "ip", "link", "add", "vx0", "type", "vxlan", "id", "7", "dstport", "4789", "local", own,
			"remote", peer)
		host.SetUp("vx0")
	}
	s.node.AddAddress("vx0", "198.51.100.1/24")
	s.client.AddAddress("vx0", "198.51.100.2/24")
	const group = "vx0@1"
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	if d := examine(t, s.node); len(d.Findings) > 0 {
		t.Errorf("found %+v", d.Findings)
	}
	if out := s.node.Proc().Output(); strings.Contains(out, "not complete") || strings.Contains(out, "receive filter") {
		t.Errorf("the log complains of a filter:\n%s", out)
	}
	s.client.MustRun(toolTimeout, "ip", "route", "add", vip.String(), "dev", "vx0")
	s.client.MustRun(toolTimeout, "ping", "-c", "1", "-W", "3", vip.String())
	s.node.Stop()
	if out := s.node.Proc().Output(); strings.Contains(out, "not removed") {
		t.Errorf("the log complains at the stop:\n%s", out)
	}
}

// A third router answers for the addresses, for whoever has an address of his own. It is named by its MAC, the master
// is not, and nobody's neighbour table changes by asking.
func TestDoctorNamesProxyARP(t *testing.T) {
	t.Parallel()
	config := oneVIP(0)
	config.Groups[0].Addresses = append(config.Groups[0].Addresses, "2001:db8::100/64")
	other := config
	other.Groups = append([]lab.Group{}, config.Groups...)
	other.Groups[0].AdvSkew = 100
	p := newPair(t, config, other)
	asShipped(t, p.a, p.b)
	for h, a := range map[*lab.Host]string{
		p.a.Host: "2001:db8::11/64", p.b.Host: "2001:db8::12/64",
		p.client: "2001:db8::50/64",
	} {
		h.AddAddress("eth0", a)
	}
	router := p.NewHost("router")
	port := p.segment.Join(router, "eth0", "192.0.2.60/24", "2001:db8::60/64")
	behind := p.NewSegment("behind")
	behind.Join(router, "eth1", "203.0.113.1/24")
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
	quiet := map[*lab.Node]bool{p.a: true, p.b: true}
	for n := range quiet {
		if d := examine(t, n); len(d.Findings) > 0 {
			t.Errorf("found before: %+v", d.Findings)
		}
	}
	router.Set("ipv4/ip_forward", "1")
	router.Set("ipv6/conf/all/forwarding", "1")
	router.Set("ipv4/conf/eth0/proxy_arp", "1")
	router.MustRun(toolTimeout, "ip", "route", "add", vip.String()+"/32", "dev", "eth1")
	router.Set("ipv6/conf/eth0/proxy_ndp", "1")
	router.MustRun(toolTimeout, "ip", "-6", "route", "add", "2001:db8::100/128", "dev", "eth1")
	router.MustRun(toolTimeout, "ip", "-6", "neigh", "add", "proxy", "2001:db8::100", "dev", "eth0")
	mac := net.HardwareAddr(port.MAC[:]).String()
	for _, n := range []*lab.Node{p.a, p.b} {
		f := finding(t, examine(t, n), "address_conflict", group)
		says(t, f, mac)
		if strings.Contains(f.Cause, "00:00:5e:00:01:01") || !strings.Contains(f.Advice, "proxy_arp") {
			t.Errorf("%+v", f)
		}
		for _, a := range []string{vip.String(), "2001:db8::100"} {
			if !strings.Contains(strings.Join(f.Evidence, "\n"), a) {
				t.Errorf("%s is not in the evidence %q", a, f.Evidence)
			}
		}
	}
	// What b knew of the master it still knows, although the proxy answers later.
	virtual := net.HardwareAddr(vmac[:]).String()
	p.b.MustRun(toolTimeout, "ip", "neigh", "replace", vip.String(), "lladdr", virtual, "dev", "eth0", "nud", "stale")
	finding(t, examine(t, p.b), "address_conflict", group)
	if got := p.b.Neighbour("eth0", vip); got != virtual {
		t.Errorf("b believes that %s is at %s, want %s", vip, got, virtual)
	}
}

// A hypervisor lets only the NICs' own MACs through, both ways, on both ports: both nodes are MASTER, and each says
// why.
func TestDoctorNamesMACSpoofingFilter(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	asShipped(t, p.a, p.b)
	p.start()
	for _, n := range []*lab.Node{p.a, p.b} {
		if d := examine(t, n); len(d.Findings) > 0 {
			t.Errorf("found before: %+v", d.Findings)
		}
	}
	p.segment.NFT("add table bridge port", "add chain bridge port forward { type filter hook forward priority 0; }",
		"add rule bridge port forward iifname { a, b } ether saddr 00:00:5e:00:01:01 drop",
		"add rule bridge port forward oifname { a, b } ether daddr 00:00:5e:00:01:01 drop")
	p.b.WaitAnswering(group, patience)
	for _, n := range []*lab.Node{p.a, p.b} {
		f := finding(t, examine(t, n), "mac_spoofing_filter", group)
		says(t, f, "MAC filter", "00:00:5e:00:01:01")
		if strings.Contains(f.Cause+f.Advice, "native XDP") || !strings.Contains(f.Advice, "Forged transmits") {
			t.Errorf("%+v", f)
		}
	}
}

// A BACKUP that uses the address as the source of its own packets, by SNAT or by a bind, has no network: said at once
// in its status, and with the way by doctor.
func TestDoctorNamesSNATOnBackup(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	asShipped(t, p.a, p.b)
	p.start()
	p.b.MustRun(toolTimeout, "nft", "add", "table", "ip", "nat")
	p.b.MustRun(toolTimeout, "nft", "add", "chain", "ip", "nat", "post", "{ type nat hook postrouting priority 100; }")
	if d := examine(t, p.b); len(d.Findings) > 0 {
		t.Errorf("found before: %+v", d.Findings)
	}
	p.b.MustRun(toolTimeout, "nft", "add", "rule", "ip", "nat", "post", "oifname", "eth0", "ip", "protocol", "udp",
		"snat", "to", vip.String())
	send := func() {
		_ = p.b.Within(func() error {
			c, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(addrClient, 9)))
			if err != nil {
				return err
			}
			defer func() { _ = c.Close() }()
			_, err = c.Write([]byte("dropped by the fence"))
			return err
		})
	}
	repeat(t, 200*time.Millisecond, send)
	f := finding(t, examine(t, p.b), "fenced_traffic", group)
	says(t, f, vip.String(), "SNAT")
	if !strings.Contains(strings.Join(f.Evidence, "\n"), vip.String()+" to "+addrClient.String()) {
		t.Errorf("evidence %q", f.Evidence)
	}
	p.b.WaitFor(group, "names it among its faults", patience, func(lab.GroupStatus) bool {
		return strings.Contains(p.b.MustCTL("status"), "fenced_traffic")
	})
}

// A program that is bound to the address sends from it on a BACKUP: over IPv6, too, it is named while it does, and no
// longer when it has ended.
func TestDoctorNamesBoundProgramOnBackup(t *testing.T) {
	t.Parallel()
	vip6 := netip.MustParseAddr("2001:db8::100")
	config := lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip6.String() + "/64"}}}}
	other := lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip6.String() + "/64"}, AdvSkew: 100}}}
	p := newPair(t, config, other)
	asShipped(t, p.a, p.b)
	for h, a := range map[*lab.Host]string{
		p.a.Host: "2001:db8::11/64", p.b.Host: "2001:db8::12/64",
		p.client: "2001:db8::50/64",
	} {
		h.AddAddress("eth0", a)
	}
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
	client := netip.MustParseAddr("2001:db8::50")
	p.b.MustRun(toolTimeout, "ip", "-6", "neigh", "replace", client.String(), "lladdr",
		net.HardwareAddr(p.clientPort.MAC[:]).String(), "dev", "eth0", "nud", "permanent")
	send := func() {
		err := p.b.Within(func() error {
			fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return errors.Join(
				unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_FREEBIND, 1),
				unix.Bind(fd, &unix.SockaddrInet6{Addr: vip6.As16()}),
				unix.Sendto(fd, []byte("from a bound socket"), 0, &unix.SockaddrInet6{Addr: client.As16(), Port: 9}))
		})
		if err != nil {
			t.Error(err)
		}
	}
	if d := examine(t, p.b); len(d.Findings) > 0 {
		t.Errorf("found before: %+v", d.Findings)
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			send()
			select {
			case <-stop:
				return
			case <-time.After(200 * time.Millisecond):
			}
		}
	}()
	f := finding(t, examine(t, p.b), "fenced_traffic", group)
	close(stop)
	<-done
	says(t, f, vip6.String())
	if !strings.Contains(strings.Join(f.Evidence, "\n"), vip6.String()+" to "+client.String()) {
		t.Errorf("evidence %q", f.Evidence)
	}
	if d := examine(t, p.b); len(d.Findings) > 0 {
		t.Errorf("found afterwards: %+v", d.Findings)
	}
}
