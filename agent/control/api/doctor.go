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

// Limits of the time for which the doctor watches the wire.
const (
	MinDoctorSeconds = 1
	MaxDoctorSeconds = 30
)

// Severities as in [Finding.Severity].
const (
	// SeverityFault: addresses have two owners or no owner, or soon will.
	SeverityFault = "fault"
	// SeverityWarning: it works now, and will not after another failure.
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
	// Group is the affected group; empty for the node.
	Group string `json:"group,omitempty"`
	// Cause is one plain sentence.
	Cause string `json:"cause"`
	// Evidence is what was seen.
	Evidence []string `json:"evidence"`
	// Advice is what to do next.
	Advice string `json:"advice"`
}

// DoctorCheck is the result of one rule.
type DoctorCheck struct {
	// Code is the code of its findings.
	Code string `json:"code"`
	// What states the result in words. For a skipped check it is what was not verified.
	What string `json:"what"`
	// Result is ok, found or skipped.
	Result string `json:"result"`
	// Note says why the check was skipped, or adds information.
	Note string `json:"note,omitempty"`
}

// Doctor is the answer to GET /v1/doctor.
type Doctor struct {
	Node string    `json:"node"`
	Time time.Time `json:"time"`
	// WatchedSeconds is how long the wire was watched.
	WatchedSeconds float64 `json:"watched_seconds"`
	// Findings are sorted by severity; empty if no fault was found.
	Findings []Finding     `json:"findings"`
	Checks   []DoctorCheck `json:"checks"`
}

// doctorMargin is the time that the daemon needs in addition to the watching.
const doctorMargin = 30 * time.Second

// RawDoctor examines the node and what its interfaces hear, and returns the
// [Doctor] as the daemon wrote it. It changes nothing. With seconds 0 the daemon decides how
// long it watches.
func (c *Client) RawDoctor(ctx context.Context, seconds int) (json.RawMessage, error) {
	path := "/v1/doctor"
	if seconds > 0 {
		path += "?seconds=" + strconv.Itoa(seconds)
	}
	patient := &Client{
		Socket:  c.Socket,
		Timeout: cmp.Or(c.Timeout, max(time.Duration(seconds), MaxDoctorSeconds)*time.Second+doctorMargin),
	}
	return call[json.RawMessage](ctx, patient, http.MethodGet, path)
}
