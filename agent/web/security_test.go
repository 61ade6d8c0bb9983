// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestEveryPageHasStrictHeaders(t *testing.T) {
	t.Parallel()
	b := serve(t, newNode(2), func(o *Options) { o.WidgetOrigins = []string{"https://wall.example"} }).browser()
	b.login()
	for _, path := range []string{
		"/", "/group?name=eth0@1", "/nodes", "/widget", "/login", "/confirm?action=disable", "/assets/live.js",
		"/api/status", "/no-such-page",
	} {
		a := b.get(path)
		csp := a.header.Get("Content-Security-Policy")
		frames := "frame-ancestors 'none'"
		if path == "/widget" {
			frames = "frame-ancestors 'self' https://wall.example"
		} else if a.header.Get("X-Frame-Options") != "DENY" {
			t.Errorf("%s may be framed", path)
		}
		if !strings.HasPrefix(csp, "default-src 'none'; ") || !strings.HasSuffix(csp, frames) ||
			strings.Contains(csp, "unsafe") {
			t.Errorf("%s: policy %q", path, csp)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Referrer-Policy") == "" ||
			path != "/assets/live.js" && a.header.Get("Cache-Control") != "no-store" {
			t.Errorf("%s: headers %v", path, a.header)
		}
		for _, inline := range []string{"style=", "<style", "onclick", "javascript:", "<script>", "http://", "https://"} {
			if strings.Contains(a.body, inline) && !strings.HasPrefix(path, "/assets") && path != "/api/status" {
				t.Errorf("%s contains %s, which the policy forbids", path, inline)
			}
		}
	}
}

func TestForgedHostIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), func(o *Options) { o.Hosts = []string{"fw1.example", "203.0.113.7"} })
	b := s.browser()
	b.login()
	paths := []string{"/", "/events?view=status", "/api/status", "/confirm?action=disable", "/assets/style.css"}
	for _, host := range []string{
		"evil.example", "evil.example:9112", "192.0.2.99", "localhost.evil.example", "127.0.0.1.evil.example",
		"[2001:db8::1]:80",
	} {
		for _, path := range paths {
			if a := b.get(path, "Host", host); a.status != http.StatusMisdirectedRequest {
				t.Errorf("GET %s with Host %s: %d", path, host, a.status)
			}
		}
		a := b.post("/do", map[string]string{"action": "disable"}, "Host", host)
		if a.status != http.StatusMisdirectedRequest {
			t.Errorf("POST with Host %s: %d", host, a.status)
		}
	}
	if got := s.count(refusedHost); got != 6*(len(paths)+1) {
		t.Errorf("%d counted", got)
	}
	for _, host := range []string{
		"localhost", "localhost:8080", "127.0.0.1", "[::1]:9112", "FW1.example", "fw1.example:443", "fw1.example.",
		"203.0.113.7:1",
	} {
		if a := b.get("/", "Host", host); a.status != http.StatusOK {
			t.Errorf("GET / with Host %s: %d %s", host, a.status, a.body)
		}
	}
	// A scraper may use any host name.
	if a := b.get("/healthz", "Host", "anything"); a.status != http.StatusOK {
		t.Errorf("/healthz: %d", a.status)
	}
	if s.node.calls() != "" {
		t.Errorf("called %s", s.node.calls())
	}
}

func TestForgedOriginIsRefused(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	b := s.browser()
	b.login()
	csrf, _ := b.confirm(actDisable, "")
	form := map[string]string{"action": actDisable, "csrf": csrf}
	own := strings.TrimPrefix(s.base, "http://")
	for _, headers := range [][]string{
		{"Origin", "https://evil.example"},
		{"Origin", "null"},
		{"Origin", "http://" + own + ".evil.example"},
		{"Sec-Fetch-Site", "cross-site"},
		{"Sec-Fetch-Site", "same-site"},
		{"Origin", "https://evil.example", "Sec-Fetch-Site", "same-origin"},
	} {
		if a := b.post("/do", form, headers...); a.status != http.StatusForbidden {
			t.Errorf("POST with %v: %d", headers, a.status)
		}
		if a := b.post("/login", map[string]string{"token": testToken}, headers...); a.status != http.StatusForbidden {
			t.Errorf("login with %v: %d", headers, a.status)
		}
	}
	if a := b.get("/events?view=status", "Origin", "https://evil.example"); a.status != http.StatusForbidden {
		t.Errorf("a foreign page may read events: %d", a.status)
	}
	if s.count(refusedOrigin) != 13 || s.node.calls() != "" {
		t.Errorf("%d counted; called %q", s.count(refusedOrigin), s.node.calls())
	}
	if a := b.post("/do", form, "Origin", s.base, "Sec-Fetch-Site", "same-origin"); a.status != http.StatusSeeOther ||
		s.node.calls() != "enabled false" {
		t.Errorf("our own form: %d %s; called %q", a.status, a.body, s.node.calls())
	}
}

