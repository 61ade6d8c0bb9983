// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// step feeds one event to the group's machine and carries out what it decides.
// The outcome of a send is an event again; its actions join the queue.
func (a *Agent) step(g *group, ev election.Event) {
	g.queue = g.machine.Step(a.now(), ev, g.queue[:0])
	for i := 0; i < len(g.queue); i++ {
		a.execute(g, g.queue[i])
	}
	if g.unfinished && g.machine.View().State == election.Master {
		a.putVIPs(g, noBudget) // the advert is out and the lease runs
	}
	g.publish(a)
}

func (a *Agent) execute(g *group, act election.Action) {
	switch act := act.(type) {
	case election.SetRole:
		if g.plane != nil {
			g.plane.SetRole(loader.Role{
				State: planeRole(act.State), Generation: act.Generation,
				Lease: int64(act.Lease), SendUntil: int64(act.SendUntil),
			})
		}
	case election.SetPriority:
		if g.plane != nil {
			g.plane.SetSentPriority(loader.Priority(act.Priority))
		}
	case election.SendAdvert:
		a.sendAdvert(g, act)
	case election.AddVIPs:
		a.putVIPs(g, claimBudget)
	case election.RenewVIPs:
		a.putVIPs(g, noBudget)
	case election.RemoveVIPs:
		a.takeVIPs(g)
	case election.Announce:
		a.announce(g)
	case election.Transition:
		a.transition(g, act)
	case election.Handover:
		a.handedOver(g, act)
	case election.Released:
		a.log.Debug("released", "group", g.name, "reason", act.Reason.String())
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

// budget bounds how many addresses are put on the host, and for how long, before
// the rest has to wait.
type budget struct {
	addresses int
	time      time.Duration
}

var (
	// claimBudget is for the moment between role and advert: peers and clients
	// wait for the advert, not for the last of a thousand addresses.
	claimBudget = budget{addresses: 256, time: 20 * time.Millisecond}
	noBudget    = budget{addresses: 1 << 20, time: time.Hour}
)

// putVIPs adds the group's addresses to the host, or renews them, and puts the
// virtual MAC into the NIC's filter. What fails is logged and tried again with
// the next advert.
func (a *Agent) putVIPs(g *group, limit budget) {
	if g.port == nil || !g.port.opened {
		return
	}
	ifindex := g.port.link.Index
	started := a.now()
	g.unfinished = false
	var errs []error
	var routed []netip.Prefix
	if len(g.onHost) == 0 {
		errs = append(errs, a.host.AddMAC(ifindex, wire.VirtualMAC(g.cfg.VHID)))
	}
	valid := a.addressLifetime(g)
	label := fmt.Sprintf("%s:carp%d", g.cfg.Interface, g.cfg.VHID)
	for i, p := range g.cfg.Addresses {
		if i >= limit.addresses || a.now().Sub(started) > limit.time {
			g.unfinished = true
			break
		}
		if err := a.host.SetVIP(ifindex, p.Addr(), label, valid); err != nil {
			errs = append(errs, err)
			continue
		}
		g.onHost[p.Addr()] = p
		if !p.IsSingleIP() && !netio.OnLink(p, g.port.own) {
			routed = append(routed, p)
		}
	}
	errs = append(errs, a.putRoutes(g, routed))
	a.noteHostFault(g, errors.Join(errs...))
}

// noteHostFault logs a failure of the host's configuration once, not with every
// advert, and its end.
func (a *Agent) noteHostFault(g *group, err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != g.hostFault {
		if err != nil {
			a.log.Error("addresses not complete, trying again with each advert", "group", g.name, "err", err)
		} else {
			a.log.Info("addresses complete", "group", g.name)
		}
	}
	g.hostFault = text
}

// addressLifetime is how long the kernel keeps a VIP after its last renewal: a
// second or two longer than the lease, so that it is gone soon after an agent is.
func (a *Agent) addressLifetime(g *group) time.Duration {
	d := time.Duration(a.cfg.Carp.DeadRatio * float64(g.cfg.AdvBase) * float64(time.Second))
	return d.Truncate(time.Second) + 2*time.Second
}

// takeVIPs removes the group's addresses, routes and virtual MAC from the host.
func (a *Agent) takeVIPs(g *group) {
	if g.port == nil || len(g.onHost) == 0 {
		return
	}
	ifindex := g.port.link.Index
	errs := []error{a.host.DelMAC(ifindex, wire.VirtualMAC(g.cfg.VHID))}
	had := g.onHost
	g.onHost = map[netip.Addr]netip.Prefix{}
	for addr := range g.routes {
		errs = append(errs, a.dropRoute(g, addr))
	}
	for addr := range had {
		errs = append(errs, a.host.DelVIP(ifindex, addr))
	}
	if err := errors.Join(errs...); err != nil {
		// The kernel's own clock takes them at the end of their lifetime.
		a.log.Error("addresses not removed", "group", g.name, "err", err)
	}
	g.hostFault = ""
}

// dropVIPs removes addresses that a reload took out of a MASTER's list.
func (a *Agent) dropVIPs(g *group, gone []netip.Addr) {
	var errs []error
	for _, addr := range gone {
		_, has := g.onHost[addr]
		delete(g.onHost, addr)
		errs = append(errs, a.dropRoute(g, addr))
		if has {
			errs = append(errs, a.host.DelVIP(g.port.link.Index, addr))
		}
	}
	if err := errors.Join(errs...); err != nil {
		a.log.Error("addresses not removed", "group", g.name, "err", err)
	}
}

func (a *Agent) transition(g *group, t election.Transition) {
	a.remember(g, t)
	a.supervision.stale = true
	a.metrics.ObserveTransition(g.cfg.Interface, g.cfg.VHID, t.From.String(), t.To.String(), t.Reason.String())
	attrs := []any{"group", g.name, "from", t.From.String(), "to", t.To.String(), "reason", t.Reason.String()}
	if c := t.Cause; c != nil {
		attrs = append(attrs, "peer", c.Src, "peer_advbase", c.AdvBase, "peer_advskew", c.AdvSkew)
	}
	if t.Lag > 0 {
		attrs = append(attrs, "lag", t.Lag)
	}
	level := slog.LevelInfo
	if t.To == election.Init && t.Reason != election.ReasonStop && t.Reason != election.ReasonDisabled {
		level = slog.LevelWarn
		if g.detail != "" {
			attrs = append(attrs, "detail", g.detail)
		}
	}
	a.log.Log(a.ctx, level, "transition", attrs...)
}
