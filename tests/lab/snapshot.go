// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"slices"
	"strings"
	"time"

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

// Snapshot takes one. The kernel adds the local route of a new IPv6 address a moment after the address, also without
// DAD, so that Snapshot waits for those whose link is up.
func (h *Host) Snapshot() Snapshot {
	h.lab.Helper()
	for began := time.Now(); h.lacksLocalRoutes() && time.Since(began) < 2*time.Second; {
		time.Sleep(5 * time.Millisecond)
	}
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
			// Tentative passes by itself while the test runs, on a link that comes up.
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

// lacksLocalRoutes reports whether an IPv6 address of a link that is up has no local route yet.
func (h *Host) lacksLocalRoutes() bool {
	h.lab.Helper()
	in := &netlink.Route{Table: unix.RT_TABLE_LOCAL}
	routes, err := h.nl.RouteListFiltered(netlink.FAMILY_V6, in, netlink.RT_FILTER_TABLE)
	h.lab.check(err, "%s: list local routes", h.Name)
	local := map[string]bool{}
	for _, r := range routes {
		if r.Dst != nil {
			local[r.Dst.IP.String()] = true
		}
	}
	links, err := h.nl.LinkList()
	h.lab.check(err, "%s: list interfaces", h.Name)
	for _, link := range links {
		addrs, err := h.nl.AddrList(link, netlink.FAMILY_V6)
		h.lab.check(err, "%s: list addresses", h.Name)
		for _, a := range addrs {
			if link.Attrs().RawFlags&unix.IFF_RUNNING != 0 && !local[a.IP.String()] {
				return true
			}
		}
	}
	return false
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
