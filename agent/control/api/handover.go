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
	// OutcomeHandedOver: a successor speaks; this node spoke until its first advert.
	OutcomeHandedOver = "handed_over"
	// OutcomeNotTaken: nobody took over, and the group stays MASTER here.
	OutcomeNotTaken = "not_taken"
	// OutcomeGivenUp: nobody took over and force was asked for; nobody speaks.
	OutcomeGivenUp = "given_up"
	// OutcomeNotMaster: there was nothing to hand over, or no longer.
	OutcomeNotMaster = "not_master"
	// OutcomeWithdrawn: maintenance was left before anybody took over; MASTER here still.
	OutcomeWithdrawn = "withdrawn"
)

// HandoverLimit is how long the daemon gives a handover of a group with that advbase,
// before it answers with [CodeTimeout]: an advert that asks, an interval for the peers, a
// goodbye, another interval, each at its turn, and time for a busy machine.
func HandoverLimit(advbase int) time.Duration {
	return 30*time.Second + 4*time.Duration(advbase+1)*time.Second
}

// handoverPatience is how much longer a client waits, so that the daemon says how it ended.
const handoverPatience = 15 * time.Second

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
