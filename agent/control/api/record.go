// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// RecordTransition is the [Record.Kind] of a change of state. The others are those of
// the data plane: authentic, rejected, dropped, foreign_vrrp, advert_sent, arp_request,
// arp_reply, arp_gratuitous, arp_sent, nd_solicitation, nd_advertisement, nd_sent,
// claim.
const RecordTransition = "transition"

// Record is one entry of the flight recorder: a frame that the data plane consumed, checked or
// sent, or a transition.
type Record struct {
	// Time is when the kernel received or sent the frame, in wall-clock time with nanoseconds.
	Time  time.Time `json:"time"`
	Group string    `json:"group"`
	// State is the group's state at that time; empty if it is not known.
	State string `json:"state,omitempty"`
	Kind  string `json:"kind"`
	// Reason is the reject reason, or why the frame was dropped.
	Reason string `json:"reason,omitempty"`
	// Direction is in or out.
	Direction string `json:"direction,omitempty"`
	// Text describes the record in plain words.
	Text string `json:"text"`
	// Cause is true for the advert that caused the incident's first transition.
	Cause bool `json:"cause,omitempty"`
	// LagSeconds is how long after the frame the agent read it; absent if the agent does not wait for such frames.
	LagSeconds *float64 `json:"lag_seconds,omitempty"`

	Interface string `json:"interface,omitempty"`
	VLAN      int    `json:"vlan,omitempty"`
	// Length is the length of the frame, Frame at most its first 128 bytes. Only root and the daemon's own user get
	// frames.
	Length int    `json:"length,omitempty"`
	Frame  []byte `json:"frame,omitempty"`

	Advert     *RecordAdvert    `json:"advert,omitempty"`
	Neighbour  *RecordNeighbour `json:"neighbour,omitempty"`
	Transition *Transition      `json:"transition,omitempty"`
}

// RecordAdvert has the fields of an advert as it states them, even if it was refused.
type RecordAdvert struct {
	Source      string `json:"source"`
	Destination string `json:"destination"`
	TTL         int    `json:"ttl"`
	Version     int    `json:"version"`
	VHID        int    `json:"vhid"`
	AdvBase     int    `json:"advbase"`
	AdvSkew     int    `json:"advskew"`
	Demote      int    `json:"demote"`
	// Counter is in hexadecimal: it has 64 bits.
	Counter string `json:"counter"`
	// Proven means that the trailer is right: a vipd node sent exactly this.
	Proven  bool `json:"proven"`
	Goodbye bool `json:"goodbye,omitempty"`
	// Trailer is absent in adverts of other implementations.
	Trailer *RecordTrailer `json:"trailer,omitempty"`
}

// Values of [RecordTrailer.Tag].
const (
	TagRight     = "right"
	TagWrong     = "wrong"
	TagUnchecked = "unchecked" // refused before
	TagOurs      = "ours"
)

// RecordTrailer is what follows an advert of a vipd node.
type RecordTrailer struct {
	// Number is the counter, in microseconds.
	Number uint64 `json:"number"`
	// BeatMicroseconds is within what time the next advert comes; 0: within the interval of advbase and advskew.
	BeatMicroseconds int `json:"beat_microseconds"`
	// Tag is right, wrong, unchecked or ours.
	Tag string `json:"tag"`
}

// RecordNeighbour is an ARP packet or a neighbour discovery message.
type RecordNeighbour struct {
	// Op is request, reply, solicitation or advertisement.
	Op        string `json:"op"`
	Sender    string `json:"sender"`
	SenderMAC string `json:"sender_mac"`
	Target    string `json:"target"`
}

// Incident is what the flight recorder saved around a transition. Records come with GET /v1/records/{id} and are absent
// in the list.
type Incident struct {
	// ID is higher for a later incident.
	ID    uint64    `json:"id"`
	Node  string    `json:"node"`
	Group string    `json:"group"`
	Time  time.Time `json:"time"`
	// From, To, Reason and Cause are those of the first transition; Transitions counts all within the next seconds.
	From        string `json:"from"`
	To          string `json:"to"`
	Reason      string `json:"reason"`
	Cause       *Cause `json:"cause"`
	Transitions int    `json:"transitions"`
	// Frames counts the recorded frames; Missed counts frames of the group that were not recorded since vipd started.
	Frames int    `json:"frames"`
	Missed uint64 `json:"missed"`
	// Open is true while the time after the transition is still being recorded.
	Open    bool     `json:"open,omitempty"`
	Records []Record `json:"records,omitempty"`
}

// Incidents is the answer to GET /v1/records, oldest first.
type Incidents struct {
	Incidents []Incident `json:"incidents"`
	// Skipped is how many transitions came too fast for an incident of their own; the history has them.
	Skipped uint64 `json:"skipped"`
	// Unsaved is why incidents are not on disk; empty if they are.
	Unsaved string `json:"unsaved,omitempty"`
}

// CaptureLine is one line of GET /v1/groups/{name}/capture. The first has Begin, each following one a record or a new
// count of lost frames.
type CaptureLine struct {
	Begin *CaptureBegin `json:"begin,omitempty"`
	// Record is a frame or a transition.
	Record *Record `json:"record,omitempty"`
	// Lost counts frames since the beginning that are not in the stream: beyond the budget of a capture, or not read in
	// time.
	Lost *uint64 `json:"lost,omitempty"`
	// End is why the daemon ended the stream.
	End string `json:"end,omitempty"`
}

// CaptureBegin describes what is captured.
type CaptureBegin struct {
	Node      string `json:"node"`
	Version   string `json:"version"`
	Group     string `json:"group"`
	Interface string `json:"interface"`
}

// Incidents returns the incidents of the flight recorder, oldest first and without records.
func (c *Client) Incidents(ctx context.Context) (Incidents, error) {
	return call[Incidents](ctx, c, http.MethodGet, "/v1/records")
}

// Incident returns one incident with its records; with frames for users who may change vipd.
func (c *Client) Incident(ctx context.Context, id uint64) (Incident, error) {
	return call[Incident](ctx, c, http.MethodGet, incidentPath(id))
}

// RawIncident is [Client.Incident] as the daemon wrote it.
func (c *Client) RawIncident(ctx context.Context, id uint64) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, incidentPath(id))
}

func incidentPath(id uint64) string { return "/v1/records/" + strconv.FormatUint(id, 10) }

// Capture calls each with every line of a capture, as [Client.Events] does.
func (c *Client) Capture(ctx context.Context, group string, each func(line []byte) error) error {
	return c.lines(ctx, groupPath(group)+"/capture", "frames", each)
}
