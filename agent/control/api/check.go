// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// States as in [Check.State].
const (
	CheckUnknown = "unknown"
	CheckPassing = "passing"
	CheckFailing = "failing"
)

// Checks is the answer to GET /v1/checks.
type Checks struct {
	Checks []Check `json:"checks"`
}

// Check is one health check of the config with its verdict.
type Check struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Subject is what the check tests: the target, or the program of a command check.
	Subject string `json:"subject"`
	// State is one of the constants above; the check demotes the node while it is failing.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// LastRun is when the last run ended; absent before the first run.
	LastRun time.Time `json:"last_run,omitzero"`
	// Reason is why the last run failed; empty if it passed.
	Reason string `json:"reason"`
	// Successes and Failures count consecutive results up to the last one.
	Successes int `json:"successes"`
	Failures  int `json:"failures"`
	// Rise and Fall are how many consecutive results change the state.
	Rise int `json:"rise"`
	Fall int `json:"fall"`
	// Demotion is added to the node's demotion while the check is failing, in units of advskew (1/256 s).
	Demotion        int     `json:"demotion"`
	IntervalSeconds float64 `json:"interval_seconds"`
	TimeoutSeconds  float64 `json:"timeout_seconds"`
}

// CheckRun is the answer to POST /v1/checks/{name}/run.
type CheckRun struct {
	Name   string `json:"name"`
	Type   string `json:"type"`
	Passed bool   `json:"passed"`
	// Reason is why the run failed; empty if it passed.
	Reason string `json:"reason"`
	// ExitCode is the exit status of a command check's program; absent for other types, and if the program has none.
	ExitCode *int `json:"exit_code,omitempty"`
	// Signal is the number of the signal that ended the program; absent if none did.
	Signal int `json:"signal,omitempty"`
	// NotStarted is true if the program does not exist or could not be started.
	NotStarted bool `json:"not_started,omitempty"`
	// TimedOut is true if the run was ended at the timeout of the check.
	TimedOut bool `json:"timed_out,omitempty"`
	// Output is the first 4 KiB of the program's stdout and stderr; Truncated is true if there was more.
	Output          string  `json:"output,omitempty"`
	Truncated       bool    `json:"truncated,omitempty"`
	DurationSeconds float64 `json:"duration_seconds"`
}

// checkPatience is how much longer than a check's timeout a client waits for the answer.
const checkPatience = 15 * time.Second

// Checks returns the health checks with their verdicts.
func (c *Client) Checks(ctx context.Context) (Checks, error) {
	return call[Checks](ctx, c, http.MethodGet, "/v1/checks")
}

// RawChecks is [Client.Checks] as the daemon wrote it.
func (c *Client) RawChecks(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/checks")
}

// RunCheck runs one check now, as the daemon does, and does not change the verdict. An unknown name is an [*Error] with
// [CodeNotFound].
func (c *Client) RunCheck(ctx context.Context, name string) (CheckRun, error) {
	patient := *c
	if patient.Timeout == 0 {
		list, err := c.Checks(ctx)
		if err != nil {
			return CheckRun{}, err
		}
		patient.Timeout = checkPatience
		for i := range list.Checks {
			if list.Checks[i].Name == name {
				patient.Timeout += time.Duration(list.Checks[i].TimeoutSeconds * float64(time.Second))
			}
		}
	}
	return call[CheckRun](ctx, &patient, http.MethodPost, "/v1/checks/"+url.PathEscape(name)+"/run")
}
