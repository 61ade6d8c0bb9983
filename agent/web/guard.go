// SPDX-License-Identifier: Apache-2.0

package web

import (
	"context"
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

// guard does what holds for every page: headers, and refusals before anything is made.
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
			s.refuse(w, refusedHost, http.StatusMisdirectedRequest, "This page is not known by that name. Add it to [http] hosts in vipd.toml if it should be.")
		case !sameOrigin(r) || s.cross.Check(r) != nil:
			s.refuse(w, refusedOrigin, http.StatusForbidden, "Requests from other pages are refused.")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
			next.ServeHTTP(w, r)
		}
	})
}

// knownHost keeps out pages that made a name of theirs point here (DNS rebinding): no
// browser lets them forge Host.
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
		return true // a tunnel's end; no name resolves to what is written as an address
	}
	local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	if !ok {
		return false
	}
	at, err := netip.ParseAddrPort(local.String())
	return err == nil && at.Addr().Unmap().WithZone("") == addr.Unmap().WithZone("")
}

// sameOrigin holds also for reading, where only scripts of other pages send Origin.
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

// connOf is the connection as the listener accepted it.
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

// mayWrite says whether the connection's owner may change the node at all; who that is
// beyond the connection is the session's affair.
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

// remoteOf is the address of the other end; behind a proxy that of the proxy.
func remoteOf(r *http.Request) netip.Addr {
	at, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return at.Addr().Unmap()
}
