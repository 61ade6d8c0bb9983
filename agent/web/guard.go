// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

const (
	policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors "
	noFrames = "'none'"
)

// guard sets the headers of every page and refuses what no page accepts.
func (s *Server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy+noFrames)
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		// Not no-referrer: with that, browsers send Origin: null along with our own forms.
		h.Set("Referrer-Policy", "same-origin")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		h.Set("Cache-Control", "no-store")
		switch {
		case len(r.RequestURI) > maxURLBytes:
			s.refuse(w, refusedLarge, http.StatusRequestURITooLong, "The address is too long.")
		case !s.knownHost(r):
			s.refuse(w, refusedHost, http.StatusMisdirectedRequest,
				"This host name is not configured for the page. To allow it, add it to [http] hosts in vipd.toml.")
		case !sameOrigin(r) || s.cross.Check(r) != nil:
			s.refuse(w, refusedOrigin, http.StatusForbidden, "Requests from pages of other origins are refused.")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost reports whether the Host header names this node. It stops DNS rebinding: a foreign
// page can point its own name here, but no browser lets it forge Host.
func (s *Server) knownHost(r *http.Request) bool {
	host := strings.ToLower(r.Host)
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.TrimSuffix(strings.Trim(host, "[]"), ".")
	known := func(name string) bool { return strings.Trim(name, "[]") == host }
	if host == "localhost" || slices.ContainsFunc(s.opts.Hosts, known) {
		return true
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if addr.IsLoopback() {
		return true // the end of a tunnel; DNS rebinding needs a name, not an address
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == addr.Unmap().WithZone("")
}

// sameOrigin reports whether the request comes from this page or from no page. It also guards
// reading: only scripts of other pages send Origin with a GET.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, r.Host)
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection as the listener accepted it.
func connOf(r *http.Request) (net.Conn, bool) {
	c, ok := r.Context().Value(connKey{}).(net.Conn)
	return accepted(c), ok
}

func accepted(c net.Conn) net.Conn {
	if l, limited := c.(*limitConn); limited {
		return l.Conn
	}
	return c
}

// mayWrite reports whether the connection may change the node at all. Sessions are checked
// separately.
func (s *Server) mayWrite(r *http.Request) bool {
	if !s.opts.Controls {
		return false
	}
	if s.opts.Callers == nil {
		return len(s.opts.Token) > 0
	}
	c, ok := connOf(r)
	return ok && s.opts.Callers.MayWrite(c)
}

// addrOf returns the address of a peer given as "address:port": behind a proxy the proxy's, on
// a unix socket the zero address.
func addrOf(peer string) netip.Addr {
	at, err := netip.ParseAddrPort(peer)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}

// Reasons of a refused request.
const (
	refusedClients  = "too_many_clients"
	refusedStreams  = "too_many_streams"
	refusedBusy     = "busy"
	refusedSlow     = "slow_client"
	refusedLarge    = "too_large"
	refusedBad      = "bad_request"
	refusedMethod   = "method"
	refusedHost     = "bad_host"
	refusedOrigin   = "cross_origin"
	refusedCSRF     = "csrf"
	refusedControls = "controls_off"
	refusedLogin    = "not_logged_in"
	refusedToken    = "wrong_token"
	refusedRate     = "login_rate"
)

// RefusedReasons returns all reasons that are passed to [Options.Refused].
func RefusedReasons() []string {
	return []string{
		refusedClients, refusedStreams, refusedBusy, refusedSlow, refusedLarge, refusedBad, refusedMethod,
		refusedHost, refusedOrigin, refusedCSRF, refusedControls, refusedLogin, refusedToken, refusedRate,
	}
}

// readOnly is the answer to a request for a control where the page has none.
const readOnly = "This page is read-only here."

// refuse counts the refusal and answers with one line of plain text.
func (s *Server) refuse(w http.ResponseWriter, reason string, status int, text string) {
	s.opts.Refused(reason)
	s.plain(w, status, text)
}

func (s *Server) plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // an error means that the client has gone
}
