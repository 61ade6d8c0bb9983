// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"vipd/agent/control/api"
)

// incident answers with one incident. Only users who may change vipd receive frames: the digest of an
// advert allows guesses at its password.
func (s *Server) incident(ctx context.Context, r *http.Request) (any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, api.Errorf(api.CodeBadRequest,
			"%.20q is not the number of an incident; GET /v1/records lists them", r.PathValue("id"))
	}
	in, err := s.backend.Incident(ctx, id)
	if err == nil && !callerOf(r.Context()).mayWrite() {
		for i := range in.Records {
			in.Records[i].Frame = nil
		}
	}
	return in, err
}

// capture streams JSON lines until the client disconnects or reads too slowly, or the server stops. It
// counts as a change, since the data plane samples more frames in that time.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	if !s.mayStream(w, r) {
		return
	}
	defer s.running.Add(-1)
	caller := callerOf(r.Context())
	if !caller.mayWrite() {
		s.refuse(w, r, api.Errorf(api.CodeForbidden,
			"only root may capture, since frames allow guesses at the password; run the command with sudo"))
		return
	}
	group := r.PathValue("name")
	first, lines, forget, err := s.backend.Capture(r.Context(), group)
	if err != nil {
		s.refuse(w, r, err)
		return
	}
	defer forget()
	s.log.Info("capture", "group", group, "uid", caller.UID, "pid", caller.PID)
	out := s.stream(w, r)
	// Only root may capture, and the data plane limits it. If it waited for turns, most frames would be lost.
	out.gate = nil
	err = out.write(api.CaptureLine{Begin: &first}, true)
	for err == nil {
		select {
		case line, open := <-lines:
			if !open {
				return
			}
			last := len(lines) == 0
			if err = out.write(line, last); last {
				gather(r.Context())
			}
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
	s.ended("capture", err)
}

// gatherTime is how long lines of a capture are collected: waking a thread for each costs more than the line itself.
const gatherTime = 20 * time.Millisecond

func gather(ctx context.Context) {
	select {
	case <-ctx.Done():
	case <-time.After(gatherTime):
	}
}
