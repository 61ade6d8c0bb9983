// SPDX-License-Identifier: Apache-2.0

package netio

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netlink/nl"
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
	// SetDown reports that the interface, or the parent of a VLAN device, is administratively down.
	SetDown bool
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
	// Forwards6 reports that the host forwards IPv6 packets that arrive on the interface.
	Forwards6 bool
	// Ethernet reports that frames have an Ethernet header and 6-byte addresses.
	Ethernet bool
	// Unfit is why groups cannot run on this Ethernet interface and what to do; "" if they can.
	Unfit string
}

// Host reads and changes the host's network configuration through netlink.
type Host struct {
	nl  *netlink.Handle
	own map[int]*nl.SocketHandle // see request

	batch  *batchSocket             // to change addresses, filters and local routes
	strict map[int]*nl.SocketHandle // to list them
}

// NewHost opens netlink sockets in the current network namespace.
func NewHost() (*Host, error) {
	own, err := openOwn()
	if err != nil {
		return nil, err
	}
	strict, err := openStrict()
	if err != nil {
		own[unix.NETLINK_ROUTE].Close()
		return nil, err
	}
	batch, err := openBatchSocket()
	if err != nil {
		own[unix.NETLINK_ROUTE].Close()
		strict[unix.NETLINK_ROUTE].Close()
		return nil, err
	}
	handle, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		own[unix.NETLINK_ROUTE].Close()
		strict[unix.NETLINK_ROUTE].Close()
		return nil, errors.Join(fmt.Errorf("open netlink socket: %w", err), batch.close())
	}
	return &Host{nl: handle, own: own, strict: strict, batch: batch}, nil
}

// Close releases the netlink sockets.
func (h *Host) Close() {
	h.nl.Close()
	h.own[unix.NETLINK_ROUTE].Close()
	h.strict[unix.NETLINK_ROUTE].Close()
	_ = h.batch.close()
}

// Link reads the interface with that name. It returns ErrNoLink if there is none.
func (h *Host) Link(name string) (Link, error) {
	kind := unix.IFLA_IFNAME
	if len(name) >= unix.IFNAMSIZ {
		kind = unix.IFLA_ALT_IFNAME
	}
	l, err := h.readLink(0, nl.NewRtAttr(kind, nl.ZeroTerminated(name)))
	if err != nil {
		return Link{}, fmt.Errorf("read interface %s: %w", name, err)
	}
	return l.describe(h.linkAt)
}

// LinkAt reads the interface with that index. It returns ErrNoLink if there is none.
func (h *Host) LinkAt(ifindex int) (Link, error) {
	l, err := h.linkAt(ifindex)
	if err != nil {
		return Link{}, err
	}
	return l.describe(h.linkAt)
}

func (h *Host) linkAt(ifindex int) (rawLink, error) {
	l, err := h.readLink(ifindex)
	if err != nil {
		return l, fmt.Errorf("read interface %d: %w", ifindex, err)
	}
	return l, nil
}

// AllLinks returns every interface of the host, by one dump.
func (h *Host) AllLinks() ([]Link, error) {
	var raw map[int]rawLink
	var order []int
	var errs []error
	begin := func() { raw, order, errs = map[int]rawLink{}, nil, nil }
	err := h.dump(unix.RTM_GETLINK, unix.RTM_NEWLINK, begin, func(m []byte) {
		l, err := parseLink(m)
		if err != nil {
			errs = append(errs, err)
			return
		}
		at := l.Attrs().Index
		raw[at], order = l, append(order, at)
	}, linkQuestion(0)...)
	if err = errors.Join(append(errs, err)...); err != nil {
		return nil, fmt.Errorf("list the interfaces of the host: %w", err)
	}
	other := func(ifindex int) (rawLink, error) {
		if l, found := raw[ifindex]; found {
			return l, nil
		}
		return rawLink{}, ErrNoLink
	}
	out := make([]Link, 0, len(order))
	for _, at := range order {
		if link, err := raw[at].describe(other); err == nil { // an error means that it was just removed
			out = append(out, link)
		}
	}
	return out, nil
}

// rawLink is a link as the kernel describes it.
type rawLink struct {
	netlink.Link
	forwards6 bool
}

