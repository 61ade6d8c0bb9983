// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
)

// Segment is one Ethernet segment: a bridge in a namespace of its own.
type Segment struct {
	host   *Host
	bridge netlink.Link
}

// Port is the place where a host is plugged into a segment.
type Port struct {
	Host    *Host
	IfName  string // the interface on the host
	MAC     [6]byte
	Segment *Segment
	Name    string // the bridge port on the segment
}

// NewSegment makes a segment without a host.
func (l *Lab) NewSegment(name string) *Segment {
	l.Helper()
	h := l.NewHost(name)
	la := netlink.NewLinkAttrs()
	la.Name = "br0"
	l.check(h.nl.LinkAdd(&netlink.Bridge{LinkAttrs: la}), "segment %s: add bridge", name)
	h.SetUp("br0")
	return &Segment{host: h, bridge: h.link("br0")}
}

// Join plugs a host's new interface into the segment and gives it addresses ("192.0.2.11/24").
func (s *Segment) Join(h *Host, ifname string, addresses ...string) *Port {
	l := h.lab
	l.Helper()
	l.macs++
	p := &Port{Host: h, IfName: ifname, Segment: s, MAC: [6]byte{2, 0, 0, 0, 0, byte(l.macs)}}
	p.Name = h.Name
	if ifname != "eth0" {
		p.Name += "-" + ifname
	}
	la := netlink.NewLinkAttrs()
	la.Name = p.Name
	l.check(s.host.nl.LinkAdd(&netlink.Veth{
		LinkAttrs: la, PeerName: ifname, PeerNamespace: netlink.NsFd(int(h.ns)), PeerHardwareAddr: net.HardwareAddr(p.MAC[:]),
	}), "plug %s of %s in", ifname, h.Name)
	port := s.host.link(p.Name)
	l.check(s.host.nl.LinkSetMaster(port, s.bridge), "make %s a bridge port", p.Name)
	s.host.SetUp(p.Name)
	h.SetUp(ifname)
	for _, a := range addresses {
		h.AddAddress(ifname, a)
	}
	p.AwaitCarrier()
	return p
}

// AwaitCarrier waits until both ends are running: the kernel announces a carrier from a work queue, up to a second
// late, and the bridge drops what comes before.
func (p *Port) AwaitCarrier() {
	h, bridge := p.Host, p.Segment.host
	h.lab.Helper()
	h.lab.Eventually(5*time.Second, time.Millisecond, func() (bool, string) {
		return h.link(p.IfName).Attrs().OperState == netlink.OperUp &&
				bridge.link(p.Name).Attrs().OperState == netlink.OperUp,
			fmt.Sprintf(
				"link of %s on %s",
				p.IfName,
				h.Name,
			)
	})
	h.lab.Eventually(5*time.Second, time.Millisecond, func() (bool, string) {
		return h.settled(p.IfName), fmt.Sprintf("IPv6 of %s on %s is set up", p.IfName, h.Name)
	})
}

// SetCarrier takes the link of the host's interface away or gives it back, as a pulled cable does.
func (p *Port) SetCarrier(up bool) {
	p.Host.lab.Helper()
	if up {
		p.Segment.host.SetUp(p.Name)
	} else {
		p.Segment.host.SetDown(p.Name)
	}
}

// SetConnected takes the port out of the bridge or puts it back: the host keeps its link and receives nothing.
func (p *Port) SetConnected(connected bool) {
	h := p.Segment.host
	h.lab.Helper()
	if connected {
		h.lab.check(h.nl.LinkSetMaster(h.link(p.Name), p.Segment.bridge), "connect %s", p.Name)
	} else {
		h.lab.check(h.nl.LinkSetNoMaster(h.link(p.Name)), "disconnect %s", p.Name)
	}
}

// OnSwitch runs f on a thread on the switch, with the interface index of the port there: what leaves by it arrives at
// the host, and nowhere else.
func (p *Port) OnSwitch(f func(ifindex int) error) error {
	h := p.Segment.host
	h.lab.Helper()
	index := h.IfIndex(p.Name)
	return h.Within(func() error { return f(index) })
}

// Dropped returns how many frames the switch could not hand to the host, whose ring was full.
func (p *Port) Dropped() uint64 {
	p.Host.lab.Helper()
	return p.Segment.host.link(p.Name).Attrs().Statistics.TxDropped
}

// Unplug removes the interface from the host altogether.
func (p *Port) Unplug() {
	h := p.Segment.host
	h.lab.Helper()
	h.lab.check(h.nl.LinkDel(h.link(p.Name)), "unplug %s", p.Name)
}

// Learned returns the bridge port behind which the segment's bridge believes a hardware address to be, "" when it does
// not know it.
func (s *Segment) Learned(mac [6]byte) string {
	h := s.host
	h.lab.Helper()
	list, err := h.nl.NeighListExecute(netlink.Ndmsg{Family: afBridge})
	h.lab.check(err, "list the bridge's addresses")
	for _, n := range list {
		if n.HardwareAddr.String() != net.HardwareAddr(mac[:]).String() || n.MasterIndex != s.bridge.Attrs().Index {
			continue
		}
		if link, err := h.nl.LinkByIndex(n.LinkIndex); err == nil {
			return link.Attrs().Name
		}
	}
	return ""
}

// NFT runs nft commands on the switch, whose bridge family sees what is forwarded.
func (s *Segment) NFT(commands ...string) {
	s.host.lab.Helper()
	s.host.MustRun(ToolTimeout, "nft", strings.Join(commands, "; "))
}

// LoseAdverts makes the switch lose CARP adverts of one group on the way to a port: of each `of` adverts in a row the
// first arrive and the last `lost` do not. Each family is counted by itself. Hellos, which have the same protocol, and
// other groups pass uncounted. The returned function ends it.
func (p *Port) LoseAdverts(vhid uint8, lost, of int) (end func()) {
	s := p.Segment
	s.host.lab.Helper()
	var each []string
	for i := of - lost; i < of; i++ {
		each = append(each, strconv.Itoa(i))
	}
	table := fmt.Sprintf("lost-%s-%d", p.Name, vhid)
	rules := []string{
		"add table bridge " + table,
		"add chain bridge " + table + " forward { type filter hook forward priority 0; }",
	}
	for _, family := range []string{"ip protocol", "ip6 nexthdr"} {
		// Version 2 and type 1, then the VHID.
		rules = append(rules, fmt.Sprintf(
			"add rule bridge %s forward oifname %s %s %d @th,0,8 0x21 @th,8,8 %d numgen inc mod %d { %s } drop",
			table, p.Name, family, ProtoCARP, vhid, of, strings.Join(each, ", ")))
	}
	s.NFT(rules...)
	return func() {
		s.host.lab.Helper()
		s.NFT("delete table bridge " + table)
	}
}
