// SPDX-License-Identifier: Apache-2.0

package web

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"vipd/agent/control/api"
	"vipd/agent/control/api/pcapng"
)

// detailIncidents are shown of one group.
const detailIncidents = 10

// shownIncident is one line of what the flight recorder froze.
type shownIncident struct {
	shownTransition
	ID     uint64
	Frames int
}

// recorded are the newest incidents of a group, newest first.
func (s *Server) recorded(ctx context.Context, group string) []shownIncident {
	list, err := s.backend.Incidents(ctx)
	if err != nil {
		s.log.Debug("incidents not read", "group", group, "err", err)
	}
	var out []shownIncident
	for i := len(list.Incidents) - 1; i >= 0 && len(out) < detailIncidents; i-- {
		in := &list.Incidents[i]
		if in.Group != group {
			continue
		}
		t := api.Transition{Time: in.Time, Group: in.Group, From: in.From, To: in.To, Reason: in.Reason, Cause: in.Cause}
		out = append(out, shownIncident{shown([]api.Transition{t})[0], in.ID, in.Frames})
	}
	return out
}

// incident is a capture file. Frames are for those who may change the node: an advert
// holds a digest by which its password can be guessed.
func (s *Server) incident(w http.ResponseWriter, r *http.Request) {
	_, loggedIn := s.sessions.of(r)
	switch {
	case !s.mayWrite(r):
		s.refuse(w, refusedControls, http.StatusForbidden, "Frames are given to those who may change this node, and this page is read-only here. `vipctl record export` has them.")
		return
	case !loggedIn && len(s.opts.Token) > 0:
		s.refuse(w, refusedLogin, http.StatusForbidden, "You are not logged in, or no longer. Log in and try again.")
		return
	}
	id, err := strconv.ParseUint(r.URL.Query().Get("id"), 10, 64)
	if err != nil {
		s.refuse(w, refusedBad, http.StatusBadRequest, "id must be the number of an incident.")
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
	_, _ = w.Write(file.Bytes()) // whoever does not take it is gone
}
