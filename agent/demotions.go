// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"context"
	"fmt"

	"vipd/agent/control/api"
	"vipd/agent/election"
)

// Demotions implements control.Backend.
func (b backend) Demotions(context.Context) (api.Demotions, error) {
	n := b.a.node.Load()
	at := b.a.calendar(b.a.now(), b.a.timeOfDay())
	return api.Demotions{Demotion: n.ledger.total(), Demotions: n.ledger.shown(at)}, nil
}

// AddDemotion implements control.Backend. The operator's demotions are volatile:
// a restart forgets them, as the BSDs' counters are forgotten.
func (b backend) AddDemotion(ctx context.Context, d api.NewDemotion) (api.DemotionChange, error) {
	a := b.a
	now := a.timeOfDay()
	entry := api.Demotion{Name: d.Name, Value: d.Value, Reason: d.Reason, Since: now}
	var end election.Instant
	if d.For > 0 {
		end, entry.Expires = a.now().Add(d.Duration()), now.Add(d.Duration())
	}
	var out api.DemotionChange
	var refused error
	err := a.do(ctx, func() {
		if _, known := a.ledger.find(d.Name); !known && a.ledger.byOperator() >= api.MaxOperatorDemotions {
			refused = api.Errorf(api.CodeBadRequest, "there are %d demotions by hand already; `vipctl demotion list` shows them, `vipctl demotion remove NAME` takes one off", api.MaxOperatorDemotions)
			return
		}
		out.Changed = a.ledger.put(entry, end)
		a.demoted(out.Changed, "added by the operator", d.Name)
		out.Demotion = a.ledger.total()
	})
	if err != nil {
		return api.DemotionChange{}, err
	}
	return out, refused
}

// RemoveDemotion implements control.Backend.
func (b backend) RemoveDemotion(ctx context.Context, name string) (api.DemotionChange, error) {
	return b.a.takeOff(ctx, func(d api.Demotion) bool { return d.Name == name })
}

// ResetDemotions implements control.Backend.
func (b backend) ResetDemotions(ctx context.Context) (api.DemotionChange, error) {
	return b.a.takeOff(ctx, api.Demotion.Resettable)
}

func (a *Agent) takeOff(ctx context.Context, which func(api.Demotion) bool) (api.DemotionChange, error) {
	var out api.DemotionChange
	err := a.do(ctx, func() {
		for _, d := range a.ledger.list() {
			if which(d) {
				a.ledger.remove(d.Name)
				out.Removed = append(out.Removed, d.Name)
			}
		}
		out.Changed = len(out.Removed) > 0
		a.demoted(out.Changed, "taken off by the operator", out.Removed)
		out.Demotion = a.ledger.total()
	})
	return out, err
}

// demoted tells log, machines and readers that the ledger changed.
func (a *Agent) demoted(changed bool, why string, names any) {
	if !changed {
		return
	}
	a.log.Info("demotion changed", "why", why, "name", names, "demotion", a.ledger.total())
	a.demote()
	a.publish()
}

// expireDemotions takes off what was added for a time that is over.
func (a *Agent) expireDemotions(now election.Instant) {
	for _, name := range a.ledger.expired(now) {
		a.ledger.remove(name)
		a.demoted(true, "expired", name)
	}
}

// sendErrors counts a group's failed and good sends as FreeBSD does: three errors
// without three good sends in a row between them demote the node, three good ones
// in a row end it (carp_send_ad_error and its callers in ip_carp.c).
type sendErrors struct {
	errors, good int
}

const sendErrorLimit = 3

// sent notes one send and says whether it crossed a limit: +1 demotes, -1 ends it.
func (s *sendErrors) sent(ok bool) int {
	if !ok {
		s.good = 0
		s.errors++
		if s.errors == sendErrorLimit {
			return 1
		}
		return 0
	}
	if s.errors == 0 {
		return 0
	}
	s.good++
	if s.good < sendErrorLimit {
		return 0
	}
	was := s.errors
	*s = sendErrors{}
	if was >= sendErrorLimit {
		return -1
	}
	return 0
}

// noteSend keeps the ledger's share of a group whose adverts cannot be sent. The
// machines hear of it after the present step.
func (a *Agent) noteSend(g *group, err error) {
	name := api.DemotionSendErrPrefix + g.name
	switch g.sends.sent(err == nil) {
	case 1:
		reason := fmt.Sprintf("%d adverts in a row could not be sent: %v", sendErrorLimit, err)
		a.ledgerStale = a.ledger.set(name, a.cfg.Carp.SenderrDemotion, reason, a.timeOfDay()) || a.ledgerStale
	case -1:
		a.ledgerStale = a.ledger.remove(name) || a.ledgerStale
	}
}

// settleLedger tells the machines of changes that came from within their own steps.
func (a *Agent) settleLedger() {
	for a.ledgerStale {
		a.ledgerStale = false
		a.log.Warn("demotion changed by send errors", "demotion", a.ledger.total())
		a.demote()
		a.publish()
	}
}

// demote tells every machine the present sum of the ledger.
func (a *Agent) demote() {
	total := a.ledger.total()
	for _, g := range a.order {
		a.step(g, election.Demotion{Total: total})
	}
}
