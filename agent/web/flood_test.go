// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"
)

func parseAddr(t *testing.T, s string) netip.Addr {
	t.Helper()
	a, err := netip.ParseAddr(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// dial connects from an address of the loopback network.
func dial(t *testing.T, s *site, from string) net.Conn {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 5 * time.Second}
	c, err := d.DialContext(t.Context(), "tcp", strings.TrimPrefix(s.base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// A thousand clients that never end their request take no more than their share, and none
// of another address; they are refused or cut off, and counted.
func TestThousandSlowClients(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	const clients = 1000
	conns := make([]net.Conn, 0, clients)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	for i := range clients {
		c := dial(t, s, fmt.Sprintf("127.0.1.%d", 1+i%3))
		conns = append(conns, c)
		if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: loc")); err != nil {
			continue // refused already
		}
	}
	until := time.Now().Add(10 * time.Second)
	for s.count(refusedClients) < clients-3*maxConnsOfOne && time.Now().Before(until) {
		time.Sleep(10 * time.Millisecond)
	}
	if got := s.count(refusedClients); got != clients-3*maxConnsOfOne {
		t.Errorf("%d refused, want %d", got, clients-3*maxConnsOfOne)
	}
	began := time.Now()
	if a := s.browser().get("/healthz"); a.status != http.StatusOK {
		t.Errorf("another address is kept out: %d", a.status)
	}
	t.Logf("answered within %v beside %d slow clients", time.Since(began), clients)
	until = time.Now().Add(headerTimeout + 10*time.Second)
	for s.count(refusedSlow) < 3*maxConnsOfOne && time.Now().Before(until) {
		time.Sleep(50 * time.Millisecond)
	}
	if got := s.count(refusedSlow); got != 3*maxConnsOfOne {
		t.Errorf("%d were cut off for being slow, want %d", got, 3*maxConnsOfOne)
	}
	// Their places are free again.
	if a := s.browser().get("/"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// Live pages have places of their own, and who does not read is dropped.
func TestLivePagesAreBounded(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	for i := range maxStreams {
		c := dial(t, s, fmt.Sprintf("127.0.2.%d", 1+i%2))
		defer c.Close()
		if _, err := c.Write([]byte("GET /events?view=status HTTP/1.1\r\nHost: localhost\r\n\r\n")); err != nil {
			t.Fatal(err)
		}
		if n, err := c.Read(make([]byte, 12)); n != 12 || err != nil {
			t.Fatal(n, err)
		}
	}
	if a := s.browser().get("/events?view=status"); a.status != http.StatusServiceUnavailable || s.count(refusedStreams) != 1 {
		t.Errorf("one more live page: %d, counted %v", a.status, s.refused)
	}
	if a := s.browser().get("/"); a.status != http.StatusOK {
		t.Errorf("a page that is not live: %d", a.status)
	}
}
