// SPDX-License-Identifier: Apache-2.0

package control

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"vipd/agent/control/api"
)

// eventTimeout is how long a client may keep one line of a stream from being written.
const eventTimeout = 10 * time.Second

func (s *Server) history(ctx context.Context, r *http.Request) (any, error) {
	q, n := r.URL.Query(), 0
	if q.Has("n") {
		var err error
		if n, err = strconv.Atoi(q.Get("n")); err != nil || n < 1 {
			return nil, api.Errorf(api.CodeBadRequest, "n is %.20q; it must be a number from 1", q.Get("n"))
		}
	}
	h, err := s.backend.History(ctx, q.Get("group"), n)
	if h.Transitions == nil {
		h.Transitions = []api.Transition{}
	}
	return h, err
}

// events streams JSON lines until the client hangs up, reads too slowly, or the server
// stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.mayStream(w, r) {
		return
	}
	defer s.running.Add(-1)
	first, events, forget := s.backend.Events(r.Context())
	defer forget()
	out := s.stream(w)
	err := out.write(first, true)
	for err == nil {
		select {
		case ev, open := <-events:
			if !open {
				return
			}
			err = out.write(ev, len(events) == 0)
		case <-r.Context().Done():
			return
		case <-s.stopping:
			for len(events) > 0 && err == nil {
				ev, open := <-events
				if !open {
					return
				}
				err = out.write(ev, len(events) == 0)
			}
			return
		}
	}
	s.log.Debug("client of the events went away", "err", err)
}

// mayStream refuses what is no plain GET, and what is one stream too many. When it is true,
// the stream is counted until the caller takes it off.
func (s *Server) mayStream(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.refuse(w, r, api.Errorf(api.CodeMethodNotAllowed, "%s is not for %s; use %s", r.URL.Path, r.Method, http.MethodGet))
		return false
	}
	if err := checkParameters(r, nil); err != nil {
		s.refuse(w, r, err)
		return false
	}
	body, err := s.awaitBody(w, r, maxBodyBytes)
	if err == nil {
		err = emptyBody(body)
	}
	if err != nil {
		s.refuse(w, r, err)
		return false
	}
	limit := int32(maxStreams)
	if callerOf(r.Context()).mayWrite() {
		limit += reservedStreams
	}
	if n := s.running.Add(1); n > limit {
		s.running.Add(-1)
		s.refuse(w, r, api.Errorf(api.CodeBusy, "%d streams of events and captures run already: end some of them (`vipctl events`, `vipctl capture`) and try again", limit))
		return false
	}
	return true
}

// stream begins an answer of lines.
func (s *Server) stream(w http.ResponseWriter) *eventWriter {
	out := &eventWriter{w: w, control: http.NewResponseController(w)}
	// The request was read; its deadline would end the stream.
	if err := out.control.SetReadDeadline(time.Time{}); err != nil {
		s.log.Debug("no deadlines on this connection", "err", err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	return out
}

type eventWriter struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

// write sends one line; flush pushes out it and those before.
func (e *eventWriter) write(ev any, flush bool) error {
	line, err := json.Marshal(ev)
	if err != nil {
		return err
	}
	if err := e.control.SetWriteDeadline(time.Now().Add(eventTimeout)); err != nil {
		return err
	}
	if _, err := e.w.Write(append(line, '\n')); err != nil || !flush {
		return err
	}
	return e.control.Flush()
}
