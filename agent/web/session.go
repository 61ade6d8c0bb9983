// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	cookiePrefix = "vipd-"
	sessionTime  = 12 * time.Hour
	maxSessions  = 64
	// maxFlashes is how many results of a control are kept until they are shown, for at most flashTime.
	maxFlashes = 64
	flashTime  = time.Minute
)

// session is a browser that may change the node.
type session struct {
	id, csrf string
	expires  time.Time
}

// flash is the result of a control, shown once on the page that follows.
type flash struct {
	Good bool
	Text string

	expires time.Time
}

// sessions holds the sessions in memory: a restart of vipd ends them all.
type sessions struct {
	// cookie has a random name per daemon. Cookies do not depend on the TCP port, so two nodes
	// behind tunnels of one host would otherwise overwrite each other's session.
	cookie  string
	mu      sync.Mutex
	byID    map[string]session
	flashes map[string]flash
}

func newSessions() *sessions {
	return &sessions{cookie: cookiePrefix + rand.Text()[:8], byID: map[string]session{}, flashes: map[string]flash{}}
}

// of returns the session of the request.
func (s *sessions) of(r *http.Request) (session, bool) {
	c, err := r.Cookie(s.cookie)
	if err != nil {
		return session{}, false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	found, ok := s.byID[c.Value]
	return found, ok && moment().Before(found.expires)
}

// begin creates a session and sets its cookie in the answer.
func (s *sessions) begin(w http.ResponseWriter, r *http.Request) session {
	now := moment()
	made := session{id: rand.Text(), csrf: rand.Text(), expires: now.Add(sessionTime)}
	s.mu.Lock()
	makeRoom(s.byID, maxSessions, now, func(v session) time.Time { return v.expires })
	s.byID[made.id] = made
	s.mu.Unlock()
	http.SetCookie(w, s.newCookie(r, made.id, int(sessionTime/time.Second)))
	return made
}

func (s *sessions) end(w http.ResponseWriter, r *http.Request, of session) {
	s.mu.Lock()
	delete(s.byID, of.id)
	s.mu.Unlock()
	http.SetCookie(w, s.newCookie(r, "", -1))
}

// newCookie returns a cookie that only pages of this host send back and that no script can read.
func (s *sessions) newCookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

// makeRoom removes expired entries, and the entry that expires first if the map is full.
func makeRoom[V any](m map[string]V, limit int, now time.Time, expires func(V) time.Time) {
	oldest, at := "", time.Time{}
	for id, v := range m {
		e := expires(v)
		if now.After(e) {
			delete(m, id)
			continue
		}
		if oldest == "" || e.Before(at) {
			oldest, at = id, e
		}
	}
	if len(m) >= limit {
		delete(m, oldest)
	}
}

// leave keeps the result of a control for the page that the browser loads next.
func (s *sessions) leave(f flash) (id string) {
	now := moment()
	f.expires = now.Add(flashTime)
	id = rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	makeRoom(s.flashes, maxFlashes, now, func(v flash) time.Time { return v.expires })
	s.flashes[id] = f
	return id
}

func (s *sessions) flash(id string) *flash {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.flashes[id]
	if !ok || moment().After(f.expires) {
		return nil
	}
	return &f
}

// sameSecret compares in a time that depends neither on where the two differ nor on their length.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

const (
	// loginBurst attempts are allowed at once per address, then one per loginPause.
	loginBurst = 5
	loginPause = 5 * time.Second
	// maxAddresses have an allowance of their own; all others share one.
	maxAddresses = 1024
)

// limiter limits the rate of login attempts.
type limiter struct {
	mu   sync.Mutex
	next map[netip.Addr]time.Time // when the allowance would be full again
}

func newLimiter() *limiter { return &limiter{next: map[netip.Addr]time.Time{}} }

// allow takes one attempt from the allowance of an address.
func (l *limiter) allow(from netip.Addr, now time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, known := l.next[from]; !known && len(l.next) >= maxAddresses {
		for a, at := range l.next {
			if now.After(at) {
				delete(l.next, a)
			}
		}
		if len(l.next) >= maxAddresses {
			from = netip.Addr{}
		}
	}
	at := l.next[from]
	if at.Before(now) {
		at = now
	}
	if at.Sub(now) > (loginBurst-1)*loginPause {
		return false
	}
	l.next[from] = at.Add(loginPause)
	return true
}

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	s.askToken(w, r, http.StatusOK, "")
}

func (s *Server) askToken(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if !s.mayWrite(r) || len(s.opts.Token) == 0 {
		s.refuse(w, refusedControls, http.StatusForbidden, "There is nothing to log in to: this page is read-only here. "+
			"To enable its controls, set [http] controls = true and token_file.")
		return
	}
	snap, done, ok := s.turnToRead(w, r)
	if !ok {
		return
	}
	defer done()
	a := s.askOf(kindStatus, r)
	d := s.base("login", snap, &a)
	d.Title, d.Problem = "Log in – "+snap.status.Node, problem
	s.page(w, r, status, "login", d)
}

// login checks the token and begins a session. Wrong tokens are counted and limited per address.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.mayWrite(r) || len(s.opts.Token) == 0 {
		s.refuse(w, refusedControls, http.StatusForbidden, readOnly)
		return
	}
	if !s.parse(w, r) {
		return
	}
	if !s.logins.allow(addrOf(r.RemoteAddr), moment()) {
		w.Header().Set("Retry-After", strconv.Itoa(int(loginPause/time.Second)))
		s.opts.Refused(refusedRate)
		s.askToken(w, r, http.StatusTooManyRequests, "Too many attempts. Wait a few seconds.")
		return
	}
	if !sameSecret(r.PostForm.Get("token"), string(s.opts.Token)) {
		s.log.Warn("wrong token on the status page", "from", r.RemoteAddr)
		s.opts.Refused(refusedToken)
		s.askToken(w, r, http.StatusForbidden, "The token is wrong.")
		return
	}
	s.log.Info("login on the status page", "from", r.RemoteAddr)
	s.sessions.begin(w, r)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	who, ok := s.form(w, r)
	if !ok {
		return
	}
	s.sessions.end(w, r, who)
	http.Redirect(w, r, "/", http.StatusSeeOther)
}