func TestControlsRequireLoginAndCSRFToken(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	stranger := s.browser()
	if a := stranger.post("/do", map[string]string{"action": actDisable}); a.status != http.StatusForbidden {
		t.Errorf("without login: %d", a.status)
	}
	if a := stranger.get("/confirm?action=disable"); a.status != http.StatusSeeOther ||
		a.header.Get("Location") != "/login" {
		t.Errorf("question without login: %d to %s", a.status, a.header.Get("Location"))
	}
	b, other := s.browser(), s.browser()
	b.login()
	other.login()
	stranger.cookie = &http.Cookie{Name: b.cookie.Name, Value: "made up"}
	if a := stranger.post("/do", map[string]string{"action": actDisable}); a.status != http.StatusForbidden {
		t.Errorf("with a made-up session: %d", a.status)
	}
	theirs, _ := other.confirm(actDisable, "")
	for _, csrf := range []string{"", "wrong", theirs} {
		if a := b.post("/do", map[string]string{"action": actDisable, "csrf": csrf}); a.status != http.StatusForbidden {
			t.Errorf("with csrf %q: %d", csrf, a.status)
		}
	}
	if s.count(refusedCSRF) != 3 || s.count(refusedLogin) != 2 || s.node.calls() != "" {
		t.Errorf("counted %v; called %q", s.refused, s.node.calls())
	}
	c := b.cookie
	if !c.HttpOnly || c.SameSite != http.SameSiteStrictMode || c.Path != "/" {
		t.Errorf("cookie %v", c)
	}
	csrf, _ := b.confirm(actDisable, "")
	if a := b.get("/do?action=disable&csrf=" + csrf); a.status == http.StatusOK || a.status == http.StatusSeeOther ||
		s.node.calls() != "" {
		t.Errorf("a GET acts: %d, called %q", a.status, s.node.calls())
	}
	if a := b.post("/logout", map[string]string{"csrf": csrf}); a.status != http.StatusSeeOther {
		t.Errorf("logout: %d", a.status)
	}
	b.cookie = c
	if a := b.post("/do", map[string]string{"action": actDisable, "csrf": csrf}); a.status != http.StatusForbidden {
		t.Errorf("after logout: %d", a.status)
	}
}

func TestWrongTokensAreRateLimited(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	b := s.browser()
	for i := range loginBurst {
		a := b.post("/login", map[string]string{"token": fmt.Sprintf("guess %d", i)})
		if a.status != http.StatusForbidden || !strings.Contains(a.body, "token is wrong") || b.cookie != nil {
			t.Fatalf("guess %d: %d %s", i, a.status, a.body)
		}
	}
	if a := b.post("/login", map[string]string{"token": testToken}); a.status != http.StatusTooManyRequests ||
		b.cookie != nil || a.header.Get("Retry-After") == "" {
		t.Errorf("the sixth: %d", a.status)
	}
	if s.count(refusedToken) != loginBurst || s.count(refusedRate) != 1 {
		t.Errorf("counted %v", s.refused)
	}
}

func TestLoginLimitIsPerAddressAndRecovers(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(), time.Now()
	a, b := parseAddr(t, "192.0.2.1"), parseAddr(t, "192.0.2.2")
	for range loginBurst {
		if !l.allow(a, now) {
			t.Fatal("the burst is refused")
		}
	}
	if l.allow(a, now) || !l.allow(b, now) {
		t.Error("the allowance is not that of the address")
	}
	if !l.allow(a, now.Add(loginPause)) || l.allow(a, now.Add(loginPause)) {
		t.Error("not exactly one attempt is allowed after the pause")
	}
	for i := range 3 * maxAddresses {
		l.allow(parseAddr(t, fmt.Sprintf("10.0.%d.%d", i/250, i%250)), now)
	}
	if len(l.next) > maxAddresses+1 {
		t.Errorf("%d addresses are remembered", len(l.next))
	}
}

func TestControlsAreOffByDefault(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Options){
		"off":           func(o *Options) { o.Controls = false },
		"no token":      func(o *Options) { o.Token = nil },
		"reader's conn": func(o *Options) { o.Callers = &callers{} },
	} {
		s := serve(t, newNode(1), change)
		b := s.browser()
		for _, path := range []string{"/confirm?action=disable", "/login"} {
			if a := b.get(path); a.status != http.StatusForbidden {
				t.Errorf("%s: GET %s: %d", name, path, a.status)
			}
		}
		for _, path := range []string{"/do", "/login", "/logout"} {
			if a := b.post(path, map[string]string{"action": actDisable, "token": testToken}); a.status != http.StatusForbidden {
				t.Errorf("%s: POST %s: %d", name, path, a.status)
			}
		}
		if a := b.get("/"); a.status != http.StatusOK || strings.Contains(a.body, "/confirm") ||
			strings.Contains(a.body, `href="/login"`) || !strings.Contains(a.body, "read-only") {
			t.Errorf("%s: the page shows controls:\n%s", name, a.body)
		}
		if s.count(refusedControls) != 5 || s.node.calls() != "" {
			t.Errorf("%s: counted %v", name, s.refused)
		}
	}
}

