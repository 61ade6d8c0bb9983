// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"time"
)

// Why is the answer to GET /v1/why/{name}: why a group is in its state, in values and sentences.
type Why struct {
	Group  string    `json:"group"`
	State  string    `json:"state"`
	Reason string    `json:"reason"`
	Since  time.Time `json:"since"`
	// Because explains what decided and what holds now.
	Because []string `json:"because"`
	// Changes explains what would change the state.
	Changes []string `json:"changes"`
	// Takeover explains what would happen on a takeover now.
	Takeover string `json:"takeover"`
	// Standbys and StandbysUnknown are as in Group.
	Standbys        []Standby `json:"standbys"`
	StandbysUnknown string    `json:"standbys_unknown,omitempty"`

	Ours Standing `json:"ours"`
	// Theirs is what the last other node advertised; null if none was heard.
	Theirs *Standing `json:"theirs"`
	// Superior is true if this node would have to yield to Theirs.
	Superior bool `json:"superior"`
	Preempt  bool `json:"preempt"`
	// SilentFamily is "ipv4" or "ipv6" while the master is heard only in the other.
	SilentFamily string `json:"silent_family,omitempty"`

	Demotion  int        `json:"demotion"`
	Demotions []Demotion `json:"demotions"`
	// Hold is why this node does not preempt although it could: startup, yield, send_failed,
	// checks or claim_delay.
	Hold      string    `json:"hold,omitempty"`
	HoldUntil time.Time `json:"hold_until,omitzero"`
	// MasterDownSeconds is the master-down interval.
	MasterDownSeconds float64 `json:"master_down_seconds"`
	// Waiting is what the next timer is for, WaitingSeconds the time until it expires.
	Waiting               string  `json:"waiting"`
	WaitingSeconds        float64 `json:"waiting_seconds"`
	LeaseRemainingSeconds float64 `json:"lease_remaining_seconds"`
}

// Standing is what the comparison of two nodes uses: the shorter interval wins.
type Standing struct {
	Address string `json:"address,omitempty"`
	AdvBase int    `json:"advbase"`
	// AdvSkew is as advertised; ConfiguredAdvSkew is that of this node without demotions.
	AdvSkew           int     `json:"advskew"`
	ConfiguredAdvSkew *int    `json:"configured_advskew,omitempty"`
	Demote            int     `json:"demote"`
	IntervalSeconds   float64 `json:"interval_seconds"`
	// BeatSeconds is how often the node advertises, if it states a beat; it is not compared. 0: once per interval.
	BeatSeconds float64 `json:"beat_seconds"`
	// LastSeen is when the advert was heard.
	LastSeen time.Time `json:"last_seen,omitzero"`
}

// RawWhy returns GET /v1/why/{name} as the daemon wrote it.
func (c *Client) RawWhy(ctx context.Context, name string) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/why/"+url.PathEscape(name))
}
