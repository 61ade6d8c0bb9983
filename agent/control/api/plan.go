// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
)

// MaxConfig is the largest config file, in bytes, that can be planned.
const MaxConfig = 16 << 20

// ConfigFile is a config that is to be planned: the body of POST /v1/plan, with its
// name and mode as parameters. The daemon gets the text and not the path, for its
// view of the filesystem may be another (systemd's PrivateTmp, ProtectHome).
type ConfigFile struct {
	// Name is what problems call it.
	Name string
	// Mode has the permission bits of the file: a password must not stand in one that
	// everybody may read.
	Mode uint32
	// Text is the TOML.
	Text []byte
}

// Actions as in [PlanChange.Action].
const (
	PlanAdd    = "add"
	PlanRemove = "remove"
	PlanModify = "change"
	// PlanReach: the group itself does not change, a key outside the groups reaches it.
	PlanReach = "reach"
)

// Effects as in [PlanEffect.Effect].
const (
	// EffectGivesUp: this node stops answering for the addresses.
	EffectGivesUp = "gives_up"
	// EffectTakes: this node begins to answer for the addresses.
	EffectTakes = "takes"
	// EffectMayTake: it begins to if nobody better speaks.
	EffectMayTake = "may_take"
	// EffectMayMove: another node may take the addresses over.
	EffectMayMove = "may_move"
	// EffectDeaf: adverts that are accepted now are refused afterwards.
	EffectDeaf = "deaf"
	// EffectNone: no address moves.
	EffectNone = "none"
)

// Plan is the answer to POST /v1/plan: what a reload of a config would do. Nothing was
// changed for it.
type Plan struct {
	// Source is the name of the config that was planned.
	Source string `json:"source"`
	Node   string `json:"node"`
	// Moves says whether any effect but none is among Changes.
	Moves   bool         `json:"moves"`
	Changes []PlanChange `json:"changes"`
	// Untouched are the groups that a reload leaves alone.
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
	// State is the group's present one; empty for one that is added.
	State string `json:"state"`
	// Fields are the keys that change, those outside the groups with their table.
	Fields  []string     `json:"fields"`
	Effects []PlanEffect `json:"effects"`
}

// PlanEffect is one consequence.
type PlanEffect struct {
	// Effect is one of the constants above.
	Effect string `json:"effect"`
	// Addresses are those it is about.
	Addresses []string `json:"addresses"`
	// Text says why, for people.
	Text string `json:"text"`
}

// Plan asks what a reload of the config would do; nil means of the file that the
// daemon was started with, as it is now. An invalid one has [CodeInvalidConfig] and
// every problem.
func (c *Client) Plan(ctx context.Context, file *ConfigFile) (Plan, error) {
	path, body := planRequest(file)
	return send[Plan](ctx, c, http.MethodPost, path, body)
}

// RawPlan is [Client.Plan] as the daemon wrote it.
func (c *Client) RawPlan(ctx context.Context, file *ConfigFile) (json.RawMessage, error) {
	path, body := planRequest(file)
	return send[json.RawMessage](ctx, c, http.MethodPost, path, body)
}

func planRequest(file *ConfigFile) (path string, body []byte) {
	if file == nil {
		return "/v1/plan", nil
	}
	q := url.Values{"name": {file.Name}, "mode": {strconv.FormatUint(uint64(file.Mode), 8)}}
	return "/v1/plan?" + q.Encode(), file.Text
}
