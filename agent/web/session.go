// SPDX-License-Identifier: Apache-2.0

package web

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"
	"net/netip"
	"sync"
	"time"
)

const (
	cookiePrefix = "vipd-"
	sessionTime  = 12 * time.Hour
	maxSessions  = 64
	// maxFlashes results of a control wait to be shown, flashTime at the most.
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

// sessions live in memory: a restart of vipd logs everybody out.
type sessions struct {
	// cookie is named anew by each daemon: browsers do not tell ports apart, and two nodes
	// behind tunnels of one host would log each other out.
	cookie  string
	mu      sync.Mutex
	byID    map[string]session
	flashes map[string]flash
}

func newSessions() *sessions {
	return &sessions{cookie: cookiePrefix + rand.Text()[:8], byID: map[string]session{}, flashes: map[string]flash{}}
}

// of is the session of the request.
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

// begin makes a session and gives its cookie to the browser.
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

// newCookie is sent back by the pages of this host alone, and no script sees it.
func (s *sessions) newCookie(r *http.Request, value string, age int) *http.Cookie {
	return &http.Cookie{
		Name: s.cookie, Value: value, Path: "/", MaxAge: age, HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || r.Header.Get("X-Forwarded-Proto") == "https",
	}
}

// makeRoom drops what has expired, and what expires first while there is no room.
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

// leave keeps the result of a control for the page that follows.
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

// sameSecret compares without telling by its time where the two differ, nor how long they are.
func sameSecret(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

const (
	// loginBurst wrong tokens are taken at once from one address, then one each loginPause.
	loginBurst = 5
	loginPause = 5 * time.Second
	// maxAddresses are remembered; the others share one allowance.
	maxAddresses = 1024
)

// limiter slows down who tries tokens.
type limiter struct {
	mu   sync.Mutex
	next map[netip.Addr]time.Time // when the allowance would be full again
}

func newLimiter() *limiter { return &limiter{next: map[netip.Addr]time.Time{}} }

// allow takes one try out of the allowance of an address.
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
