// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// NICs lists the real network interfaces of this process's namespace whose address begins so, by address.
func NICs(prefix []byte) ([]net.HardwareAddr, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	var out []net.HardwareAddr
	for _, l := range links {
		if bytes.HasPrefix(l.Attrs().HardwareAddr, prefix) {
			out = append(out, l.Attrs().HardwareAddr)
		}
	}
	return out, nil
}

// NICDriver returns the name of the driver of the real interface with that address in this process's namespace.
func NICDriver(mac net.HardwareAddr) (string, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return "", err
	}
	for _, l := range links {
		if bytes.Equal(l.Attrs().HardwareAddr, mac) {
			driver, err := os.Readlink("/sys/class/net/" + l.Attrs().Name + "/device/driver")
			return filepath.Base(driver), err
		}
	}
	return "", fmt.Errorf("no interface has the address %s", mac)
}

// TakeNIC moves the real interface with that address from this process's namespace into the host, under the name
// ifname; it comes back when the lab ends.
func (h *Host) TakeNIC(mac net.HardwareAddr, ifname string, addresses ...string) {
	l := h.lab
	l.Helper()
	var found netlink.Link
	l.Eventually(10*time.Second, 10*time.Millisecond, func() (bool, string) {
		links, err := netlink.LinkList()
		l.check(err, "list interfaces")
		for _, link := range links {
			if bytes.Equal(link.Attrs().HardwareAddr, mac) {
				found = link
			}
		}
		return found != nil, "the interface " + mac.String() + " is there"
	})
	l.check(netlink.LinkSetNsFd(found, int(h.ns)), "move %s to %s", mac, h.Name)
	moved, err := h.nl.LinkByIndex(found.Attrs().Index)
	l.check(err, "find %s on %s", mac, h.Name)
	if moved.Attrs().Name != ifname {
		l.check(h.nl.LinkSetName(moved, ifname), "rename %s to %s", mac, ifname)
	}
	l.Cleanup(func() {
		home, err := netns.Get()
		if err != nil {
			l.Errorf("give %s back: %v", mac, err)
			return
		}
		defer home.Close()
		// Only an interface that is down can get a name that nothing at home has.
		if err := errors.Join(h.nl.LinkSetDown(moved), h.nl.LinkSetName(moved, "nic"+mac.String()[15:]),
			h.nl.LinkSetNsFd(moved, int(home))); err != nil {
			l.Errorf("give %s back: %v", mac, err)
		}
	})
	h.SetUp(ifname)
	for _, a := range addresses {
		h.AddAddress(ifname, a)
	}
	h.awaitUp(ifname)
}

// CarrierLosses returns how often the interface has lost its link so far, by the kernel's own count.
func (h *Host) CarrierLosses(ifname string) (losses uint32) {
	h.lab.Helper()
	question := nl.NewNetlinkRequest(unix.RTM_GETLINK, 0)
	message := nl.NewIfInfomsg(unix.AF_UNSPEC)
	message.Index = int32(h.IfIndex(ifname))
	question.AddData(message)
	h.lab.check(h.Within(func() error {
		answers, err := question.Execute(unix.NETLINK_ROUTE, unix.RTM_NEWLINK)
		if err != nil {
			return err
		}
		attrs, err := nl.ParseRouteAttr(answers[0][unix.SizeofIfInfomsg:])
		if err != nil {
			return err
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.IFLA_CARRIER_DOWN_COUNT {
				losses = binary.NativeEndian.Uint32(a.Value)
				return nil
			}
		}
		return errors.New("the kernel does not say")
	}), "%s: how often %s lost its link", h.Name, ifname)
	return losses
}

// AddVLAN makes a VLAN device, sets it up and gives it addresses. The tag is 802.1Q, or 802.1ad for a service tag.
func (h *Host) AddVLAN(parent, name string, id int, service bool, addresses ...string) {
	h.lab.Helper()
	la := netlink.NewLinkAttrs()
	la.Name, la.ParentIndex = name, h.IfIndex(parent)
	vlan := &netlink.Vlan{LinkAttrs: la, VlanId: id, VlanProtocol: netlink.VLAN_PROTOCOL_8021Q}
	if service {
		vlan.VlanProtocol = netlink.VLAN_PROTOCOL_8021AD
	}
	h.lab.check(h.nl.LinkAdd(vlan), "%s: add VLAN %s", h.Name, name)
	h.SetUp(name)
	for _, a := range addresses {
		h.AddAddress(name, a)
	}
	h.awaitUp(name)
}

func (h *Host) awaitUp(ifname string) {
	h.lab.Helper()
	h.lab.Eventually(5*time.Second, 5*time.Millisecond, func() (bool, string) {
		return h.link(ifname).Attrs().OperState == netlink.OperUp && h.settled(ifname), "link of " + ifname + " on " + h.Name
	})
}
