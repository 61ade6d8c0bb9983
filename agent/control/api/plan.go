// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// MaxConfig is the size of the largest config file that can be planned, in bytes.
const MaxConfig = 16 << 20

// ConfigFile is a config to plan: the body of POST /v1/plan, with its name and mode as parameters. The daemon gets the
// text and not the path, since its view of the filesystem may differ (systemd's PrivateTmp, ProtectHome).
type ConfigFile struct {
	// Name is the file name in reported problems.
	Name string
	// Mode has the permission bits of the file: a world-readable file must not contain a password.
	Mode uint32
	// Text is the TOML.
	Text []byte
}

// Actions as in [PlanChange.Action].
const (
	PlanAdd    = "add"
	PlanRemove = "remove"
	PlanModify = "change"
	// PlanReach: the group itself does not change, but a key outside the groups affects it.
	PlanReach = "reach"
)

// Effects as in [PlanEffect.Effect].
const (
	// EffectGivesUp: this node stops answering for the addresses.
	EffectGivesUp = "gives_up"
	// EffectTakes: this node starts to answer for the addresses.
	EffectTakes = "takes"
	// EffectMayTake: this node starts to answer if no better node advertises.
	EffectMayTake = "may_take"
	// EffectMayMove: another node may take the addresses over.
	EffectMayMove = "may_move"
	// EffectDeaf: adverts that are accepted now will be refused.
	EffectDeaf = "deaf"
	// EffectNone: no address moves.
	EffectNone = "none"
)

// Plan is the answer to POST /v1/plan: what a reload of a config would do. Nothing is changed.
type Plan struct {
	// Source is the name of the planned config.
	Source string `json:"source"`
	Node   string `json:"node"`
	// Moves is true if Changes has any effect other than none.
	Moves bool `json:"moves"`
	// NeedsForce is true if a reload would release all groups; it is refused without force.
	NeedsForce bool         `json:"needs_force,omitempty"`
	Changes    []PlanChange `json:"changes"`
	// Untouched lists the groups that a reload does not change.
	Untouched []string `json:"untouched"`
	// Global, NeedRestart and Warnings are those of [Reload].
	Global      []string `json:"global"`
	NeedRestart []string `json:"need_restart"`
	Warnings    []string `json:"warnings"`
}

// PlanChange is what happens to one group.
type PlanChange struct {
	Group string `json:"group"`
	// Action is one of the constants above.
	Action string `json:"action"`
	// State is the group's present state; empty for a group that is added.
	State string `json:"state"`
	// Fields lists the keys that change; those outside the groups have their table's name in front.
	Fields  []string     `json:"fields"`
	Effects []PlanEffect `json:"effects"`
}

// PlanEffect is one consequence.
type PlanEffect struct {
	// Effect is one of the constants above.
	Effect string `json:"effect"`
	// Addresses lists the addresses concerned.
	Addresses []string `json:"addresses"`
	// Text is the explanation for people.
	Text string `json:"text"`
}

// RawPlan asks what a reload of the config would do, and returns the [Plan] as the daemon wrote it.
// A nil file means the one that the daemon was started with, as it is now. An invalid config is an
// [Error] with [CodeInvalidConfig] and every problem.
func (c *Client) RawPlan(ctx context.Context, file *ConfigFile) (json.RawMessage, error) {
	if file == nil {
		return call[json.RawMessage](ctx, c, http.MethodPost, "/v1/plan")
	}
	q := url.Values{"name": {file.Name}, "mode": {strconv.FormatUint(uint64(file.Mode), 8)}}
	return send[json.RawMessage](ctx, c, http.MethodPost, "/v1/plan?"+q.Encode(), file.Text)
}
