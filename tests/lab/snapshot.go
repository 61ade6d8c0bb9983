// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Snapshot is what a host's stack is configured to: addresses in the kernel's own order (which decides which of them
// is primary and which is chosen as a source), routes of all tables, hardware filters and multicast groups.
// Compare two with cmp.Diff.
type Snapshot struct {
	Addresses []string
	Routes    []string
	Filters   []string
	Groups    []string
}

// Snapshot takes one.
func (h *Host) Snapshot() Snapshot {
	h.lab.Helper()
	var s Snapshot
	names := map[int]string{}
	links, err := h.nl.LinkList()
	h.lab.check(err, "%s: list interfaces", h.Name)
	for _, link := range links {
		name := link.Attrs().Name
		names[link.Attrs().Index] = name
		addrs, err := h.nl.AddrList(link, netlink.FAMILY_ALL)
		h.lab.check(err, "%s: list addresses", h.Name)
		for _, a := range addrs {
			// Tentative passes by itself while the test runs.
			s.Addresses = append(
				s.Addresses,
				fmt.Sprintf("%s %s scope %d flags %#x label %q", name, a.IPNet, a.Scope, a.Flags&^unix.IFA_F_TENTATIVE, a.Label),
			)
		}
		if name != "lo" {
			for _, mac := range h.UnicastFilter(name) {
				s.Filters = append(s.Filters, name+" "+mac)
			}
		}
	}
	for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
		routes, err := h.nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		h.lab.check(err, "%s: list routes", h.Name)
		for _, r := range routes {
			s.Routes = append(s.Routes, fmt.Sprintf("%v via %v dev %s src %v table %d proto %v scope %v type %d metric %d",
				r.Dst, r.Gw, names[r.LinkIndex], r.Src, r.Table, r.Protocol, r.Scope, r.Type, r.Priority))
		}
	}
	s.Groups = h.multicastGroups()
	slices.Sort(s.Routes)
	slices.Sort(s.Filters)
	return s
}

// multicastGroups returns the hardware multicast addresses each interface listens to, with their reference counts.
func (h *Host) multicastGroups() []string {
	h.lab.Helper()
	var groups []string
	code, out := h.Run(ToolTimeout, "cat", "/proc/net/dev_mcast")
	if code != 0 {
		h.lab.Fatalf("%s: read /proc/net/dev_mcast: %s", h.Name, out)
	}
	for line := range strings.Lines(out) {
		if f := strings.Fields(line); len(f) == 5 {
			groups = append(groups, fmt.Sprintf("%s %s users %s", f[1], f[4], f[2]))
		}
	}
	slices.Sort(groups)
	return groups
}
