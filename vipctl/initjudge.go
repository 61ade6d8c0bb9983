// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"vipd/agent/control/api"
)

// heardView lists who uses which VHID, and who answers for the addresses.
func heardView(s *api.Survey) string {
	var b strings.Builder
	if s.Unfit != "" {
		return ""
	}
	if len(s.Speakers) == 0 {
		fmt.Fprintf(&b, "Heard on %s in %g s: no CARP and no VRRP.\n", s.Interface, s.Seconds)
	} else {
		fmt.Fprintf(&b, "Heard on %s in %g s:\n", s.Interface, s.Seconds)
		var t table
		for _, sp := range slices.SortedFunc(slices.Values(s.Speakers), func(a, b api.SurveySpeaker) int {
			return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Address, b.Address))
		}) {
			name := "VHID " + strconv.Itoa(sp.ID)
			if sp.Protocol == api.ProtocolVRRP {
				name = "VRID " + strconv.Itoa(sp.ID)
			}
			t.add("  "+name, sp.Protocol+" from "+sp.Address)
		}
		b.WriteString(t.String())
	}
	for _, a := range s.Answers {
		text := "is at"
		if a.Proxy {
			text = "is answered with proxy ARP by"
		}
		fmt.Fprintf(&b, "%s %s %s.\n", a.Address, text, a.MAC)
	}
	if len(s.Answers) == 0 {
		b.WriteString("No host answers for the address.\n")
	}
	return b.String()
}

// judge refuses an address that another host has. One that a CARP group of the segment serves is that group's: this
// node joins it.
func (f *firstConfig) judge(s *api.Survey) error {
	if s.Unfit != "" {
		return fmt.Errorf("no group can run on %s: %s", s.Interface, s.Unfit)
	}
	for _, text := range s.Addresses {
		own, err := netip.ParsePrefix(text)
		if err == nil && slices.ContainsFunc(f.addrs, func(a netip.Prefix) bool { return a.Addr() == own.Addr() }) {
			return fmt.Errorf("%s is an ordinary address of %s on this host: a virtual address must be on no host; "+
				"use another one, or remove it with `ip address del %s dev %s`", own.Addr(), s.Interface, own, s.Interface)
		}
	}
	for _, a := range s.Answers {
		if a.Proxy {
			continue
		}
		id := virtualID(a.MAC)
		group := speakerFor(s, id)
		switch {
		case group != nil && group.Protocol == api.ProtocolVRRP:
			return fmt.Errorf("%s belongs to VRRP router %d (%s), which is no CARP group: use another address, or convert "+
				"all its nodes with `vipctl import keepalived`", a.Address, id, group.Address)
		case group == nil:
			return fmt.Errorf("another host has %s already, at %s: use another address, or remove it there first",
				a.Address, a.MAC)
		case f.joins && f.vhid != id:
			return fmt.Errorf("the addresses belong to two groups, VHID %d and %d: begin with one of them", f.vhid, id)
		}
		f.joins, f.vhid = true, id
	}
	return nil
}

// virtualID returns the VHID or VRID of a virtual MAC, or 0.
func virtualID(mac string) int {
	m, err := net.ParseMAC(mac)
	if err != nil || len(m) != 6 || [5]byte(m) != [5]byte{0x00, 0x00, 0x5e, 0x00, 0x01} {
		return 0
	}
	return int(m[5])
}

// speakerFor returns who advertises a VHID or VRID, or nil; of both protocols CARP.
func speakerFor(s *api.Survey, id int) *api.SurveySpeaker {
	var out *api.SurveySpeaker
	for i := range s.Speakers {
		if sp := &s.Speakers[i]; sp.ID == id && (out == nil || sp.Protocol == api.ProtocolCARP) {
			out = sp
		}
	}
	return out
}

// freeVHID returns the lowest VHID that was not heard, or 0.
func freeVHID(s *api.Survey) int {
	for id := 1; id <= 255; id++ {
		if speakerFor(s, id) == nil {
			return id
		}
	}
	return 0
}
