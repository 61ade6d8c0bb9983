// SPDX-License-Identifier: Apache-2.0

package hostcheck

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/config"
	"vipd/agent/netio"
)

// Facts are the state of the host that a config is compared with.
type Facts struct {
	Links     []netio.Link
	Addresses *Table
	// Routes depend on the addresses of the config, see [Carrier.AtRisk].
	Routes []netio.Route
}

// host is the part of netio.Host that Read uses.
type host interface {
	AllLinks() ([]netio.Link, error)
	AllAddresses() ([]netio.Address, error)
	Routes(keep func(netio.Route) bool) ([]netio.Route, error)
}

// Read collects the facts for a config in the network namespace of the caller.
func Read(h host, cfg *config.Config) (*Facts, error) {
	links, err := h.AllLinks()
	if err != nil {
		return nil, err
	}
	all, err := h.AllAddresses()
	if err != nil {
		return nil, err
	}
	f := &Facts{Links: links, Addresses: NewTable(all)}
	var on []Carrier
	for _, g := range cfg.Groups {
		if link, ok := f.link(g.Interface); ok {
			on = append(on, f.carrier(link, g))
		}
	}
	f.Routes, err = h.Routes(func(r netio.Route) bool {
		return slices.ContainsFunc(on, func(c Carrier) bool { return c.AtRisk(r) })
	})
	if err != nil && !errors.Is(err, netio.ErrManyRoutes) {
		return nil, err
	}
	return f, nil
}

// link finds an interface by any of its names.
func (f *Facts) link(name string) (netio.Link, bool) {
	for _, l := range f.Links {
		if l.Name == name || slices.Contains(l.AltNames, name) {
			return l, true
		}
	}
	return netio.Link{}, false
}

func (f *Facts) linkAt(ifindex int) (netio.Link, error) {
	for _, l := range f.Links {
		if l.Index == ifindex {
			return l, nil
		}
	}
	return netio.Link{}, netio.ErrNoLink
}

func (f *Facts) carrier(link netio.Link, g config.Group) Carrier {
	return Carrier{
		IfIndex: link.Index, VIPs: g.Addresses, ByRoutes: g.ByRoutes(), Own: f.Addresses.Own(link.Index),
	}
}

// Unfit returns why no group can run on a link, whatever its state, and what to do; "" if one can.
func Unfit(name string, link *netio.Link) string {
	switch {
	case link.MasterName != "":
		return fmt.Sprintf("interface %s is a port of the %s %s, which takes its frames; configure interface = %q instead",
			name, link.MasterKind, link.MasterName, link.MasterName)
	case !link.Ethernet:
		return fmt.Sprintf("interface %s is not an Ethernet interface; CARP needs one", name)
	}
	return link.Unfit
}

// Compare compares a config with the host. Problems that make the config unusable are refused;
// all others are warnings, since the host may change before vipd uses it. Interfaces that do not
// exist yet are skipped.
func Compare(cfg *config.Config, f *Facts) (refused, warnings []config.Problem) {
	refused = f.duplicates(cfg)
	for _, g := range cfg.Groups {
		link, ok := f.link(g.Interface)
		if !ok {
			continue
		}
		warn := func(format string, args ...any) {
			warnings = append(warnings,
				config.Problem{File: cfg.Source, Line: g.Line, Key: g.Name(), Message: fmt.Sprintf(format, args...)})
		}
		if why := Unfit(g.Interface, &link); why != "" {
			warn("%s", why)
			continue
		}
		if found := f.Addresses.Ordinary(link, g.Addresses, f.linkAt); len(found) > 0 {
			warn("%s", OrdinaryDetail(found))
			continue // the host's own addresses are not known then
		}
		for _, text := range f.peers(g) {
			warn("%s", text)
		}
		for _, note := range f.notes(link, g) {
			warn("%s", note)
		}
	}
	return refused, warnings
}

// peers describes the unicast peers of a group that get no adverts.
func (f *Facts) peers(g config.Group) (out []string) {
	others := 0
	for _, peer := range g.Peers {
		switch {
		case !slices.ContainsFunc(g.Addresses, func(p netip.Prefix) bool { return p.Addr().Is4() == peer.Is4() }):
			out = append(out, fmt.Sprintf("peer %s gets no advertisements: the group has no address of its family", peer))
		case f.Addresses.broadcasts(peer):
			out = append(out, fmt.Sprintf("peer %s is the broadcast address of a network of this host; give the unicast "+
				"address of another node", peer))
		case f.Addresses.HostHas(peer):
			out = append(out, fmt.Sprintf("peer %s is an address of this host and is skipped", peer))
		default:
			others++
		}
	}
	if len(g.Peers) > 0 && others == 0 {
		out = append(out, "no peer is another node that gets advertisements: this node would not preempt, "+
			"and no node would hear it")
	}
	return out
}

// Notes describes what on the host conflicts with a group that takes part.
func (f *Facts) Notes(g config.Group) []string {
	link, ok := f.link(g.Interface)
	if !ok {
		return nil
	}
	return f.notes(link, g)
}

