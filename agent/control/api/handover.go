// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

// Outcomes as in [Handover.Outcome].
const (
	// OutcomeHandedOver: a successor advertises; this node advertised until the successor's first advert.
	OutcomeHandedOver = "handed_over"
	// OutcomeNotTaken: no node took over, and the group stays MASTER here.
	OutcomeNotTaken = "not_taken"
	// OutcomeGivenUp: no node took over and force was set; the group has no owner.
	OutcomeGivenUp = "given_up"
	// OutcomeNotMaster: the group was not, or no longer, MASTER.
	OutcomeNotMaster = "not_master"
	// OutcomeWithdrawn: maintenance was left before a node took over; the group is still MASTER here.
	OutcomeWithdrawn = "withdrawn"
)

// HandoverLimit returns how long the daemon waits for a handover of a group with that advbase before it answers with
// [CodeTimeout]: an advert that asks, an interval for the peers, a goodbye, another interval, and time for a busy
// machine.
func HandoverLimit(advbase int) time.Duration {
	return 30*time.Second + 4*time.Duration(advbase+1)*time.Second
}

// handoverPatience is how much longer a client waits, so that the daemon can report the outcome.
const handoverPatience = 15 * time.Second

// YieldRequest is the optional body of POST /v1/groups/{name}/yield.
type YieldRequest struct {
	// Force releases the group even if no peer takes it over.
	Force bool `json:"force,omitempty"`
}

// MaintenanceRequest is the optional body of POST /v1/maintenance/enter.
type MaintenanceRequest struct {
	// Wait requests an answer only after every group was handed over, and a goodbye for peers that do not preempt.
	Wait bool `json:"wait,omitempty"`
	// Force is used with Wait: groups are released even if no peer takes them over.
	Force bool `json:"force,omitempty"`
}

// Handover is the result of handing over one group.
type Handover struct {
	Group string `json:"group"`
	// Outcome is one of the constants above.
	Outcome string `json:"outcome"`
	// State and Reason are those of the group afterwards.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Successor is the address of the node that took over; empty if only the kernel knows.
	Successor string `json:"successor,omitempty"`
	// Goodbye is true if a 255/255 was needed: the successor does not preempt.
	Goodbye bool `json:"goodbye"`
	// TookSeconds is the time since the request.
	TookSeconds float64 `json:"took_seconds"`
	// GapSeconds is how long the group had no owner, from this node's last moment as owner to the successor's first
	// authentic advert; 0 if there was no gap.
	GapSeconds float64 `json:"gap_seconds"`
}

// Yield hands over one group and returns when a successor advertises. Without a successor the error has
// [CodeNoSuccessor], and the group stays MASTER unless force is set.
func (c *Client) Yield(ctx context.Context, name string, force bool) (Handover, error) {
	return handOver[Handover](ctx, c, groupPath(name)+"/yield", YieldRequest{Force: force})
}

// EnterMaintenanceAndWait is [Client.EnterMaintenance], and returns when every group was handed over. The error has
// [CodeNoSuccessor] if a group found no successor; the node is in maintenance nevertheless.
func (c *Client) EnterMaintenanceAndWait(ctx context.Context, force bool) (Change, error) {
	return handOver[Change](ctx, c, "/v1/maintenance/enter", MaintenanceRequest{Wait: true, Force: force})
}

func handOver[T any](ctx context.Context, c *Client, path string, request any) (T, error) {
	body, err := json.Marshal(request)
	if err != nil {
		var none T
		return none, fmt.Errorf("write request: %w", err)
	}
	st, err := c.Status(ctx)
	if _, refused := errors.AsType[*Error](err); err != nil && !refused {
		var none T
		return none, err
	}
	slowest := 0
	for i := range st.Groups {
		slowest = max(slowest, st.Groups[i].AdvBase)
	}
	patient := &Client{Socket: c.Socket, Timeout: cmp.Or(c.Timeout, HandoverLimit(slowest)+handoverPatience)}
	return send[T](ctx, patient, http.MethodPost, path, body)
}
