// SPDX-License-Identifier: Apache-2.0

package record

import (
	"time"

	"vipd/agent/control/api"
)

const (
	// after is the recorded time after a transition, atMost the total time if others follow.
	after  = int64(2 * time.Second)
	atMost = int64(10 * time.Second)
)

// incident has the entries from before and after a transition. Its JSON is that of the files.
type incident struct {
	ID    uint64 `json:"id"`
	Node  string `json:"node"`
	Group string `json:"group"`
	// Interface is that of the frames.
	Interface string `json:"interface"`
	// At is the time of the first transition in CLOCK_BOOTTIME ns; Offset added to it is Unix time.
	At     int64 `json:"at"`
	Offset int64 `json:"offset"`
	// CauseAt is when the advert that caused it was received, 0 if no advert did.
	CauseAt int64          `json:"cause_at,omitempty"`
	First   api.Transition `json:"first"`
	Missed  uint64         `json:"missed"`
	Entries []entry        `json:"entries"`

	until int64
	limit int // of Entries

	// The counts of a finished incident are kept: the status page reads the list every second.
	finished            bool
	frames, transitions int
}

func (in *incident) room() bool { return len(in.Entries) < in.limit }

// finish ends the recording and sorts entries that came late.
func (in *incident) finish(missed uint64) {
	in.until = 0
	in.Missed = missed
	sortEntries(in.Entries)
	in.complete()
}

// complete stores the counts of an incident to which nothing is added any more.
func (in *incident) complete() {
	in.frames, in.transitions = in.count()
	in.finished = true
}

func (in *incident) count() (frames, transitions int) {
	for i := range in.Entries {
		switch {
		case in.Entries[i].Transition == nil:
			frames++
		case in.Entries[i].At >= in.At:
			transitions++
		}
	}
	return frames, transitions
}

func (in *incident) clone() *incident {
	out := *in
	out.Entries = append([]entry(nil), in.Entries...)
	sortEntries(out.Entries)
	return &out
}

// summary returns the incident as in the list.
func (in *incident) summary() api.Incident {
	out := api.Incident{
		ID: in.ID, Node: in.Node, Group: in.Group, Time: wall(in.At, in.Offset),
		From: in.First.From, To: in.First.To, Reason: in.First.Reason, Cause: in.First.Cause,
		Missed: in.Missed, Open: in.until != 0, Frames: in.frames, Transitions: in.transitions,
	}
	if !in.finished {
		out.Frames, out.Transitions = in.count()
	}
	return out
}

// whole returns the incident with all records.
func (in *incident) whole() api.Incident {
	out := in.summary()
	out.Records = make([]api.Record, 0, len(in.Entries))
	for i := range in.Entries {
		e := &in.Entries[i]
		rec := e.record(in.Group, in.Interface, in.Offset)
		rec.State = stateAt(in.Entries, e.At, "")
		rec.Cause = in.CauseAt != 0 && e.At == in.CauseAt && e.Kind == loaderAuthentic && e.Transition == nil
		out.Records = append(out.Records, rec)
	}
	return out
}

func wall(at, offset int64) time.Time { return time.Unix(0, at+offset).UTC() }
