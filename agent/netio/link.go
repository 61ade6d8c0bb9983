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

// ErrNoLink means that there is no such interface.
var ErrNoLink = errors.New("no such interface")

// Link describes one interface at one moment.
type Link struct {
	Index int
	Name  string
	MAC   [6]byte
	// Up reports that the interface, and the parent of a VLAN device, is administratively up and has a
	// carrier (IFF_UP and IFF_RUNNING).
	Up bool
	// AltNames are the alternative names of the interface.
	AltNames []string
	// VRF is the index of the VRF that the interface belongs to or is; 0 if none. Addresses of different
	// VRFs are independent.
	VRF int
	// Table is the routing table for packets of the interface: the VRF's or main.
	Table int
	// MasterName and MasterKind describe the bridge or bond that the interface belongs to; "" if none. A
	// VRF does not count: it does not change the receive path.
	MasterName, MasterKind string
	// Ethernet reports that frames have an Ethernet header and 6-byte addresses.
	Ethernet bool
	// Unfit is why groups cannot run on this Ethernet interface and what to do; "" if they can.
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

// Link reads the interface with that name. It returns ErrNoLink if there is none.
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

// LinkAt reads the interface with that index. It returns ErrNoLink if there is none.
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
		AltNames: at.AltNames,
		Table:    unix.RT_TABLE_MAIN,
		Up:       at.Flags&net.FlagUp != 0 && at.RawFlags&unix.IFF_RUNNING != 0,
		Ethernet: len(at.HardwareAddr) == 6 && at.RawFlags&unix.IFF_LOOPBACK == 0,
	}
	copy(out.MAC[:], at.HardwareAddr)
	if out.Up && l.Type() == "vlan" && at.ParentIndex != 0 && at.NetNsID < 0 {
		parent, err := h.nl.LinkByIndex(at.ParentIndex)
		if err != nil {
			return Link{}, fmt.Errorf("read the parent of interface %s: %w", at.Name, err)
		}
		// With a loose binding, a VLAN device stays up without its parent.
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
	if v, ok := l.(*netlink.Vrf); ok {
		out.VRF, out.Table = at.Index, int(v.Table)
	}
	if at.MasterIndex == 0 {
		return out, nil
	}
	master, err := h.nl.LinkByIndex(at.MasterIndex)
	if err != nil {
		return Link{}, fmt.Errorf("read the master of interface %s: %w", at.Name, err)
	}
	if vrf, ok := master.(*netlink.Vrf); ok {
		out.VRF, out.Table = vrf.Index, int(vrf.Table)
	} else {
		out.MasterName, out.MasterKind = master.Attrs().Name, master.Type()
	}
	return out, nil
}

// maxDumps limits the attempts to read a list that changes of the host interrupt.
const maxDumps = 5

// AllAddresses returns the addresses of all interfaces of the host, in the kernel's order.
func (h *Host) AllAddresses() ([]Address, error) {
	var list []netlink.Addr
	var err error
	for range maxDumps { // an interrupted list may be incomplete
		if list, err = h.nl.AddrList(nil, netlink.FAMILY_ALL); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	if err != nil {
		return nil, fmt.Errorf("list the addresses of the host: %w", err)
	}
	out := make([]Address, 0, len(list))
	for _, a := range list {
		if p, ok := prefixOfAddr(a.IPNet); ok {
			own := ours(p, a.Scope, a.Flags, a.PreferedLft, a.ValidLft)
			out = append(out, Address{IfIndex: a.LinkIndex, Prefix: p, Ours: own})
		}
	}
	return out, nil
}

func prefixOfAddr(n *net.IPNet) (netip.Prefix, bool) {
	if n == nil {
		return netip.Prefix{}, false
	}
	ip, ok := netip.AddrFromSlice(n.IP)
	bits, _ := n.Mask.Size()
	return netip.PrefixFrom(ip.Unmap(), bits), ok
}

// Addresses returns the interface's addresses with their prefixes, in the kernel's order.
func (h *Host) Addresses(ifindex int) ([]netip.Prefix, error) {
	list, err := h.nl.AddrList(linkRef(ifindex), netlink.FAMILY_ALL)
	if err != nil && !errors.Is(err, netlink.ErrDumpInterrupted) {
		return nil, fmt.Errorf("list addresses of interface %d: %w", ifindex, err)
	}
	out := make([]netip.Prefix, 0, len(list))
	for _, a := range list {
		if p, ok := prefixOfAddr(a.IPNet); ok {
			out = append(out, p)
		}
	}
	return out, nil
}

// linkRef refers to an interface by its index, which does not change when it is renamed.
func linkRef(ifindex int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: ifindex}}
}

// Forwards6 reports whether the host forwards IPv6 packets that arrive on the interface. Without IPv6 it
// does not.
func (h *Host) Forwards6(ifname string) bool {
	data, err := os.ReadFile(filepath.Join("/proc/sys/net/ipv6/conf", ifname, "forwarding"))
	return err == nil && strings.TrimSpace(string(data)) == "1"
}

// AllLinks returns every interface of the host.
func (h *Host) AllLinks() ([]Link, error) {
	list, err := h.nl.LinkList()
	for range maxDumps {
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
		list, err = h.nl.LinkList()
	}
	if err != nil {
		return nil, fmt.Errorf("list the interfaces of the host: %w", err)
	}
	out := make([]Link, 0, len(list))
	for _, l := range list {
		if link, err := h.describe(l); err == nil { // an error means that it was just removed
			out = append(out, link)
		}
	}
	return out, nil
}
