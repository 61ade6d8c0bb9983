// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/agent/ordinary"
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

// Every request waits for a turn: a page, a control, and a live page before its first message.
func TestEveryRequestWaitsForATurn(t *testing.T) {
	t.Parallel()
	gate := ordinary.NewGate(0.5)
	s := New(newNode(1), Options{Gate: gate, Refused: func(string) {}, Log: slog.New(slog.DiscardHandler)})
	served := 0
	h := s.inTurn(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { served++ }))
	ask := func(method, path string) int {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequestWithContext(ctx, method, path, nil))
		return w.Code
	}
	requests := [][2]string{{http.MethodGet, "/"}, {http.MethodPost, "/do"}, {http.MethodGet, eventsPath}}
	held, free := make(chan struct{}), make(chan struct{})
	var holder sync.WaitGroup
	holder.Go(func() {
		if err := gate.Do(t.Context(), time.Second, func(context.Context) { close(held); <-free }); err != nil {
			t.Error(err)
		}
	})
	<-held
	for _, r := range requests {
		if code := ask(r[0], r[1]); code != http.StatusServiceUnavailable || served != 0 {
			t.Errorf("%s %s without a turn: %d, %d handlers ran", r[0], r[1], code, served)
		}
	}
	close(free)
	holder.Wait()
	for i, r := range requests {
		if code := ask(r[0], r[1]); code != http.StatusOK || served != i+1 {
			t.Errorf("%s %s: %d, %d handlers ran", r[0], r[1], code, served)
		}
	}
}
