// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"slices"
	"time"

	"vipd/agent/control/api"
)

const (
	// beat is how often a live page gets a message even if nothing changed. The page greys out
	// after some seconds without one (assets/style.css and live.js).
	beat = time.Second
	// streamTimeout is how long writing one message may take.
	streamTimeout = 10 * time.Second
)

// message is one server-sent event. Absent fields have not changed.
type message struct {
	// Now is the server's clock, At the moment of the data shown, in ms since 1970.
	Now int64 `json:"now"`
	At  int64 `json:"at"`
	// Set is the new HTML of regions and rows by id.
	Set map[string]string `json:"set,omitempty"`
	// Rows are the ids of the table's rows in order, if that changed.
	Rows []string `json:"rows,omitempty"`
	// Heard is when another node was heard, by id of the row.
	Heard map[string]int64 `json:"heard,omitempty"`
	Title string           `json:"title,omitempty"`
	// Say is for screen readers: the transitions since the last message.
	Say []string `json:"say,omitempty"`
	// Build is the version of the page's files, in the first message: a page with another one
	// reloads.
	Build string `json:"build,omitempty"`
	// Dead is the reason why the election does not run.
	Dead string `json:"dead,omitempty"`
}

// live is the state of one live page in a browser.
type live struct {
	s     *Server
	ask   ask
	sent  map[string]string // regions by id
	rows  map[string]*row
	order []string
	title string
	last  time.Time // time of the newest transition that was sent
	begun bool
}

// events keeps one page up to date until the browser leaves, reads too slowly, or the server stops.
func (s *Server) events(w http.ResponseWriter, r *http.Request) {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		w.Header().Set("Retry-After", "10")
		s.refuse(w, refusedStreams, http.StatusServiceUnavailable,
			"Too many live pages. This page can still be reloaded.")
		return
	}
	kind := r.URL.Query().Get("view")
	switch kind {
	case kindStatus, kindGroup, kindNodes, kindWidget:
	default:
		s.plain(w, http.StatusNotFound, "There is no such view.")
		return
	}
	l := &live{s: s, ask: s.askOf(kind, r), sent: map[string]string{}, rows: map[string]*row{}}
	poked, forget := s.hub.watch()
	defer forget()
	out := http.NewResponseController(w)
	// The request was read; its deadline would end the stream.
	if err := out.SetReadDeadline(time.Time{}); err != nil {
		s.log.Debug("cannot set deadlines on the connection", "err", err)
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // otherwise nginx buffers the events
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for {
		if err := l.write(r.Context(), w, out); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				s.opts.Refused(refusedSlow)
			}
			s.log.Debug("live page closed", "err", err)
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-s.stopping:
			return
		case <-poked:
		case <-ticker.C:
		}
	}
}

// write sends the changes since the last message, if any.
func (l *live) write(ctx context.Context, w http.ResponseWriter, out *http.ResponseController) error {
	body, err := l.body(ctx)
	if err != nil {
		return err
	}
	if err := out.SetWriteDeadline(moment().Add(streamTimeout)); err != nil {
		return err
	}
	if _, err := w.Write(bytes.Join([][]byte{[]byte("retry: 1000\ndata: "), body, []byte("\n\n")}, nil)); err != nil {
		return err
	}
	return out.Flush()
}

// body renders the next message in a turn.
func (l *live) body(ctx context.Context) (body []byte, err error) {
	refused := l.s.opts.Gate.Do(ctx, streamTimeout, func(ctx context.Context) {
		body, err = json.Marshal(l.message(ctx))
	})
	return body, cmp.Or(refused, err)
}

func (l *live) message(ctx context.Context) message {
	m := message{Now: moment().UnixMilli()}
	snap := l.s.hub.snap.Load()
	if snap == nil { // the server has just started
		return m
	}
	m.At = snap.at.UnixMilli()
	if !l.begun {
		m.Build = l.s.assets.version
	}
	if snap.dead != nil {
		m.Dead = snap.dead.Error()
	}
	scr := l.s.screenOf(ctx, &l.ask, snap)
	m.Set = map[string]string{}
	for _, r := range scr.regions {
		if l.sent[r.ID] != r.HTML {
			l.sent[r.ID] = r.HTML
			m.Set[r.ID] = r.HTML
		}
	}
	if l.title != scr.title {
		l.title = scr.title
		m.Title = scr.title
	}
	l.table(&m, scr.rows)
	m.Say = l.say(snap.history)
	return m
}

// table adds the rows that are new or have changed.
func (l *live) table(m *message, rows []*row) {
	order := make([]string, len(rows))
	now := make(map[string]*row, len(rows))
	same := len(rows) == len(l.order)
	for i, r := range rows {
		order[i], now[r.ID] = r.ID, r
		same = same && l.order[i] == r.ID
		was := l.rows[r.ID]
		switch {
		case was == r:
		case was == nil || was.content != r.content && !was.equal(&r.rowData, r.Faults):
			m.Set[r.ID] = r.HTML(l.s.pages)
		case !was.heard.Equal(r.heard):
			if m.Heard == nil {
				m.Heard = map[string]int64{}
			}
			m.Heard[r.ID] = r.heard.UnixMilli()
		}
	}
	if !same {
		m.Rows = order
	}
	l.rows, l.order = now, order
}

// say returns the transitions since the last message, oldest first.
func (l *live) say(history []api.Transition) []string {
	var out []string
	for _, t := range slices.Backward(history) {
		if !t.Time.After(l.last) {
			continue
		}
		l.last = t.Time
		if l.begun {
			out = append(out, t.Group+" is now "+lookOfState(t.To, t.Reason).Word+": "+because(t)+".")
		}
	}
	l.begun = true
	return out
}
