// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
)

// errStopping answers what comes while the daemon goes down.
var errStopping = api.Errorf(api.CodeStopping, "vipd is stopping; start it again and repeat the command")

const maintenanceReason = "entered by the operator; `vipctl maintenance leave` ends it"

// backend is what the control server sees of the agent.
type backend struct{ a *Agent }

// intent serialises the operator's changes: intent goes to the disk outside the
// loop, so that a slow disk delays nobody's election, and one at a time.
type intent struct{ sync.Mutex }

func (b backend) Status(context.Context) (api.Status, error) { return b.a.status(), nil }

func (b backend) Group(_ context.Context, name string) (api.Group, error) {
	a := b.a
	n := a.node.Load()
	for _, g := range n.groups {
		if g.name == name {
			now, wall := a.now(), a.timeOfDay()
			v := g.view.Load()
			r := a.report(g, v, now, wall, n.enabled, readGroup(v, now))
			if i := slices.IndexFunc(n.ports, func(p portView) bool { return p.name == r.Interface }); i >= 0 {
				a.readPort(n.ports[i]).tell(&r)
			}
			st := api.Status{Maintenance: n.maintenance, Groups: []api.Group{r}}
			a.nameFaults(&st, []*group{g}, now, wall)
			return st.Groups[0], nil
		}
	}
	return api.Group{}, api.Errorf(api.CodeNoSuchGroup, "there is no group %q; `vipctl status` lists them", name)
}

func (b backend) Reload(ctx context.Context) (api.Reload, error) { return b.a.applyReload(ctx) }

// SetEnabled writes the switch to runtime_dir, then acts on it. Disabling
// returns when the groups have handed over and let go.
func (b backend) SetEnabled(ctx context.Context, enabled bool) (api.Change, error) {
	a := b.a
	a.intent.Lock()
	defer a.intent.Unlock()
	if err := a.disable.set(!enabled, a.timeOfDay()); err != nil {
		return api.Change{}, fmt.Errorf("nothing changed: %w", err)
	}
	var changed bool
	if err := a.do(ctx, func() { changed = a.setDisabled(!enabled) }); err != nil {
		return api.Change{}, err
	}
	out := api.Change{Changed: changed, Enabled: enabled, Maintenance: a.node.Load().maintenance}
	if enabled {
		return out, nil
	}
	return out, a.await(ctx, func() bool {
		for _, g := range a.order {
			if g.machine.View().State != election.Init {
				return !a.disabled // enabled again meanwhile
			}
		}
		return true
	})
}

// setDisabled runs in the loop.
func (a *Agent) setDisabled(off bool) bool {
	if a.disabled == off {
		return false
	}
	a.disabled = off
	a.log.Info("switched by the operator", "enabled", !off)
	if off {
		for _, g := range a.order {
			a.step(g, election.Release{Reason: election.ReasonDisabled})
		}
	} else {
		a.syncPorts()
	}
	a.publish()
	return true
}

// SetMaintenance writes the mode to state_dir, then advertises it.
func (b backend) SetMaintenance(ctx context.Context, on bool) (api.Change, error) {
	return b.a.setMaintenance(ctx, on, func() {
		for _, g := range b.a.order {
			if !on {
				b.a.step(g, election.Stay{}) // somebody may wait for the peers
			}
		}
	})
}

// setMaintenance calls then in the loop, after the peers have been told.
func (a *Agent) setMaintenance(ctx context.Context, on bool, then func()) (api.Change, error) {
	a.intent.Lock()
	defer a.intent.Unlock()
	now := a.timeOfDay()
	if err := a.maintenance.set(on, now); err != nil {
		return api.Change{}, fmt.Errorf("nothing changed: %w", err)
	}
	var changed bool
	err := a.do(ctx, func() {
		if on {
			changed = a.ledger.set(demotionMaintenance, maintenanceValue, maintenanceReason, now)
		} else {
			changed = a.ledger.remove(demotionMaintenance)
		}
		if changed {
			a.log.Info("maintenance mode switched by the operator", "on", on)
			a.demote()
			a.publish()
		}
		then()
	})
	if err != nil {
		return api.Change{}, err
	}
	return api.Change{Changed: changed, Enabled: a.node.Load().enabled, Maintenance: on}, nil
}

// invalidConfig lists the problems of a config the way clients print them.
func invalidConfig(err error) error {
	bad, ok := errors.AsType[*config.Error](err)
	if !ok {
		return api.Errorf(api.CodeInvalidConfig, "config not read, the running one stays: %v", err)
	}
	out := api.Errorf(api.CodeInvalidConfig, "the config is not valid, the running one stays:")
	out.Problems = bad.Strings()
	return out
}
