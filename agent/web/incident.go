// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/control/api/pcapng"
)

// detailIncidents is how many incidents the page of a group lists.
const detailIncidents = 10

// shownIncident is one line of the list of incidents.
type shownIncident struct {
	shownTransition
	ID     uint64
	Frames int
}

// newest returns the incidents that the page of a group lists, newest first.
func newest(incidents []api.Incident, group string) []*api.Incident {
	var out []*api.Incident
	for i := len(incidents) - 1; i >= 0 && len(out) < detailIncidents; i-- {
		if incidents[i].Group == group {
			out = append(out, &incidents[i])
		}
	}
	return out
}

// recorded returns the newest incidents of a group as lines.
func recorded(incidents []api.Incident, group string) []shownIncident {
	var out []shownIncident
	for _, in := range newest(incidents, group) {
		t := api.Transition{Time: in.Time, Group: in.Group, From: in.From, To: in.To, Reason: in.Reason, Cause: in.Cause}
		out = append(out, shownIncident{shown([]api.Transition{t}, nil)[0], in.ID, in.Frames})
	}
	return out
}

// recordingSlack is how far the times of a transition and of its incident may be apart: they are
// two readings of a clock that may be set in between.
const recordingSlack = time.Second

// recordingsOf returns for each transition, newest first, the number of the incident that
// contains it: the one that it began, or an earlier one that was still open. 0 means none, or one
// that the page of the group does not list.
func recordingsOf(history []api.Transition, incidents []api.Incident) []uint64 {
	out := make([]uint64, len(history))
	if len(incidents) == 0 {
		return out
	}
	type going struct {
		id   uint64
		more int // transitions that it still contains
	}
	groups := map[string]going{}
	for i := len(history) - 1; i >= 0; i-- {
		t := &history[i]
		if t.Conflict != nil { // not a transition
			continue
		}
		on := groups[t.Group]
		if in := begunBy(incidents, t); in != nil {
			on = going{in.ID, in.Transitions}
		}
		if on.more > 0 {
			out[i] = on.id
			on.more--
		}
		groups[t.Group] = on
	}
	return out
}

// begunBy returns the incident that a transition began, or nil.
func begunBy(incidents []api.Incident, t *api.Transition) *api.Incident {
	for _, in := range newest(incidents, t.Group) {
		same := in.From == t.From && in.To == t.To && in.Reason == t.Reason
		if same && in.Time.Sub(t.Time).Abs() <= recordingSlack {
			return in
		}
	}
	return nil
}

// incident sends the frames of an incident as a capture file. It requires the right to change
// the node: the digest in an advert allows guessing the password offline.
func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	_, loggedIn := s.sessions.of(r)
	switch {
	case !s.mayWrite(r):
		s.refuse(w, refusedControls, http.StatusForbidden, "Downloading frames requires the right to change this node, "+
			"and this page is read-only here. Use `vipctl record export`.")
		return
	case !loggedIn && len(s.opts.Token) > 0:
		s.refuse(w, refusedLogin, http.StatusForbidden, "You are not logged in. Log in and try again.")
		return
	}
	id, err := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		s.refuse(w, refusedBad, http.StatusBadRequest, "The id must be the number of an incident.")
		return
	}
	done, ok := s.turn(w, r)
	if !ok {
		return
	}
	defer done()
	in, err := s.backend.Incident(r.Context(), id)
	var file bytes.Buffer
	if err == nil {
		err = pcapng.WriteIncident(&file, api.Version, &in)
	}
	if err != nil {
		status := http.StatusInternalServerError
		if e, known := errors.AsType[*api.Error](err); known && e.Code == api.CodeNotFound {
			status = http.StatusNotFound
		}
		s.plain(w, status, err.Error())
		return
	}
	s.log.Info("incident downloaded", "id", id, "from", r.RemoteAddr)
	w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	w.Header().Set("Content-Disposition", fmt.Sprintf("attachment; filename=\"incident-%d.pcapng\"", id))
	_, _ = w.Write(file.Bytes()) // an error means that the client has gone
}
