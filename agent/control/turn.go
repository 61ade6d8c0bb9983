// SPDX-License-Identifier: Apache-2.0

package control

import (
	"net/http"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

// turnWait is how long a read waits for its turn.
const turnWait = 10 * time.Second

// inTurn serves each request on an ordinary thread, and reads within the share of the gate. Commands and the doctor,
// which runs at most once at a time, do not wait for a turn.
func (s *Server) inTurn(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reads := r.Method == http.MethodGet || r.Method == http.MethodHead
		if reads && r.URL.Path != "/v1/doctor" {
			ordinary.Serve(w, r, turnWait, next, func(w http.ResponseWriter, err error) {
				s.refuse(w, r, api.Errorf(api.CodeBusy, "not served: %v", err))
			})
			return
		}
		thread := ordinary.Of(r.Context())
		if err := thread.Exempt(); err != nil {
			s.log.Warn("a command runs at real-time priority", "err", err)
		}
		defer thread.Forgive()
		next.ServeHTTP(w, r)
	})
}
