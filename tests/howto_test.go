// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"io"
	"net"
	"strings"
	"testing"

	"vipd/tests/lab"
)

// docs/howto/gateway.md: hosts that have the VIP as their gateway reach what is behind the MASTER, and go on doing so
// with the other one after a handover.
func TestHowtoGatewayForwardsAcrossAHandover(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	wan := p.NewSegment("wan")
	server := p.NewHost("server")
	wan.Join(p.a.Host, "eth1", "203.0.113.11/24")
	wan.Join(p.b.Host, "eth1", "203.0.113.12/24")
	wan.Join(server, "eth0", "203.0.113.80/24")
	for _, h := range []*lab.Host{p.a.Host, p.b.Host} {
		h.MustRun(toolTimeout, "sysctl", "-w", "net.ipv4.ip_forward=1")
	}
	p.start()
	p.client.MustRun(toolTimeout, "ip", "route", "add", "default", "via", vip.String())
	// The way back goes through the MASTER, as with a second group on the other side.
	server.MustRun(toolTimeout, "ip", "route", "add", "192.0.2.0/24", "via", "203.0.113.11")
	p.client.MustRun(toolTimeout, "ping", "-c", "3", "-i", "0.2", "-W", "1", "203.0.113.80")
	if g := p.a.Group(group); g.Counters.Packets < 3 {
		t.Errorf("%d packets came to the virtual MAC, want the pings", g.Counters.Packets)
	}
	p.a.MustCTL("yield", group)
	p.b.WaitAnswering(group, patience)
	server.MustRun(toolTimeout, "ip", "route", "replace", "192.0.2.0/24", "via", "203.0.113.12")
	p.client.MustRun(toolTimeout, "ping", "-c", "3", "-i", "0.2", "-W", "1", "203.0.113.80")
	if g := p.b.Group(group); g.Counters.Packets < 3 {
		t.Errorf("%d packets came to the new MASTER's virtual MAC, want the pings", g.Counters.Packets)
	}
}

// docs/howto/bind.md: with ip_nonlocal_bind a service binds the VIP on a BACKUP, and serves as soon as that is MASTER.
func TestHowtoBindServesOnceMaster(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	goodbye := newPeer(s.clientPort, addrClient)
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	listen := func() (l net.Listener, err error) {
		err = s.node.Within(func() error { l, err = net.Listen("tcp", vip.String()+":8080"); return err })
		return l, err
	}
	if l, err := listen(); err == nil || !strings.Contains(err.Error(), "cannot assign requested address") {
		t.Fatalf("bound without the setting: %v, %v", l, err)
	}
	s.node.MustRun(toolTimeout, "sysctl", "-w", "net.ipv4.ip_nonlocal_bind=1")
	l, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close() //nolint:errcheck // at the end of the test
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Write([]byte("here")) // the client would miss it
			_ = conn.Close()
		}
	}()
	goodbye.goodbye()
	s.node.WaitAnswering(group, upTimeout)
	var said []byte
	err = s.client.Within(func() error {
		conn, err := net.DialTimeout("tcp", vip.String()+":8080", patience)
		if err != nil {
			return err
		}
		defer conn.Close()
		said, err = io.ReadAll(conn)
		return err
	})
	if err != nil || string(said) != "here" {
		t.Errorf("the service on the new MASTER says %q, %v", said, err)
	}
}
