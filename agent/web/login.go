// SPDX-License-Identifier: Apache-2.0

package web

import (
	"net/http"
	"strconv"
	"time"
)

func (s *Server) loginPage(w http.ResponseWriter, r *http.Request) {
	s.askToken(w, r, http.StatusOK, "")
}

func (s *Server) askToken(w http.ResponseWriter, r *http.Request, status int, problem string) {
	if !s.mayWrite(r) || len(s.opts.Token) == 0 {
		s.refuse(w, refusedControls, http.StatusForbidden, "There is nothing to log in to: this page is read-only here. [http] controls = true and token_file turn its controls on.")
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

// login takes the token. Wrong ones are counted, and slowed down by their address.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	if !s.mayWrite(r) || len(s.opts.Token) == 0 {
		s.refuse(w, refusedControls, http.StatusForbidden, "This page is read-only here.")
		return
	}
	if !s.parse(w, r) {
		return
	}
	if !s.logins.allow(remoteOf(r), moment()) {
		w.Header().Set("Retry-After", strconv.Itoa(int(loginPause/time.Second)))
		s.opts.Refused(refusedRate)
		s.askToken(w, r, http.StatusTooManyRequests, "Too many tries. Wait a few seconds.")
		return
	}
	if !sameSecret(r.PostForm.Get("token"), string(s.opts.Token)) {
		s.log.Warn("wrong token on the status page", "from", r.RemoteAddr)
		s.opts.Refused(refusedToken)
		s.askToken(w, r, http.StatusForbidden, "That is not the token.")
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
