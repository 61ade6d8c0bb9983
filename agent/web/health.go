// SPDX-License-Identifier: Apache-2.0

package web

import (
	"fmt"
	"net/http"
	"strings"

	"vipd/agent/control/api"
)

// maxReasons is how many reasons an answer names: a probe does not read thousands.
const maxReasons = 20

// healthz answers 200 while every group takes part, else 503 with the reason.
func (s *Server) healthz(w http.ResponseWriter, r *http.Request) {
	snap, err := s.hub.current(r.Context())
	if err != nil {
		s.health(w, "", []string{err.Error()})
		return
	}
	ok := "ok"
	if snap.status.Maintenance {
		ok += ", in maintenance mode: other nodes are preferred"
	}
	s.health(w, ok, inability(snap))
}

// inability returns the reasons why the node cannot serve its groups. Maintenance mode is not
// one: the node still takes over when no other is left.
func inability(snap *snapshot) []string {
	if snap.dead != nil {
		return []string{hangs(snap.dead)}
	}
	if !snap.status.Enabled {
		return []string{"disabled by the operator; run `vipctl enable` to enable it again"}
	}
	var out []string
	for i := range snap.status.Groups {
		g := &snap.status.Groups[i]
		switch {
		case g.State == api.StateInit && g.Detail != "":
			out = append(out, g.Name+" is INIT ("+g.Reason+"): "+g.Detail)
		case g.State == api.StateInit:
			out = append(out, g.Name+" is INIT: "+g.Reason)
		case g.State == api.StateMaster && !g.Dataplane.Answering:
			out = append(out, g.Name+" is MASTER and does not answer")
		}
	}
	return out
}

// livez answers 200 while the election loop runs.
func (s *Server) livez(w http.ResponseWriter, _ *http.Request) {
	s.health(w, "ok", s.hung())
}

// readyz answers 200 while the election loop runs, the data plane of every group is attached and vipd is not stopping.
func (s *Server) readyz(w http.ResponseWriter, _ *http.Request) {
	s.health(w, "ok", append(s.hung(), s.opts.Unready()...))
}

// hung returns why the election loop does not run, or nothing.
func (s *Server) hung() []string {
	if err := s.opts.Alive(); err != nil {
		return []string{hangs(err)}
	}
	return nil
}

func hangs(err error) string { return "the election loop does not answer: " + err.Error() }

// health answers 503 with one line per reason, or 200 with the text ok if there is none.
func (s *Server) health(w http.ResponseWriter, ok string, reasons []string) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	if len(reasons) == 0 {
		s.plain(w, http.StatusOK, ok)
		return
	}
	if more := len(reasons) - maxReasons; more > 0 {
		reasons = append(reasons[:maxReasons:maxReasons], fmt.Sprintf("and %d more", more))
	}
	s.plain(w, http.StatusServiceUnavailable, strings.Join(reasons, "\n"))
}
