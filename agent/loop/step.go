// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"vipd/agent/election"
	"vipd/loader"
)

// step gives an event to the group's machine and carries out what it decides, until nothing is left to do. This and
// advertise are where the machine hears of anything; what carries out an action returns what came of it as events.
// Adverts that the kernel withheld until now come before anything but an advert, which may be older: see hear.
func (g *group) step(ev election.Event) {
	g.queue = g.queue[:0]
	if _, is := ev.(election.Advert); !is {
		adverts, n := g.withheld(election.Never)
		for _, a := range adverts[:n] {
			g.feed(a)
		}
	}
	g.feed(ev)
	for i := 0; i < len(g.queue); i++ { // it grows while it is walked
		if advert, is := g.queue[i].(election.SendAdvert); is {
			g.advertise(advert)
		} else {
			g.carryOut(g.queue[i])
		}
	}
	at, waits := g.machine.Deadline()
	g.env.groups.agenda.set(g, at, waits)
	g.permit()
	g.noteKept()
	g.publish()
}

// feed gives an event to the machine. Its actions join the queue.
func (g *group) feed(ev election.Event) {
	g.queue = g.machine.Step(g.env.clock.Now(), ev, g.queue)
}

// advertise carries out a SendAdvert, which has three parts. The machine hears what came of each before the next
// begins: what the kernel has heard meanwhile, that the advert is about to be sent, and how that went.
func (g *group) advertise(act election.SendAdvert) {
	notSent := func() { g.feed(election.Sent{T0: g.env.clock.Now(), Goodbye: act.Goodbye}) }
	if g.entry.plane == nil || g.iface == nil || g.iface.sender == nil {
		notSent()
		return
	}
	before := g.machine.View() // BACKUP takes back a claim
	news, yielded := g.heardMeanwhile()
	if news != nil {
		g.feed(news)
	}
	if yielded {
		g.feed(election.Yielded{Generation: before.Generation})
	}
	if yielded || g.machine.View().State != before.State {
		return
	}
	g.look()
	if err := g.unsendable(act); err != nil {
		g.shown.CountFailed()
		g.env.log.Debug("advert not begun", "group", g.name, "err", err)
		notSent()
		return
	}
	for _, role := range g.machine.Step(g.env.clock.Now(), election.Sending{}, nil) {
		g.carryOut(role) // in force before the first frame leaves
	}
	g.feed(g.send(act))
	if r := &g.speaking.reach; r.plan.Reach() != r.static || g.impaired() != r.told.Impaired {
		g.env.stale.reach = true
	}
}

// carryOut does what the machine has decided, other than to advertise.
func (g *group) carryOut(act election.Action) {
	switch act := act.(type) {
	case election.SetRole:
		if g.entry.plane != nil {
			g.entry.plane.SetRole(loader.Role{
				State: planeRole(act.State), Generation: act.Generation,
				Lease: int64(act.Lease), SendUntil: int64(act.SendUntil),
			})
		}
	case election.SetPriority:
		if g.entry.plane != nil {
			g.entry.plane.SetSentPriority(loader.Priority(act.Priority))
		}
	case election.AddVIPs:
		g.putVIPs()
	case election.RenewVIPs:
		g.keepVIPs()
	case election.RemoveVIPs:
		g.takeVIPs()
	case election.Announce:
		g.announce()
	case election.Transition:
		g.transition(act)
	case election.HandoverResult:
		g.handedOver(act)
	case election.Released:
		g.env.stale.idle = true
		g.env.log.Debug("released", "group", g.name, "reason", act.Reason.String())
	}
}

func planeRole(s election.State) uint8 {
	switch s {
	case election.Master:
		return loader.RoleMaster
	case election.Backup:
		return loader.RoleBackup
	default:
		return loader.RoleInit
	}
}

// noteKept sees whether the group's holds changed. A graceful stop ends holds by putting the group into INIT; the next
// start has them again.
func (g *group) noteKept() {
	if k := g.machine.Kept(); k != g.lifecycle.kept && !g.env.stopping {
		g.lifecycle.kept, g.env.stale.memory = k, true
	}
}
