// SPDX-License-Identifier: Apache-2.0

package api

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"time"
)

// Outcomes as in [Handover.Outcome].
const (
	// OutcomeHandedOver: a successor speaks; this node spoke until its first advert.
	OutcomeHandedOver = "handed_over"
	// OutcomeNotTaken: nobody took over, and the group stays MASTER here.
	OutcomeNotTaken = "not_taken"
	// OutcomeGivenUp: nobody took over and force was asked for; nobody speaks.
	OutcomeGivenUp = "given_up"
	// OutcomeNotMaster: there was nothing to hand over, or no longer.
	OutcomeNotMaster = "not_master"
)

// handoverTimeout is longer than the daemon's own limit for a verb, so that the
// daemon says how it ended.
const handoverTimeout = 45 * time.Second

// YieldRequest is the body of POST /v1/groups/{name}/yield. It may be absent.
type YieldRequest struct {
	// Force gives the group up even if nobody takes over.
	Force bool `json:"force,omitempty"`
}

// MaintenanceRequest is the body of POST /v1/maintenance/enter. It may be absent.
type MaintenanceRequest struct {
	// Wait asks for the answer only when every group has been handed over, and for
	// a goodbye to peers that do not preempt.
	Wait bool `json:"wait,omitempty"`
	// Force goes with Wait: groups are given up even if nobody takes over.
	Force bool `json:"force,omitempty"`
}

// Handover is how handing over one group ended.
type Handover struct {
	Group string `json:"group"`
	// Outcome is one of the constants above.
	Outcome string `json:"outcome"`
	// State and Reason are those of the group afterwards.
	State  string `json:"state"`
	Reason string `json:"reason"`
	// Successor is the address of who took over; empty if only the kernel knows.
	Successor string `json:"successor,omitempty"`
	// Goodbye says that it took a 255/255: the successor does not preempt.
	Goodbye bool `json:"goodbye"`
	// TookSeconds is the time since the request.
	TookSeconds float64 `json:"took_seconds"`
	// GapSeconds is how long neither node spoke, from this node's last moment as
	// owner to the successor's first authentic advert; 0 when the one met the other.
	GapSeconds float64 `json:"gap_seconds"`
}

// Yield hands one group over and returns when a successor speaks. Without one the
// error has [CodeNoSuccessor], and the group stays MASTER unless force is set.
func (c *Client) Yield(ctx context.Context, name string, force bool) (Handover, error) {
	return handOver[Handover](ctx, c, groupPath(name)+"/yield", YieldRequest{Force: force})
}

// EnterMaintenanceAndWait is [Client.EnterMaintenance], and returns when every group
// has been handed over. The error has [CodeNoSuccessor] when one found no successor;
// the node is in maintenance then all the same.
func (c *Client) EnterMaintenanceAndWait(ctx context.Context, force bool) (Change, error) {
	return handOver[Change](ctx, c, "/v1/maintenance/enter", MaintenanceRequest{Wait: true, Force: force})
}

func handOver[T any](ctx context.Context, c *Client, path string, request any) (T, error) {
	body, err := json.Marshal(request)
	if err != nil {
		var none T
		return none, fmt.Errorf("write request: %w", err)
	}
	patient := &Client{Socket: c.Socket, Timeout: cmp.Or(c.Timeout, handoverTimeout)}
	return send[T](ctx, patient, http.MethodPost, path, body)
}
