// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/agent/wire"
	"vipd/loader"
)

// port is one interface of the host that carries groups: its programs, its
// sender and its own addresses. It exists from the first configured group on
// and goes through up and down as the interface does.
type port struct {
	name string
	// fault is why no group on this interface can leave INIT; "" when all is
	// well. detail says it in a sentence.
	fault  election.Reason
	detail string

	link   netio.Link
	opened bool // attached and with a sender, for link.Index
	att    loader.Attachment
	sender frameSender
	own    []netip.Prefix // addresses of the host's own, VIPs left out
	// lost counts the programs that were gone, by hook; lostAt is when that was told last.
	lost   map[string]uint64
	lostAt election.Instant
	// interrupted is how often nobody was listening, as far as the groups know.
	interrupted uint64
	// forwards says that this host routes IPv6 on the interface: neighbours are
	// told with every announcement.
	forwards bool
}

// refresh reads the interface and brings the port in line with it. vips are all
// virtual addresses configured on it.
func (p *port) refresh(a *Agent, vips map[netip.Addr]bool) {
	link, err := a.host.Link(p.name)
	switch {
	case errors.Is(err, netio.ErrNoLink):
		p.giveUp(a, election.ReasonInterfaceMissing, p.missing(a))
		return
	case err != nil:
		a.log.Error("interface not readable, keeping what was known", "ifname", p.name, "err", err)
		return
	case p.opened && link.Index != p.link.Index:
		p.giveUp(a, election.ReasonInterfaceMissing, fmt.Sprintf("interface %s was deleted and made anew", p.name))
	}
	p.link = link
	switch {
	case link.MasterName != "":
		p.giveUp(a, election.ReasonInterfaceEnslaved, fmt.Sprintf("interface %s is a port of the %s %s, which takes its frames; configure interface = %q instead",
			p.name, link.MasterKind, link.MasterName, link.MasterName))
		return
	case !link.Ethernet:
		p.giveUp(a, election.ReasonAttachFailed, fmt.Sprintf("interface %s is no Ethernet interface; CARP needs one", p.name))
		return
	case link.Unfit != "":
		p.giveUp(a, election.ReasonAttachFailed, link.Unfit)
		return
	}
	if err := p.open(a); err != nil {
		p.giveUp(a, election.ReasonAttachFailed, err.Error())
		return
	}
	if !link.Up {
		p.fail(election.ReasonLinkDown, fmt.Sprintf("interface %s has no link or is down; check the cable, or `ip link set %s up`", p.name, p.name))
		return
	}
	p.readAddresses(a, vips)
	p.fault, p.detail = 0, ""
}

// missing says what became of the interface.
func (p *port) missing(a *Agent) string {
	now, err := a.host.LinkAt(p.link.Index)
	if p.link.Index != 0 && err == nil && now.MAC == p.link.MAC {
		return fmt.Sprintf("interface %s is called %s now; configure interface = %q instead and reload, or rename it back: `ip link set %s name %s`",
			p.name, now.Name, now.Name, now.Name, p.name)
	}
	return fmt.Sprintf("interface %s does not exist; the group starts as soon as it appears", p.name)
}

// giveUp lets go of the interface: the reason first, for it goes into the history with
// the transitions that follow.
func (p *port) giveUp(a *Agent, fault election.Reason, detail string) {
	p.fail(fault, detail)
	p.close(a, fault)
}

// fail notes why the port cannot be used.
func (p *port) fail(fault election.Reason, detail string) {
	p.fault, p.detail = fault, detail
}

func (p *port) open(a *Agent) error {
	if p.opened {
		return nil
	}
	att, err := a.plane.Attach(p.link.Index, p.name, a.xdpMode())
	if err != nil {
		return err
	}
	sender, err := a.openSender(p.link.Index)
	if err == nil {
		if err = p.joinGroups(a, sender); err != nil {
			err = errors.Join(err, sender.Close())
		}
	}
	if err != nil {
		return errors.Join(err, a.plane.Detach(p.link.Index))
	}
	p.att, p.sender, p.opened = att, sender, true
	p.interrupted, _ = a.plane.Listening(p.link.Index)
	return nil
}

// joinGroups joins where CARP advertises to. A host without IPv6 has no use for
// its group; one with an IPv6 VIP says so when it has no address to send from.
func (p *port) joinGroups(a *Agent, s frameSender) error {
	if err := s.Join(wire.MulticastV6); err != nil {
		a.log.Debug("IPv6 group not joined", "ifname", p.name, "err", err)
	}
	return s.Join(wire.MulticastV4)
}

// close lets go of the interface, which may be gone already.
func (p *port) close(a *Agent, why election.Reason) {
	if !p.opened {
		return
	}
	p.opened = false
	for _, g := range a.groups {
		if g.port == p {
			g.fault, g.detail = p.fault, p.detail // known to the transition that follows
			g.unplug(a, why)
		}
	}
	if err := errors.Join(p.sender.Close(), a.plane.Detach(p.link.Index)); err != nil {
		a.log.Debug("let go of interface", "ifname", p.name, "err", err)
	}
	p.sender, p.att, p.own = nil, loader.Attachment{}, nil
}

func (p *port) readAddresses(a *Agent, vips map[netip.Addr]bool) {
	all, err := a.host.Addresses(p.link.Index)
	if err != nil {
		a.log.Warn("addresses not readable, keeping what was known", "ifname", p.name, "err", err)
		return
	}
	p.forwards = a.host.Forwards6(p.name)
	p.own = slices.DeleteFunc(all, func(pf netip.Prefix) bool { return vips[pf.Addr()] && pf.IsSingleIP() })
}
