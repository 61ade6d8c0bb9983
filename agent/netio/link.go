// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ErrNoLink says that an interface of that name does not exist.
var ErrNoLink = errors.New("no such interface")

// Link is what the agent needs to know of one interface, read at one moment.
type Link struct {
	Index int
	Name  string
	MAC   [6]byte
	// Up says that the interface is administratively up and has a carrier
	// (IFF_UP and IFF_RUNNING), and so has the parent of a VLAN device.
	Up bool
	// MasterName and MasterKind name the bridge or bond that has taken this
	// interface, else both are "". A VRF is no such master: it leaves the
	// interface's receive path alone.
	MasterName, MasterKind string
	// Ethernet says that frames have an Ethernet header and a 6-byte address.
	Ethernet bool
	// Unfit says why groups cannot run on it although it is an Ethernet interface,
	// and what to do; "" when they can.
	Unfit string
}

// Host reads and changes the host's network configuration through netlink.
type Host struct {
	nl *netlink.Handle
}

// NewHost opens a netlink handle in the current network namespace.
func NewHost() (*Host, error) {
	nl, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &Host{nl: nl}, nil
}

// Close releases the netlink socket.
func (h *Host) Close() { h.nl.Close() }

// Link reads the interface called name. The error is ErrNoLink when there is
// none.
func (h *Host) Link(name string) (Link, error) {
	l, err := h.nl.LinkByName(name)
	if err != nil {
		if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
			return Link{}, fmt.Errorf("interface %s: %w", name, ErrNoLink)
		}
		return Link{}, fmt.Errorf("read interface %s: %w", name, err)
	}
	return h.describe(l)
}

// LinkAt reads the interface with that index, whatever its name is now. The error is
// ErrNoLink when there is none.
func (h *Host) LinkAt(ifindex int) (Link, error) {
	l, err := h.nl.LinkByIndex(ifindex)
	if err != nil {
		if _, missing := errors.AsType[netlink.LinkNotFoundError](err); missing {
			return Link{}, fmt.Errorf("interface %d: %w", ifindex, ErrNoLink)
		}
		return Link{}, fmt.Errorf("read interface %d: %w", ifindex, err)
	}
	return h.describe(l)
}

func (h *Host) describe(l netlink.Link) (Link, error) {
	at := l.Attrs()
	out := Link{
		Index:    at.Index,
		Name:     at.Name,
		Up:       at.Flags&net.FlagUp != 0 && at.RawFlags&unix.IFF_RUNNING != 0,
		Ethernet: len(at.HardwareAddr) == 6 && at.RawFlags&unix.IFF_LOOPBACK == 0,
	}
	copy(out.MAC[:], at.HardwareAddr)
	if out.Up && l.Type() == "vlan" && at.ParentIndex != 0 && at.NetNsID < 0 {
		parent, err := h.nl.LinkByIndex(at.ParentIndex)
		if err != nil {
			return Link{}, fmt.Errorf("read the parent of interface %s: %w", at.Name, err)
		}
		// One with a loose binding stays up without it.
		below, err := h.describe(parent)
		if err != nil {
			return Link{}, err
		}
		out.Up = below.Up
	}
	if m, ok := l.(*netlink.Macvlan); ok {
		var err error
		if out.Unfit, err = h.macvlanUnfit(m); err != nil {
			return Link{}, err
		}
	}
	if at.MasterIndex == 0 {
		return out, nil
	}
	master, err := h.nl.LinkByIndex(at.MasterIndex)
	if err != nil {
		return Link{}, fmt.Errorf("read the master of interface %s: %w", at.Name, err)
	}
	if kind := master.Type(); kind != "vrf" {
		out.MasterName, out.MasterKind = master.Attrs().Name, kind
	}
	return out, nil
}

// Addresses returns the interface's own addresses with their prefixes, in the
// kernel's order.
func (h *Host) Addresses(ifindex int) ([]netip.Prefix, error) {
	list, err := h.nl.AddrList(linkRef(ifindex), netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses of interface %d: %w", ifindex, err)
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, a := range list {
		ip, ok := netip.AddrFromSlice(a.IP)
		if !ok {
			continue
		}
		bits, _ := a.Mask.Size()
		out = append(out, netip.PrefixFrom(ip.Unmap(), bits))
	}
	return out, nil
}

// linkRef names an interface by index, without the look-up by name that a
// renamed interface would make go wrong.
func linkRef(ifindex int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}

// Forwards6 says whether the host routes IPv6 packets that come in on the
// interface. An interface without IPv6 does not.
func (h *Host) Forwards6(ifname string) bool {
	data, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", ifname, "forwarding"))
	return err == nil && strings.TrimSpace(string(data)) == "1"
}
