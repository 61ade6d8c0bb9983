// SPDX-License-Identifier: Apache-2.0

// Package control serves vipd's control API: HTTP and JSON over a unix socket whose
// file mode decides who may connect and whose peer credentials decide who may change.
package control

import (
	"context"
	"iter"

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
	// StatusByGroup returns the node without its groups, and those one after the other: those of a large node take
	// megabytes. Each is valid until the next.
	StatusByGroup(ctx context.Context) (api.Status, iter.Seq[*api.Group], error)
	// Group returns an [*api.Error] with [api.CodeNoSuchGroup] for an unknown name.
	Group(ctx context.Context, name string) (api.Group, error)
	SetEnabled(ctx context.Context, enabled bool) (api.Change, error)
	SetMaintenance(ctx context.Context, on bool) (api.Change, error)
	// EnterMaintenance is SetMaintenance(true), and hands over every group that is MASTER. It
	// returns an [*api.Error] with [api.CodeNoSuccessor] if one found no successor and force is
	// not set; the mode is on in that case, too.
	EnterMaintenance(ctx context.Context, force bool) (api.Change, error)
	// Yield hands one group over, with the same error. It is not an error if the group is not
	// MASTER.
	Yield(ctx context.Context, name string, force bool) (api.Handover, error)
	// History returns the newest n transitions of a group, oldest first; 0 and "" mean all. A group
	// that neither exists nor is in the history has [api.CodeNoSuchGroup].
	History(ctx context.Context, group string, n int) (api.History, error)
	// Events returns the first line of a stream of events, and the following ones until forget is
	// called. The channel is closed if it is not read in time.
	Events(ctx context.Context) (first api.Event, events <-chan api.Event, forget func())
	// Incidents lists the incidents of the flight recorder.
	Incidents(ctx context.Context) (api.Incidents, error)
	// Incident returns an incident with its records, or an [*api.Error] with [api.CodeNotFound].
	Incident(ctx context.Context, id uint64) (api.Incident, error)
	// Capture streams what the data plane does for a group until forget is called or the channel is
	// closed.
	Capture(
		ctx context.Context,
		group string,
	) (first api.CaptureBegin, lines <-chan api.CaptureLine, forget func(), err error)
	// Peers lists the other nodes that were heard, with what they said.
	Peers(ctx context.Context) (api.Peers, error)
	// Why explains a group's state, with the same error as Group.
	Why(ctx context.Context, name string) (api.Why, error)
	// Doctor looks for causes of faults, and watches the wire for some seconds; with 0 the agent
	// decides how many. It changes nothing and ends early with ctx.
	Doctor(ctx context.Context, seconds int) (api.Doctor, error)
	// Restart checks whether the daemon may exit for the next one.
	Restart(ctx context.Context) (api.Restart, error)
	// Leave makes the daemon exit after Restart, when that is answered.
	Leave()
	// Reload returns an [*api.Error] with [api.CodeInvalidConfig] and every problem if it refuses
	// the new config; it then has changed nothing. Without force it refuses a config that removes
	// all groups, with [api.CodeNoGroups].
	Reload(ctx context.Context, force bool) (api.Reload, error)
	// Plan returns what Reload would do with a config, and changes nothing; nil means the file that
	// Reload reads. The error is that of Reload.
	Plan(ctx context.Context, file *api.ConfigFile) (api.Plan, error)
	// Checks lists the health checks with their verdicts.
	Checks(ctx context.Context) (api.Checks, error)
	// RunCheck runs one now and does not change its verdict. The error of an unknown name has
	// [api.CodeNotFound]. The timeout of the check limits it.
	RunCheck(ctx context.Context, name string) (api.CheckRun, error)
	Demotions(ctx context.Context) (api.Demotions, error)
	// AddDemotion adds or replaces an operator's demotion that passed [api.NewDemotion.Check].
	// Adding the same again renews its expiry and keeps its start.
	AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error)
	// RemoveDemotion removes one whose name passed [api.CheckRemoval]. It is not an error if there
	// is none.
	RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error)
	// ForgetPeer has advertisements of an address believed without a trailer again. An address that is not
	// remembered as that of a vipd node has [api.CodeNotFound].
	ForgetPeer(ctx context.Context, f api.ForgetPeer) (api.PeerForgotten, error)
	// ResetDemotions removes all that are [api.Demotion.Resettable].
	ResetDemotions(ctx context.Context) (api.DemotionChange, error)
}
