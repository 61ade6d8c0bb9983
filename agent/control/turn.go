// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/http"
	"time"

	"vipd/agent/control/api"
)

// turnWait is how long a read waits for its turn.
const turnWait = 10 * time.Second

// inTurn serves reads, and refusals of commands, within the share of the gate. Commands wait for the election; the
// doctor and streams, which are limited in number, take turns for what they do.
func (s *Server) inTurn(next http.Handler) http.Handler {
	waiting := http.NewServeMux()
	for _, path := range s.waiting() {
		waiting.Handle(path, next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if !reads && callerOf(r.Context()).mayWrite() {
			next.ServeHTTP(w, r)
			return
		}
		serve := s.opts.Gate.Serve
		if _, path := waiting.Handler(r); reads && path != "" {
			serve = s.opts.Gate.Admit
		}
		serve(w, r, turnWait, next, func(w http.ResponseWriter, err error) {
			s.refuse(w, r, api.Errorf(api.CodeBusy, "not served: %v", err))
		})
	})
}
