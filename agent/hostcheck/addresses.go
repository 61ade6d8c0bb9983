// SPDX-License-Identifier: Apache-2.0

// Package hostcheck compares a config with the host. Its rules are pure functions of facts that
// agent/netio reads, so that `vipd --check`, the plan of a reload, the running daemon and the
// doctor reach the same result.
package hostcheck

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/config"
	"vipd/agent/netio"
)

// Table has the addresses of the host at one moment.
type Table struct {
	own      map[int][]netip.Prefix         // by interface, without vipd's virtual addresses
	virtual  map[int]map[netip.Addr]bool    // vipd's virtual addresses, by interface
	ordinary map[netip.Addr][]netio.Address // the host's own, by address
}

// NewTable sorts the result of [netio.Host.AllAddresses].
func NewTable(all []netio.Address) *Table {
	t := &Table{
		own:      map[int][]netip.Prefix{},
		virtual:  map[int]map[netip.Addr]bool{},
		ordinary: map[netip.Addr][]netio.Address{},
	}
	for _, a := range all {
		addr := a.Prefix.Addr()
		if !a.Ours {
			t.own[a.IfIndex] = append(t.own[a.IfIndex], a.Prefix)
			t.ordinary[addr] = append(t.ordinary[addr], a)
			continue
		}
		if t.virtual[a.IfIndex] == nil {
			t.virtual[a.IfIndex] = map[netip.Addr]bool{}
		}
		t.virtual[a.IfIndex][addr] = true
	}
	return t
}

// Own returns the ordinary addresses of an interface, in the kernel's order.
func (t *Table) Own(ifindex int) []netip.Prefix { return t.own[ifindex] }

// Has reports whether vipd's virtual address is on the interface.
func (t *Table) Has(ifindex int, addr netip.Addr) bool { return t.virtual[ifindex][addr] }

// HostHas reports whether an interface of this host has the address as an ordinary one.
func (t *Table) HostHas(addr netip.Addr) bool { return len(t.ordinary[addr.WithZone("")]) > 0 }

// broadcasts reports whether addr is the broadcast address of a network of this host.
func (t *Table) broadcasts(addr netip.Addr) bool {
	for _, own := range t.own {
		if slices.ContainsFunc(own, func(p netip.Prefix) bool { return config.IsBroadcast(addr, p) }) {
			return true
		}
	}
	return false
}

// InWay reports whether the kernel would confuse an ordinary address of the interface with the
// virtual one, so that vipd must neither renew nor remove it.
func (t *Table) InWay(ifindex int, addr netip.Addr) bool {
	for _, a := range t.ordinary[addr] {
		if a.IfIndex == ifindex && a.InWay(addr) {
			return true
		}
	}
	return false
}

// Ordinary is a virtual address that the host has as an ordinary one.
type Ordinary struct {
	Prefix    netip.Prefix // as on the host
	Interface string
}

// Ordinary returns the addresses of a group that the host has as ordinary ones, with any prefix
// length, lifetime and state: on the group's interface or another one of the same VRF, including
// lo. An IPv6 link-local address counts only on the group's interface. linkAt returns another
// interface.
func (t *Table) Ordinary(on netio.Link, vips []netip.Prefix, linkAt func(ifindex int) (netio.Link, error)) []Ordinary {
	var out []Ordinary
	for _, vip := range vips {
		for _, a := range t.ordinary[vip.Addr()] {
			if a.IfIndex == on.Index {
				out = append(out, Ordinary{a.Prefix, on.Name})
				continue
			}
			if vip.Addr().Is6() && vip.Addr().IsLinkLocalUnicast() {
				continue
			}
			// An interface that cannot be read was just removed, with its addresses.
			if other, err := linkAt(a.IfIndex); err == nil && other.VRF == on.VRF {
				out = append(out, Ordinary{a.Prefix, other.Name})
			}
		}
	}
	return out
}

// maxListed limits the addresses or routes that a message names.
const maxListed = 3

// OrdinaryDetail explains the reason own_address and what to do.
func OrdinaryDetail(found []Ordinary) string {
	var where, commands []string
	for i, o := range found {
		if i == maxListed {
			where = append(where, fmt.Sprintf("and %d more", len(found)-maxListed))
			break
		}
		where = append(where, fmt.Sprintf("%s on %s", o.Prefix, o.Interface))
		commands = append(commands, fmt.Sprintf("`ip addr del %s dev %s`", o.Prefix, o.Interface))
	}
	return fmt.Sprintf("this host has a virtual address as an ordinary address (%s); vipd leaves it alone, "+
		"and the group stays in INIT until it is gone: %s, and remove it from the network configuration",
		strings.Join(where, ", "), strings.Join(commands, ", "))
}
