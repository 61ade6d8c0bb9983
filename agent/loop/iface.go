// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/election"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/peers"
	"vipd/agent/wire"
	"vipd/loader"
)

// iface is one interface of the host that carries groups: its programs, its sender and its own addresses. It exists
// from the first configured group on and goes through up and down as the interface does.
type iface struct {
	env     *env
	name    string
	trouble // why no group on this interface can leave INIT

	link   netio.Link
	found  bool   // link is what the name means now
	serves *iface // the one that serves the interface, if this is another name of it
	attached
	own       []netip.Prefix // addresses of the host's own, VIPs left out
	serial    uint64         // rises when own changes
	forwards  bool           // this host routes IPv6 there: neighbours learn it with every announcement
	disturbed disturbed
	voices    peers.Voices
	reporting reporting
}

// attached is what the agent has on an interface.
type attached struct {
	opened      bool // programs and a sender, for link.Index
	inherited   bool // the programs are still those of an earlier vipd (exchange.go)
	att         loader.Attachment
	sender      Sender
	interrupted uint64 // how often the programs were gone, as far as the groups know
	resetting   bool   // the link is down because the programs were attached in native mode
}

// disturbed is what happened to our programs on an interface.
type disturbed struct {
	lost       map[string]uint64 // how often ours were gone, by hook
	fallbacks  map[string]uint64 // how often native mode was given up, by reason
	lostAt     election.Instant  // when that was logged last
	offloadsAt election.Instant  // when VLAN offloads that came on again were logged last
}

func newIface(e *env, name string) *iface {
	return &iface{env: e, name: name, disturbed: disturbed{
		lost: map[string]uint64{}, fallbacks: map[string]uint64{},
	}}
}

// find notes what the interface's name means now.
func (p *iface) find() {
	link, err := p.env.links.Named(p.name)
	switch {
	case err != nil:
		p.found = false
		p.giveUp(trouble{fault: election.ReasonInterfaceMissing, detail: p.missing()})
		return
	case p.opened && link.Index != p.link.Index:
		p.giveUp(trouble{
			fault:  election.ReasonInterfaceMissing,
			detail: fmt.Sprintf("interface %s was deleted and made anew", p.name),
		})
	}
	table := p.link.Table
	p.link, p.found = link, true
	if p.opened && link.Table != table {
		for _, g := range p.env.groups.on(p) {
			g.moveRoutes(table)
		}
	}
}

// refresh brings the interface in line with the link that was found.
func (p *iface) refresh() {
	link := p.link
	if !p.found {
		return
	}
	if p.serves != nil {
		p.trouble = trouble{} // the other one has it
		return
	}
	if why := unfit(p.name, &link); why.fault != 0 {
		p.giveUp(why)
		return
	}
	if p.env.inheriting && !p.opened && !p.env.plane.Inherited(link.Index) {
		p.trouble = trouble{} // it is attached after those that are inherited
		return
	}
	if err := p.open(); err != nil {
		p.giveUp(attachFailed(err))
		return
	}
	p.resetting = !link.Up && !link.SetDown && p.env.plane.Resetting(link.Index)
	if !link.Up && !p.resetting {
		p.trouble = trouble{fault: election.ReasonLinkDown, detail: fmt.Sprintf(
			"interface %s has no link or is down; check the cable, or `ip link set %s up`", p.name, p.name)}
		return
	}
	if own := p.env.addresses.Own(link.Index); !slices.Equal(own, p.own) {
		p.own = own
		p.serial++
		for _, g := range p.env.groups.on(p) { // what was on link may need a route now
			g.checkRoutes(p.env.clock.Now())
		}
	}
	p.forwards = link.Forwards6
	p.trouble = trouble{}
}

// unfit returns why a link cannot carry groups.
func unfit(name string, link *netio.Link) trouble {
	why := hostcheck.Unfit(name, link)
	switch {
	case why == "":
		return trouble{}
	case link.MasterName != "":
		return trouble{fault: election.ReasonInterfaceEnslaved, detail: why}
	default:
		return attachFailed(errors.New(why))
	}
}

