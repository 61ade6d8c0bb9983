// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"vipd/agent/election"
	"vipd/loader"
)

// step gives an event to the group's machine and carries out what it decides, until nothing is left to do, or until a
// claim or an advert waits for others to go with (outbox.go). This and hearOutcome are where the machine hears of
// anything; what carries out an action returns what came of it as events. Adverts that the kernel withheld until now
// come before anything but an advert, which may be older: see hear.
func (g *group) step(ev election.Event) {
	for g.speaking.out.waits {
		g.env.flush()
	}
	g.queue, g.done = g.queue[:0], 0
	if _, is := ev.(election.Advert); !is {
		adverts, n := g.withheld(election.Never)
		for _, a := range adverts[:n] {
			g.feed(a)
		}
	}
	g.feed(ev)
	g.proceed()
}

// proceed carries out the actions in the queue, which grows meanwhile.
func (g *group) proceed() {
	for g.done < len(g.queue) {
		act := g.queue[g.done]
		g.done++
		switch advert, is := act.(election.SendAdvert); {
		case is && g.advertise(advert):
			return // hearOutcome goes on
		case is:
		case act == (election.AddVIPs{}) && g.machine.View().Claiming:
			g.env.claim(g)
			return // beginClaims goes on
		default:
			g.carryOut(act)
		}
	}
	at, waits := g.machine.Deadline()
	g.env.groups.agenda.set(g, at, g.machine.Slice(), waits)
	g.permit()
	g.noteKept()
	g.show()
}

// feed gives an event to the machine. Its actions join the queue.
func (g *group) feed(ev election.Event) {
	g.now = g.env.clock.Now()
	g.queue = g.machine.Step(g.now, ev, g.queue)
}

// advertise carries out a SendAdvert, which has three parts. The machine hears what came of each before the next
// begins: what the kernel has heard meanwhile, that the advert is about to be sent, and how that went. It reports
// whether the advert is on its way: hearOutcome goes on with the rest of the queue, or has done so.
func (g *group) advertise(act election.SendAdvert) (begun bool) {
	notSent := func() { g.feed(election.Sent{T0: g.env.clock.Now(), Goodbye: act.Goodbye}) }
	if g.entry.plane == nil || g.iface == nil || g.iface.sender == nil {
		notSent()
		return false
	}
	if len(g.env.outbox.claims) > 0 {
		g.env.flush() // they leave before what is not one
	}
	before := g.machine.View() // BACKUP takes back a claim
	news, yielded := g.heardMeanwhile(&before)
	if news != nil {
		g.feed(news)
	}
	if yielded {
		g.feed(election.Yielded{Generation: before.Generation})
	}
	if yielded || g.machine.State() != before.State {
		return false
	}
	g.lookBefore(&before)
	if err := g.unsendable(act); err != nil {
		g.shown.CountFailed()
		g.env.log.Debug("advert not begun", "group", g.name, "err", err)
		notSent()
		return false
	}
	for _, role := range g.machine.Step(g.env.clock.Now(), election.Sending{}, nil) {
		g.carryOut(role) // in force before the first frame leaves
	}
	g.send(act)
	return true
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