// callers implements Callers for the tests.
type callers struct {
	write, keep bool

	mu     sync.Mutex
	states []http.ConnState
}

func (c *callers) MayWrite(conn net.Conn) bool { return c.write && isTCP(conn) }

func (c *callers) Follow(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isTCP(conn) { // not the server's wrapper
		c.states = append(c.states, state)
	}
}

func (c *callers) told(state http.ConnState) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Contains(c.states, state)
}

func (c *callers) Await(conn net.Conn) func() bool {
	return func() bool { return c.keep && isTCP(conn) }
}

func isTCP(conn net.Conn) bool {
	_, ok := conn.(*net.TCPConn)
	return ok
}

// A request whose connection was closed while the server waited for it changes nothing.
func TestClosedCallerChangesNothing(t *testing.T) {
	t.Parallel()
	for _, keep := range []bool{true, false} {
		known := &callers{write: true, keep: true}
		s := serve(t, newNode(1), func(o *Options) { o.Token, o.Callers = nil, known })
		b := s.browser()
		b.get("/")
		csrf, _ := b.confirm(actDisable, "")
		known.keep = keep
		form := url.Values{"action": {actDisable}, "csrf": {csrf}}.Encode()
		conn := dial(t, s, "127.0.0.1")
		defer conn.Close()
		fmt.Fprintf(conn, "POST /do HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nCookie: %s\r\n"+
			"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\n\r\n%s",
			b.cookie, len(form), form)
		if answer, err := io.ReadAll(conn); (len(answer) > 0) != keep || (s.node.calls() != "") != keep {
			t.Errorf("connection kept %v: answered %q, %v, called %q", keep, answer, err, s.node.calls())
		}
		for _, want := range []http.ConnState{http.StateNew, http.StateActive, http.StateClosed} {
			for until := time.Now().Add(10 * time.Second); !known.told(want); time.Sleep(time.Millisecond) { // after the client
				if time.Now().After(until) {
					t.Fatalf("Follow was not called with %v", want)
				}
			}
		}
	}
}

func TestIdentifiedCallersNeedNoToken(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), func(o *Options) { o.Token, o.Callers = nil, &callers{write: true, keep: true} })
	b := s.browser()
	if a := b.get("/"); !strings.Contains(a.body, "/confirm?action=disable") || b.cookie == nil {
		t.Errorf("no controls:\n%s", a.body)
	}
	csrf, _ := b.confirm(actDisable, "")
	if a := b.post("/do", map[string]string{"action": actDisable, "csrf": csrf}); a.status != http.StatusSeeOther ||
		s.node.calls() != "enabled false" {
		t.Errorf("%d %s", a.status, a.body)
	}
}

func TestOversizeRequestsAreRefusedAndCounted(t *testing.T) {
	t.Parallel()
	s := serve(t, newNode(1), nil)
	b := s.browser()
	b.login()
	big := strings.Repeat("x", 40<<10)
	for _, tt := range []struct {
		name string
		a    answer
		want int
	}{
		{"body", b.post("/do", map[string]string{"csrf": big[:8<<10]}), http.StatusRequestEntityTooLarge},
		{"login body", b.post("/login", map[string]string{"token": big[:8<<10]}), http.StatusRequestEntityTooLarge},
		{"address", b.get("/?q=" + big[:8<<10]), http.StatusRequestURITooLong},
	} {
		if tt.a.status != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, tt.a.status, tt.want)
		}
	}
	// Requests that net/http refuses before it calls a handler.
	for text, want := range map[string]string{
		"GET / HTTP/1.1\r\nHost: localhost\r\nX-Big: " + big[:maxHeaderBytes+8<<10]: " 431 ",
		"HELO vipd\r\n\r\n": " 400 ",
	} {
		conn := dial(t, s, "127.0.0.1")
		fmt.Fprint(conn, text)
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("%.20q: %q %v", text, line, err)
		}
		conn.Close()
	}
	if s.count(refusedLarge) != 4 || s.count(refusedBad) != 1 {
		t.Errorf("counted %v", s.refused)
	}
	for _, method := range []string{http.MethodPut, http.MethodDelete, http.MethodPatch} {
		if a := b.ask(method, "/", ""); a.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, a.status)
		}
	}
}
