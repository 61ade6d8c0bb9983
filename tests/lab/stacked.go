// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// Interfaces that get their frames from others of the same host.

// AddMacvlan makes a macvlan over an interface: in mode passthru, or in mode bridge.
func (h *Host) AddMacvlan(parent, name string, passthru bool, addresses ...string) {
	h.lab.Helper()
	la := netlink.NewLinkAttrs()
	la.Name, la.ParentIndex = name, h.IfIndex(parent)
	mode := netlink.MACVLAN_MODE_BRIDGE
	if passthru {
		mode = netlink.MACVLAN_MODE_PASSTHRU
	}
	h.lab.check(h.nl.LinkAdd(&netlink.Macvlan{LinkAttrs: la, Mode: mode}), "%s: add macvlan %s", h.Name, name)
	h.bringUp(name, addresses)
}

// AddBridge makes a bridge of the interfaces.
func (h *Host) AddBridge(name string, ports []string, addresses ...string) {
	h.lab.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = name
	h.lab.check(h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: la}), "%s: add bridge %s", h.Name, name)
	for _, p := range ports {
		h.lab.check(h.nl.LinkSetMaster(h.link(p), h.link(name)), "%s: make %s a port of %s", h.Name, p, name)
	}
	h.bringUp(name, addresses)
}

// AddBond makes a bond of the interfaces, in one of the kernel's modes ("active-backup").
func (h *Host) AddBond(name, mode string, slaves []string, addresses ...string) {
	h.lab.Helper()
	la := netlink.NewLinkAttrs()
	la.Name = name
	bond := netlink.NewLinkBond(la)
	bond.Mode, bond.Miimon = netlink.StringToBondMode(mode), 50
	h.lab.check(h.nl.LinkAdd(bond), "%s: add bond %s", h.Name, name)
	for _, s := range slaves {
		h.SetDown(s) // else it is not taken
		h.lab.check(h.nl.LinkSetMaster(h.link(s), h.link(name)), "%s: make %s a slave of %s", h.Name, s, name)
	}
	h.bringUp(name, addresses)
}

func (h *Host) bringUp(name string, addresses []string) {
	h.lab.Helper()
	h.SetUp(name)
	for _, a := range addresses {
		h.AddAddress(name, a)
	}
	h.awaitUp(name)
}

// BondsAllowed reports whether this kernel makes bonds; nil means it does.
func BondsAllowed() error {
	return onThread(func(netns.NsHandle) error {
		ns, err := netns.New() // gone, with the bond, when the thread is back home
		if err != nil {
			return fmt.Errorf("make a network namespace: %w", err)
		}
		defer ns.Close()
		la := netlink.NewLinkAttrs()
		la.Name = "bond0"
		if err := netlink.LinkAdd(netlink.NewLinkBond(la)); err != nil {
			return fmt.Errorf("make a bond: %w", err)
		}
		return nil
	})
}
