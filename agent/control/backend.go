// SPDX-License-Identifier: Apache-2.0

// Package control serves vipd's control API: HTTP and JSON over a unix socket whose
// file mode decides who may connect and whose peer credentials decide who may change.
package control

import (
	"context"

	"vipd/agent/control/api"
)

// Backend is what the server asks of the agent. All methods may be called by several
// goroutines at once. An error that is (or wraps) an [*api.Error] reaches the client
// with its code; any other is answered as internal, with its text.
//
// The verbs get a context that lives on when the client hangs up: what was begun is
// finished. They return once the effect is there: the intent is on disk and the
// agent acts on it.
type Backend interface {
	Status(ctx context.Context) (api.Status, error)
	// Group returns an [*api.Error] with [api.CodeNoSuchGroup] for an unknown name.
	Group(ctx context.Context, name string) (api.Group, error)
	SetEnabled(ctx context.Context, enabled bool) (api.Change, error)
	SetMaintenance(ctx context.Context, on bool) (api.Change, error)
	// EnterMaintenance is SetMaintenance(true), and hands over every group that is
	// MASTER. It returns an [*api.Error] with [api.CodeNoSuccessor] when one found no
	// successor and force was not set; the mode is on all the same.
	EnterMaintenance(ctx context.Context, force bool) (api.Change, error)
	// Yield hands one group over, with the same error. A group that is not MASTER is
	// no error.
	Yield(ctx context.Context, name string, force bool) (api.Handover, error)
	// History returns the newest n transitions of a group, oldest first; 0 and "" mean
	// all. A group that is neither there nor in the history is no such group.
	History(ctx context.Context, group string, n int) (api.History, error)
	// Events returns the first line of a stream of events and those that follow, until
	// forget is called or the channel is closed, which it is when nobody reads it.
	Events(ctx context.Context) (first api.Event, events <-chan api.Event, forget func())
	// Incidents lists what the flight recorder froze.
	Incidents(ctx context.Context) (api.Incidents, error)
	// Incident returns one with its records, or an [*api.Error] with [api.CodeNotFound].
	Incident(ctx context.Context, id uint64) (api.Incident, error)
	// Capture streams what the data plane does for a group until forget is called or
	// the channel is closed.
	Capture(ctx context.Context, group string) (first api.CaptureBegin, lines <-chan api.CaptureLine, forget func(), err error)
	// Why explains a group's state, with the same error as Group.
	Why(ctx context.Context, name string) (api.Why, error)
	// Doctor looks for causes of faults, watching the wire for some seconds; 0 leaves it
	// to the agent how many. It changes nothing and ends early with ctx.
	Doctor(ctx context.Context, seconds int) (api.Doctor, error)
	// Restart makes the daemon leave for the next one, after the answer.
	Restart(ctx context.Context) (api.Restart, error)
	// Reload returns an [*api.Error] with [api.CodeInvalidConfig] and every problem
	// when the new config is refused, and then has changed nothing.
	Reload(ctx context.Context) (api.Reload, error)
	// Plan says what Reload would do with a config, and changes nothing; nil means the
	// file that Reload reads. The error is that of Reload.
	Plan(ctx context.Context, file *api.ConfigFile) (api.Plan, error)
	Demotions(ctx context.Context) (api.Demotions, error)
	// AddDemotion adds or replaces an operator's demotion that passed
	// [api.NewDemotion.Check]. The same again renews its expiry and keeps its since.
	AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error)
	// RemoveDemotion takes off one that passed [api.CheckRemoval]; none of that name
	// changes nothing and is no error.
	RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error)
	// ResetDemotions takes off all that are [api.Demotion.Resettable].
	ResetDemotions(ctx context.Context) (api.DemotionChange, error)
}
