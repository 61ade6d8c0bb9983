// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"
)

// Limits of how long the doctor watches the wire.
const (
	MinDoctorSeconds = 1
	MaxDoctorSeconds = 30
)

// Severities as in [Finding.Severity].
const (
	// SeverityFault: addresses are owned twice, by nobody, or are about to be.
	SeverityFault = "fault"
	// SeverityWarning: it works now, and will not when something else fails.
	SeverityWarning = "warning"
)

// Results as in [DoctorCheck.Result].
const (
	CheckOK      = "ok"
	CheckFound   = "found"
	CheckSkipped = "skipped"
)

// Finding is one cause that the doctor names.
type Finding struct {
	// Code is stable and listed in docs/doctor.md.
	Code string `json:"code"`
	// Severity is fault or warning.
	Severity string `json:"severity"`
	// Group is the group concerned; empty when it is the node.
	Group string `json:"group,omitempty"`
	// Cause is one plain sentence.
	Cause string `json:"cause"`
	// Evidence is what was seen.
	Evidence []string `json:"evidence"`
	// Advice is what to do next.
	Advice string `json:"advice"`
}

// DoctorCheck is one thing that was looked at.
type DoctorCheck struct {
	// Code is that of the findings that it can make.
	Code string `json:"code"`
	// What says in words what was looked at.
	What string `json:"what"`
	// Result is ok, found or skipped.
	Result string `json:"result"`
	// Note says why it was skipped, or what is worth knowing.
	Note string `json:"note,omitempty"`
}

// Doctor is the answer to GET /v1/doctor.
type Doctor struct {
	Node string    `json:"node"`
	Time time.Time `json:"time"`
	// WatchedSeconds is how long the wire was watched.
	WatchedSeconds float64 `json:"watched_seconds"`
	// Findings come with the worst first; empty when no fault was found.
	Findings []Finding     `json:"findings"`
	Checks   []DoctorCheck `json:"checks"`
}

// doctorMargin is what the daemon needs beside the watching.
const doctorMargin = 30 * time.Second

// RawDoctor examines the node and what its interfaces hear, and returns the
// [Doctor] as the daemon wrote it. It changes nothing. With seconds 0 the daemon
// decides how long it watches.
func (c *Client) RawDoctor(ctx context.Context, seconds int) (json.RawMessage, error) {
	path := "/v1/doctor"
	if seconds > 0 {
		path += "?seconds=" + strconv.Itoa(seconds)
	}
	patient := &Client{Socket: c.Socket, Timeout: cmp.Or(c.Timeout, max(time.Duration(seconds), MaxDoctorSeconds)*time.Second+doctorMargin)}
	return call[json.RawMessage](ctx, patient, http.MethodGet, path)
}
