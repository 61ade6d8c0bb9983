// SPDX-License-Identifier: Apache-2.0

package web

import (
	"io"
	"net/http"
)

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

// RefusedReasons are all reasons that [Options.Refused] is told.
func RefusedReasons() []string {
	return []string{
		refusedClients, refusedStreams, refusedBusy, refusedSlow, refusedLarge, refusedBad, refusedMethod, refusedHost,
		refusedOrigin, refusedCSRF, refusedControls, refusedLogin, refusedToken, refusedRate,
	}
}

// refuse counts and answers in one line of plain text.
func (s *Server) refuse(w http.ResponseWriter, reason string, status int, text string) {
	s.opts.Refused(reason)
	s.plain(w, status, text)
}

func (s *Server) plain(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, text+"\n") // whoever does not take it is gone
}
