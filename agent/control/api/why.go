// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Why is the answer to GET /v1/why/{name}: why a group is in its state, in values and
// in sentences.
type Why struct {
	Group  string    `json:"group"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Because says what decided and what holds now.
	Because []string `json:"because"`
	// Changes says what would have to be otherwise for the state to change.
	Changes []string `json:"changes"`
	// Takeover says what would happen if the address moved now.
	Takeover string `json:"takeover"`

	Ours Standing `json:"ours"`
	// Theirs is what the last foreign speaker said; null if none was heard.
	Theirs *Standing `json:"theirs"`
	// Superior says whether this node would have to yield to what Theirs says.
	Superior bool `json:"superior"`
	Preempt  bool `json:"preempt"`
	// SilentFamily is "ipv4" or "ipv6" while only the other one of the master's is heard.
	SilentFamily string `json:"silent_family,omitempty"`

	Demotion  int        `json:"demotion"`
	Demotions []Demotion `json:"demotions"`
	// Hold is startup or yield while this node does not preempt although it might.
	Hold      string    `json:"hold,omitempty"`
	HoldUntil time.Time `json:"hold_until,omitzero"`
	// MasterDownSeconds is how long a silent master is waited for.
	MasterDownSeconds float64 `json:"master_down_seconds"`
	// Waiting is what the next timer is for, and WaitingSeconds what is left of it.
	Waiting               string  `json:"waiting"`
	WaitingSeconds        float64 `json:"waiting_seconds"`
	LeaseRemainingSeconds float64 `json:"lease_remaining_seconds"`
}

// Standing is what is compared between two nodes: the shorter interval wins.
type Standing struct {
	Address string `json:"address,omitempty"`
	AdvBase int    `json:"advbase"`
	// AdvSkew is as advertised; ConfiguredAdvSkew is ours without demotions.
	AdvSkew           int     `json:"advskew"`
	ConfiguredAdvSkew *int    `json:"configured_advskew,omitempty"`
	Demote            int     `json:"demote"`
	IntervalSeconds   float64 `json:"interval_seconds"`
	// LastSeen is when it was heard.
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// RawWhy returns GET /v1/why/{name} as the daemon wrote it.
func (c *Client) RawWhy(ctx context.Context, name string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/why/"+url.PathEscape(name))
}