// missing explains what became of the interface.
func (p *iface) missing() string {
	now, err := p.env.links.At(p.link.Index)
	switch {
	case p.link.Index == 0 || err != nil || now.MAC != p.link.MAC:
		return fmt.Sprintf("interface %s does not exist; the group starts as soon as it appears", p.name)
	case now.Name == p.link.Name:
		return fmt.Sprintf("interface %s has lost its alternative name %s; configure interface = %q instead and reload, "+
			"or `ip link property add dev %s altname %s`", now.Name, p.name, now.Name, now.Name, p.name)
	default:
		return fmt.Sprintf("interface %s is called %s now; configure interface = %q instead and reload, "+
			"or rename it back: `ip link set %s name %s`", p.name, now.Name, now.Name, now.Name, p.name)
	}
}

// giveUp lets go of the interface: the reason first, for it goes into the history with the transitions that follow.
func (p *iface) giveUp(why trouble) {
	p.trouble = why
	p.close(why.fault)
}

func (p *iface) open() error {
	if p.opened {
		return nil
	}
	e := p.env
	var att loader.Attachment
	inherited := e.inheriting // see refresh
	if !inherited {
		var err error
		if att, err = e.plane.Attach(p.link.Index, p.name, e.xdpMode()); err != nil {
			return err
		}
	}
	sender, err := e.openSender(p.link.Index)
	if err == nil {
		if err = p.joinGroups(sender); err != nil {
			err = errors.Join(err, sender.Close())
		}
	}
	if err != nil {
		if !inherited { // else what no group claims is removed later
			err = errors.Join(err, e.plane.Detach(p.link.Index))
		}
		return err
	}
	p.attached = attached{opened: true, inherited: inherited, att: att, sender: sender, interrupted: p.interrupted}
	p.noteFallback(att.FellBack)
	if !inherited {
		p.interrupted, _ = e.plane.Attended(p.link.Index)
	}
	return nil
}

// joinGroups joins where CARP advertises to. A host without IPv6 does not need its group; one with an IPv6 VIP reports
// it when it has no address to send from.
func (p *iface) joinGroups(s Sender) error {
	if err := s.Join(wire.MulticastV6); err != nil {
		p.env.log.Debug("IPv6 group not joined", "ifname", p.name, "err", err)
	}
	return s.Join(wire.MulticastV4)
}

// close lets go of the interface, which may be gone already.
func (p *iface) close(why election.Reason) {
	if !p.opened {
		return
	}
	p.opened = false
	for _, g := range p.env.groups.on(p) {
		g.trouble = p.trouble // known to the transition that follows
		g.unplug(why)
	}
	err := p.sender.Close()
	if !p.inherited { // else what no group claims is removed later
		err = errors.Join(err, p.env.plane.Detach(p.link.Index))
	}
	p.inherited = false
	if err != nil {
		p.env.log.Debug("let go of interface", "ifname", p.name, "err", err)
	}
	p.sender, p.att, p.own = nil, loader.Attachment{}, nil
}

// has reports whether the address is one of the host's own there.
func (p *iface) has(addr netip.Addr) bool {
	return slices.ContainsFunc(p.own, func(pf netip.Prefix) bool { return pf.Addr() == addr })
}

// maxSources is how many own addresses the loop check can hold.
const maxSources = 4

// sources are the addresses that our adverts can come from, those that they do come from first.
func (p *iface) sources() []netip.Addr {
	var out []netip.Addr
	for _, ipv6 := range []bool{false, true} {
		if src, err := p.source(ipv6); err == nil {
			out = append(out, src)
		}
	}
	for _, pf := range p.own {
		if len(out) < maxSources && !slices.Contains(out, pf.Addr()) {
			out = append(out, pf.Addr())
		}
	}
	return out
}

// source returns the source address of our adverts: the interface's first address that is not a VIP; over IPv6 the
// link-local one if there is one, over IPv4 0.0.0.0 if there is none, both as on the BSDs.
func (p *iface) source(ipv6 bool) (netip.Addr, error) {
	var first netip.Addr
	for _, pf := range p.own {
		addr := pf.Addr()
		if addr.Is6() != ipv6 {
			continue
		}
		if addr.Is4() || addr.IsLinkLocalUnicast() {
			return addr, nil
		}
		if !first.IsValid() {
			first = addr
		}
	}
	switch {
	case first.IsValid():
		return first, nil
	case !ipv6:
		return netip.IPv4Unspecified(), nil
	default:
		return netip.Addr{}, fmt.Errorf("interface %s has no IPv6 address to advertise from: "+
			"is IPv6 switched off there (net.ipv6.conf.%s.disable_ipv6)?", p.name, p.name)
	}
}
