// SPDX-License-Identifier: Apache-2.0

package control

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"strconv"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/ordinary"
)

// eventTimeout is the time limit for writing one line of a stream.
const eventTimeout = 10 * time.Second

func (s *Server) history(ctx context.Context, r *http.Request) (any, error) {
	q, n := r.URL.Query(), 0
	if q.Has("n") {
		var err error
		if n, err = strconv.Atoi(q.Get("n")); err != nil || n < 1 {
			return nil, api.Errorf(api.CodeBadRequest, "n is %.20q; it must be a number, 1 or more", q.Get("n"))
		}
	}
	h, err := s.backend.History(ctx, q.Get("group"), n)
	if h.Transitions == nil {
		h.Transitions = []api.Transition{}
	}
	return h, err
}

// events streams JSON lines until the client disconnects or reads too slowly, or the server stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	if !s.mayStream(w, r) {
		return
	}
	defer s.running.Add(-1)
	first, events, forget := s.backend.Events(r.Context())
	defer forget()
	out := s.stream(w, r)
	err := out.write(first, true)
	for err == nil {
		select {
		case ev, open := <-events:
			if !open { // the backend drops clients that are too slow
				s.opts.Dropped()
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
	s.ended("events", err)
}

// ended counts a stream whose client did not read in time.
func (s *Server) ended(what string, err error) {
	if errors.Is(err, os.ErrDeadlineExceeded) {
		s.opts.Dropped()
	}
	s.log.Debug("client of a stream disconnected", "stream", what, "err", err)
}

// mayStream refuses anything but a plain GET, and streams over the limit. If it returns true, the stream
// is counted, and the caller must decrement running at its end.
func (s *Server) mayStream(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet {
		w.Header().Set("Allow", http.MethodGet)
		s.refuse(w, r, api.Errorf(api.CodeMethodNotAllowed,
			"%s does not allow %s; use %s", r.URL.Path, r.Method, http.MethodGet))
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
		s.refuse(w, r, api.Errorf(api.CodeBusy, "%d streams of events and captures are running: end some of them "+
			"(`vipctl events`, `vipctl capture`) and try again", limit))
		return false
	}
	return true
}

// stream begins an answer of lines.
func (s *Server) stream(w http.ResponseWriter, r *http.Request) *eventWriter {
	out := &eventWriter{
		w: w, control: http.NewResponseController(w), gate: s.opts.Gate, ctx: r.Context(), patience: s.patience,
	}
	// The read deadline was for the request and would end the stream.
	if err := out.control.SetReadDeadline(time.Time{}); err != nil {
		s.log.Debug("cannot set deadlines on this connection", "err", err)
	}
	w.Header().Set("Content-Type", "application/x-ndjson")
	return out
}

// batchLines is how many lines are encoded in one turn at most.
const batchLines = 100

type eventWriter struct {
	w        http.ResponseWriter
	control  *http.ResponseController
	gate     *ordinary.Gate  // nil if the stream is not charged
	ctx      context.Context // of the request
	batch    []any
	patience time.Duration
}

// write adds one line; flush sends it and those before. Lines that come together are encoded in one turn, which ends
// before anything is sent, so that a client that reads slowly blocks no other.
func (e *eventWriter) write(ev any, flush bool) error {
	e.batch = append(e.batch, ev)
	if !flush && len(e.batch) < batchLines {
		return nil
	}
	var lines bytes.Buffer
	var err error
	refused := e.gate.Do(e.ctx, eventTimeout, func(context.Context) {
		to := json.NewEncoder(&lines)
		for _, ev := range e.batch {
			err = cmp.Or(err, to.Encode(ev))
		}
	})
	if err := cmp.Or(refused, err); err != nil {
		return err
	}
	clear(e.batch)
	e.batch = e.batch[:0]
	if err := e.control.SetWriteDeadline(time.Now().Add(e.patience)); err != nil {
		return err
	}
	if _, err := lines.WriteTo(e.w); err != nil {
		return err
	}
	return e.control.Flush()
}