func (h *Host) readLink(ifindex int, which ...nl.NetlinkRequestData) (rawLink, error) {
	var out rawLink
	var bad error
	err := h.request(unix.RTM_GETLINK, 0, unix.RTM_NEWLINK, func(m []byte) { out, bad = parseLink(m) },
		append(linkQuestion(ifindex), which...)...)
	switch {
	case errors.Is(err, unix.ENODEV):
		return out, ErrNoLink
	case err != nil || bad != nil:
		return out, errors.Join(err, bad)
	case out.Link == nil:
		return out, ErrNoLink
	default:
		return out, nil
	}
}

// skipStats asks for links without their counters (RTEXT_FILTER_SKIP_STATS), which the kernel adds up over all CPUs.
const skipStats = 1 << 3

func linkQuestion(ifindex int) []nl.NetlinkRequestData {
	msg := nl.NewIfInfomsg(unix.AF_UNSPEC)
	msg.Index = int32(ifindex)
	return []nl.NetlinkRequestData{msg, nl.NewRtAttr(unix.IFLA_EXT_MASK, nl.Uint32Attr(skipStats))}
}

func parseLink(m []byte) (rawLink, error) {
	l, err := netlink.LinkDeserialize(nil, m)
	if err != nil {
		return rawLink{}, err
	}
	return rawLink{l, forwards6(m)}, nil
}

// forwards6 returns the sysctl net.ipv6.conf.IF.forwarding, the first of the IPv6 settings of a link. Without IPv6
// there are none.
func forwards6(m []byte) bool {
	if len(m) < unix.SizeofIfInfomsg {
		return false
	}
	for _, kind := range []uint16{unix.IFLA_AF_SPEC, unix.AF_INET6, unix.IFLA_INET6_CONF} {
		rest := m
		if kind == unix.IFLA_AF_SPEC {
			rest = m[unix.SizeofIfInfomsg:]
		}
		m = nil
		for k, v := range attributes(rest) {
			if k == kind {
				m = v
			}
		}
	}
	return len(m) >= 4 && binary.NativeEndian.Uint32(m) == 1
}

// describe derives what the agent needs to know. other reads the links that this one depends on.
func (raw rawLink) describe(other func(ifindex int) (rawLink, error)) (Link, error) {
	l, at := raw.Link, raw.Attrs()
	out := Link{
		Index:     at.Index,
		Name:      at.Name,
		AltNames:  at.AltNames,
		Table:     unix.RT_TABLE_MAIN,
		Up:        at.Flags&net.FlagUp != 0 && at.RawFlags&unix.IFF_RUNNING != 0,
		SetDown:   at.Flags&net.FlagUp == 0,
		Forwards6: raw.forwards6,
		Ethernet:  len(at.HardwareAddr) == 6 && at.RawFlags&unix.IFF_LOOPBACK == 0,
	}
	copy(out.MAC[:], at.HardwareAddr)
	if out.Up && l.Type() == "vlan" && at.ParentIndex != 0 && at.NetNsID < 0 {
		parent, err := other(at.ParentIndex)
		if err != nil {
			return Link{}, fmt.Errorf("read the parent of interface %s: %w", at.Name, err)
		}
		// With a loose binding, a VLAN device stays up without its parent.
		below, err := parent.describe(other)
		if err != nil {
			return Link{}, err
		}
		out.Up, out.SetDown = below.Up, below.SetDown
	}
	if m, ok := l.(*netlink.Macvlan); ok {
		var err error
		if out.Unfit, err = macvlanUnfit(m, other); err != nil {
			return Link{}, err
		}
	}
	if v, ok := l.(*netlink.Vrf); ok {
		out.VRF, out.Table = at.Index, int(v.Table)
	}
	if at.MasterIndex == 0 {
		return out, nil
	}
	master, err := other(at.MasterIndex)
	if err != nil {
		return Link{}, fmt.Errorf("read the master of interface %s: %w", at.Name, err)
	}
	if vrf, ok := master.Link.(*netlink.Vrf); ok {
		out.VRF, out.Table = vrf.Index, int(vrf.Table)
	} else {
		out.MasterName, out.MasterKind = master.Attrs().Name, master.Type()
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
