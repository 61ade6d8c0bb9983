// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"net/netip"
	"slices"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
)

// onHost is what of a group is on the host.
type onHost struct {
	addresses  map[netip.Addr]netip.Prefix
	routes     map[netip.Addr]netip.Prefix // connected routes of ours, by the address that they serve
	rerouted   bool                        // the last renewal found one of them deleted
	unfinished bool                        // some addresses are still to be added
	fault      string                      // why addresses or routes are not complete, "" when they are
	restores   restores
}

// budget bounds how many addresses are put on the host, and for how long, before the rest has to wait.
type budget struct {
	addresses int
	time      time.Duration
}

var (
	// claimBudget is for the moment between role and advert: peers and clients wait for the advert, not for the last
	// of a thousand addresses.
	claimBudget = budget{addresses: 256, time: 20 * time.Millisecond}
	noBudget    = budget{addresses: 1 << 20, time: time.Hour}
)

// putVIPs adds the group's addresses to the host, or renews them, and puts the virtual MAC into the NIC's filter. What
// fails is logged and tried again with the next advert.
func (g *group) putVIPs(limit budget) {
	if g.iface == nil || !g.iface.opened {
		return
	}
	e, on, ifindex := g.env, &g.onHost, g.iface.link.Index
	started := e.clock.Now()
	on.unfinished = false
	var errs []error
	var routed []netip.Prefix
	if len(on.addresses) == 0 {
		errs = append(errs, e.host.AddMAC(ifindex, wire.VirtualMAC(g.cfg.VHID)))
	}
	valid := g.addressLifetime()
	label := netio.Label(g.iface.link.Name, g.cfg.VHID)
	for i, p := range g.cfg.Addresses {
		if i >= limit.addresses || e.clock.Now().Sub(started) > limit.time {
			on.unfinished = true
			break
		}
		_, has := on.addresses[p.Addr()]
		if e.addresses.InWay(ifindex, p.Addr()) || !has && g.fault == election.ReasonOwnAddress {
			continue // the group is on its way to INIT
		}
		if err := e.host.SetVIP(ifindex, p.Addr(), label, valid, !has); err != nil {
			errs = append(errs, err)
			continue
		}
		on.addresses[p.Addr()] = p
		if !p.IsSingleIP() && !netio.OnLink(p, g.iface.own) {
			routed = append(routed, p)
		}
	}
	errs = append(errs, g.putRoutes(routed))
	g.noteHostFault(errors.Join(errs...))
}

// noteHostFault logs a failure of the host's configuration once, not with every advert, and its end.
func (g *group) noteHostFault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != g.onHost.fault {
		if err != nil {
			g.env.log.Error("addresses not complete, trying again with each advert", "group", g.name, "err", err)
		} else {
			g.env.log.Info("addresses complete", "group", g.name)
		}
	}
	g.onHost.fault = text
}

// addressLifetime is how long the kernel keeps a VIP after its last renewal: a second or two longer than the lease, so
// that it is gone soon after an agent is.
func (g *group) addressLifetime() time.Duration {
	d := time.Duration(g.env.cfg.Carp.DeadRatio * float64(g.cfg.AdvBase) * float64(time.Second))
	return d.Truncate(time.Second) + 2*time.Second
}

// takeVIPs removes the group's addresses, routes and virtual MAC from the host.
func (g *group) takeVIPs() {
	if g.iface == nil || len(g.onHost.addresses) == 0 {
		return
	}
	e, ifindex := g.env, g.iface.link.Index
	errs := []error{e.host.DelMAC(ifindex, wire.VirtualMAC(g.cfg.VHID))}
	had := g.onHost.addresses
	g.onHost.addresses = map[netip.Addr]netip.Prefix{}
	for addr := range g.onHost.routes {
		errs = append(errs, g.dropRoute(addr))
	}
	for addr := range had {
		errs = append(errs, e.delVIP(ifindex, addr))
	}
	if err := errors.Join(errs...); err != nil {
		// The kernel removes them at the end of their lifetime.
		e.log.Error("addresses not removed", "group", g.name, "err", err)
	}
	g.onHost.fault = ""
}

// dropVIPs removes addresses that a reload took out of a MASTER's list.
func (g *group) dropVIPs(gone []netip.Addr) {
	var errs []error
	for _, addr := range gone {
		_, has := g.onHost.addresses[addr]
		delete(g.onHost.addresses, addr)
		errs = append(errs, g.dropRoute(addr))
		if has {
			errs = append(errs, g.env.delVIP(g.iface.link.Index, addr))
		}
	}
	if err := errors.Join(errs...); err != nil {
		g.env.log.Error("addresses not removed", "group", g.name, "err", err)
	}
}

const (
	// restorePause is the least time between two restorations of one group: a program that removes the addresses in a
	// loop does not take the agent's time.
	restorePause = 200 * time.Millisecond
	// restoreTold is how often the log reports them while they go on.
	restoreTold = time.Minute
)

// restores is when addresses were put back that another program removed from an owner.
type restores struct {
	next    election.Instant // not before
	told    election.Instant // when the log last reported
	since   uint64           // count at that time
	missing bool             // addresses are still to be restored at next
}

// restoreVIPs puts addresses back that are gone from an owner's host. XDP goes on answering for them, but the host's
// own stack no longer accepts their packets.
func (g *group) restoreVIPs() {
	e, r := g.env, &g.onHost.restores
	now := e.clock.Now()
	gone := g.goneVIPs(now)
	r.missing = len(gone) > 0
	if !r.missing || now < r.next {
		return
	}
	r.missing, r.next = false, now.Add(restorePause)
	for _, addr := range gone {
		delete(g.onHost.addresses, addr) // to be added again, and not renewed
	}
	g.putVIPs(noBudget)
	restored := len(gone)
	for _, addr := range gone {
		if _, ok := g.onHost.addresses[addr]; !ok {
			restored-- // onHost.fault is the reason
		}
	}
	g.shown.CountRestored(restored, now)
	if r.told == 0 || now.Sub(r.told) >= restoreTold {
		n, _ := g.shown.Live().Restored()
		e.log.Warn("another process removed virtual addresses from this host while it is MASTER; vipd has put them back. "+
			"`ip monitor address` shows when, auditd which process; keep network managers from addresses with this label",
			"group", g.name, "label", g.iface.link.Name+":carp...", "addresses", gone, "restored", n-r.since)
		r.told, r.since = now, n
	}
	g.publish()
}

// goneVIPs returns the addresses that the group had put on the host and that are not there.
func (g *group) goneVIPs(now election.Instant) []netip.Addr {
	v := g.machine.View()
	owns := v.State == election.Master && !v.Expired && now < v.Lease
	if !owns || g.entry.plane == nil || g.fault != 0 || !g.iface.opened {
		return nil
	}
	table, ifindex := g.env.addresses, g.iface.link.Index
	var gone []netip.Addr
	for addr := range g.onHost.addresses {
		if !table.Has(ifindex, addr) && !table.InWay(ifindex, addr) {
			gone = append(gone, addr)
		}
	}
	slices.SortFunc(gone, netip.Addr.Compare)
	return gone
}

// restore puts back what other processes removed from the host, and notes when to look again.
func (s *groupSet) restore() {
	s.restoreAt = 0
	for _, g := range s.order {
		g.restoreVIPs()
		if r := &g.onHost.restores; r.missing && (s.restoreAt == 0 || r.next < s.restoreAt) {
			s.restoreAt = r.next
		}
	}
}
