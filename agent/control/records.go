// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"net/http"
	"strconv"

	"vipd/agent/control/api"
)

// incident answers with one incident. The frames are for those who may change vipd: an
// advert holds a digest by which its password can be guessed.
func (s *Server) incident(ctx context.Context, r *http.Request) (any, error) {
	id, err := strconv.ParseUint(r.PathValue("id"), 10, 64)
	if err != nil {
		return nil, api.Errorf(api.CodeBadRequest, "%.20q is no number of an incident; GET /v1/records lists them", r.PathValue("id"))
	}
	in, err := s.backend.Incident(ctx, id)
	if err == nil && !callerOf(r.Context()).mayWrite() {
		for i := range in.Records {
			in.Records[i].Frame = nil
		}
	}
	return in, err
}

// capture streams JSON lines until the client hangs up, reads too slowly, or the server
// stops. It is a change: the data plane hands out more meanwhile.
func (s *Server) capture(w http.ResponseWriter, r *http.Request) {
	if !s.mayStream(w, r) {
		return
	}
	defer s.running.Add(-1)
	caller := callerOf(r.Context())
	if !caller.mayWrite() {
		s.refuse(w, r, api.Errorf(api.CodeForbidden, "only root may capture: frames hold what a password can be guessed by; run the command with sudo"))
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
	out := s.stream(w)
	err = out.write(api.CaptureLine{Begin: &first}, true)
	for err == nil {
		select {
		case line, open := <-lines:
			if !open {
				return
			}
			err = out.write(line, len(lines) == 0)
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		}
	}
	s.log.Debug("client of a capture went away", "err", err)
}
