// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
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

// A thousand clients that never finish their request take only the share of their addresses. They
// are refused or disconnected, and counted.
func TestSlowClientsAreLimitedPerAddress(t *testing.T) {
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
		t.Errorf("another address is refused: %d", a.status)
	}
	t.Logf("answered within %v beside %d slow clients", time.Since(began), clients)
	until = time.Now().Add(headerTimeout + 10*time.Second)
	for s.count(refusedSlow) < 3*maxConnsOfOne && time.Now().Before(until) {
		time.Sleep(50 * time.Millisecond)
	}
	if got := s.count(refusedSlow); got != 3*maxConnsOfOne {
		t.Errorf("%d were disconnected for being slow, want %d", got, 3*maxConnsOfOne)
	}
	// Their places are free again.
	if a := s.browser().get("/"); a.status != http.StatusOK {
		t.Errorf("afterwards: %d", a.status)
	}
}

// The number of live pages is limited, and other pages are still served.
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
	a := s.browser().get("/events?view=status")
	if a.status != http.StatusServiceUnavailable || s.count(refusedStreams) != 1 {
		t.Errorf("one more live page: %d, counted %v", a.status, s.refused)
	}
	if a := s.browser().get("/"); a.status != http.StatusOK {
		t.Errorf("a page that is not live: %d", a.status)
	}
}

// A control runs outside the gate, and the pages that are read after it inside: each takes the same way through the
// handlers as the first one.
func TestControlsDoNotChangeTheHandlersOfPages(t *testing.T) {
	t.Parallel()
	s := New(newNode(1), Options{})
	depth := map[string][]int{}
	h := s.inTurn(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		depth[r.Method] = append(depth[r.Method], runtime.Callers(0, make([]uintptr, 100)))
	}))
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPost, http.MethodGet} {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(t.Context(), method, "/", nil))
	}
	get, post := depth[http.MethodGet], depth[http.MethodPost]
	if len(get) != 2 || len(post) != 2 || get[0] != get[1] || post[0] != post[1] || get[0] >= post[0] {
		t.Errorf("call depth of the pages %v, of the controls %v", get, post)
	}
}