func (f *Facts) notes(link netio.Link, g config.Group) []string {
	var out []string
	c := f.carrier(link, g)
	for _, family := range c.Bare() {
		out = append(out, BareDetail(link.Name, family))
	}
	if lost := c.Routes(f.Routes); len(lost) > 0 {
		out = append(out, RoutesDetail(link.Name, lost))
	}
	return out
}

// duplicates finds groups whose interface names mean the same interface.
func (f *Facts) duplicates(cfg *config.Config) []config.Problem {
	type place struct {
		ifindex int
		vhid    uint8
	}
	type address struct {
		ifindex int
		addr    netip.Addr
	}
	places, addresses := map[place]config.Group{}, map[address]config.Group{}
	var out []config.Problem
	for _, g := range cfg.Groups {
		link, ok := f.link(g.Interface)
		if !ok {
			continue
		}
		problem := func(key, format string, args ...any) {
			out = append(out, config.Problem{File: cfg.Source, Line: g.Line, Key: key, Message: fmt.Sprintf(format, args...)})
		}
		if first, taken := places[place{link.Index, g.VHID}]; taken {
			problem("vhid", "%s is already %s: %s and %s are names of one interface (%s); put all addresses into one [[vip]]",
				g.Name(), first.Name(), first.Interface, g.Interface, link.Name)
			continue
		}
		places[place{link.Index, g.VHID}] = g
		for _, p := range g.Addresses {
			at := address{link.Index, p.Addr()}
			if first, taken := addresses[at]; taken && first.Interface != g.Interface {
				problem("addresses", "%s is already an address of %s: %s and %s are names of one interface (%s); "+
					"keep it in one [[vip]]", p.Addr(), first.Name(), first.Interface, g.Interface, link.Name)
			}
			addresses[at] = g
		}
	}
	return out
}

// Carrier is an interface with the addresses of a group on it.
type Carrier struct {
	IfIndex int
	VIPs    []netip.Prefix
	// ByRoutes means that the host has local routes to the VIPs. The kernel removes no other routes with them.
	ByRoutes bool
	Own      []netip.Prefix // ordinary addresses of the interface
}

// Families that [Carrier.Bare] returns.
const (
	ipv4 = "IPv4"
	ipv6 = "IPv6"
)

// Bare returns the families of the group in which the interface has no address of its own. A
// link-local IPv6 address is enough: a router reaches its neighbours and its gateway from it.
func (c Carrier) Bare() []string {
	var out []string
	if c.has4() && !c.own4() && !c.ByRoutes {
		out = append(out, ipv4)
	}
	is6 := func(p netip.Prefix) bool { return !is4(p) }
	if slices.ContainsFunc(c.VIPs, is6) && !slices.ContainsFunc(c.Own, is6) {
		out = append(out, ipv6)
	}
	return out
}

func is4(p netip.Prefix) bool { return p.Addr().Is4() }

func (c Carrier) has4() bool { return slices.ContainsFunc(c.VIPs, is4) }
func (c Carrier) own4() bool { return slices.ContainsFunc(c.Own, is4) }

// BareDetail explains the consequence of a family from [Carrier.Bare].
func BareDetail(ifname, family string) string {
	if family == ipv4 {
		return ifname + " has no IPv4 address of its own: the kernel removes all IPv4 routes through it, including a " +
			"default route, whenever the virtual addresses leave; give it an address of the network on each node"
	}
	return fmt.Sprintf("%s has no IPv6 address of its own, not even a link-local one, so it cannot send advertisements "+
		"over IPv6; is IPv6 disabled there (net.ipv6.conf.%s.disable_ipv6)?", ifname, ifname)
}

// AtRisk reports whether the kernel removes the route when the virtual addresses leave the host:
// its preferred source is one of them, or they include the interface's last IPv4 address.
func (c Carrier) AtRisk(r netio.Route) bool {
	if r.Kernel() || r.Protocol == netio.RouteProtocol || c.ByRoutes {
		return false // belongs to an address
	}
	if r.Source.IsValid() && slices.ContainsFunc(c.VIPs, func(p netip.Prefix) bool { return p.Addr() == r.Source }) {
		return true
	}
	return r.IfIndex == c.IfIndex && r.Dst.Addr().Is4() && c.has4() && !c.own4()
}

// Routes returns the routes that are at risk.
func (c Carrier) Routes(all []netio.Route) []netio.Route {
	return slices.DeleteFunc(slices.Clone(all), func(r netio.Route) bool { return !c.AtRisk(r) })
}

// RoutesDetail explains the consequence of [Carrier.Routes].
func RoutesDetail(ifname string, routes []netio.Route) string {
	return fmt.Sprintf("the kernel removes these routes when the virtual addresses leave %s, and nothing adds them "+
		"again: "+
		"%s; let a hook add them at each transition to MASTER, or use a source address that stays", ifname, RouteList(routes))
}

// RouteList names the first routes and counts the others.
func RouteList(routes []netio.Route) string {
	var words []string
	for i, r := range routes {
		if i == maxListed {
			words = append(words, fmt.Sprintf("and %d more", len(routes)-maxListed))
			break
		}
		words = append(words, r.String())
	}
	return strings.Join(words, ", ")
}
