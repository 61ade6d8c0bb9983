// SPDX-License-Identifier: Apache-2.0

package config

import "net/netip"

// draft is a group while it is read.
type draft struct {
	*section
	group Group
	// acceptLines are those of the [[vip.accept]] of the group.
	acceptLines []int
	// hasInterface and hasVHID are false if the key is missing or wrong, so that one fault is
	// not reported twice.
	hasInterface, hasVHID bool
	addrLines             []int // parallel to group.Addresses
}

// head is the line of [[vip]].
func (d *draft) head() int { return d.n.line }

func decodeGroup(s *section, opts Options) *draft {
	d := &draft{section: s, group: defaultGroup()}
	g := &d.group
	g.Line = d.head()
	if s.str("interface", &g.Interface) {
		d.checkInterface()
	} else if !s.tried("interface") {
		s.problem("interface", "missing in this [[vip]]; name the interface, such as interface = \"eth0\"")
	}
	d.hasVHID = s.octet("vhid", 1, 255, &g.VHID)
	if !s.tried("vhid") {
		s.problem("vhid", "missing in this [[vip]]; allowed is 1..255, the same on all nodes of the group")
	}
	addresses := s.list("addresses", addressList)
	if len(addresses) > 0 {
		g.Addresses, d.addrLines = readAddresses(s.r, "addresses", addresses)
	} else if !s.bad["addresses"] {
		s.problem("addresses", "missing in this [[vip]]; at least one address is needed, "+
			"such as addresses = [\"192.0.2.100/24\"]")
	}
	s.octet("advbase", 0, 254, &g.AdvBase)
	s.octet("advskew", 0, 254, &g.AdvSkew)
	if !s.bad["advbase"] && !s.bad["advskew"] {
		d.checkInterval()
	}
	decodeBeat(d)
	if s.str("description", &g.Description) {
		if why := textFault(g.Description, maxText); why != "" {
			s.problem("description", "%s; allowed is one line of at most %d bytes", why, maxText)
		}
	}
	var hasPassword bool
	if g.Password, g.PasswordFile, hasPassword = decodePassword(s, opts); !hasPassword {
		s.problem("password_file", "missing in this [[vip]]; name a file with the password in its first line, "+
			"or write password = \"\" to use the all-zero key that CARP has without a password")
	}
	d.checkPeers(s.list("peers", "addresses, such as \"192.0.2.12\""))
	if s.str("hook", &g.Hook) && g.Hook != "" && checkPath(s, "hook", g.Hook) {
		warnCommand(s, "hook", g.Hook, opts)
	}
	s.duration("hook_timeout", minHookTimeout, maxHookTimeout, &g.HookTimeout)
	if g.Hook == "" && s.tried("hook_timeout") {
		s.warn("hook_timeout", "has no effect without hook")
	}
	decodeProtocol(d)
	decodeAccepts(d, opts)
	s.done()
	return d
}

// warnCommand warns of a program that cannot be run now, or that users other than root can
// change. It is not refused: it may be installed later, and the election does not depend on it.
func warnCommand(s *section, key, path string, opts Options) {
	for _, f := range opts.Examine(path) {
		s.warn(key, "%s", f.Text)
	}
}

// checkTogether checks what concerns several groups.
func checkTogether(r *report, drafts []*draft) {
	type place struct {
		ifname string
		addr   netip.Addr
	}
	names := map[string]*draft{}
	owners := map[place]*draft{}
	total := 0
	for _, d := range drafts {
		total += len(d.group.Addresses)
		if !d.hasInterface {
			continue
		}
		if d.hasVHID {
			if first, ok := names[d.group.Name()]; ok {
				d.problem("vhid", "%s is already defined in line %d; allowed is one [[vip]] for each interface and vhid: "+
					"put all addresses there", d.group.Name(), first.head())
				continue
			}
			names[d.group.Name()] = d
		}
		for i, a := range d.group.Addresses {
			at := place{d.group.Interface, a.Addr()}
			first, ok := owners[at]
			if !ok {
				owners[at] = d
				continue
			}
			if first != d { // readAddresses reports duplicates within a group
				r.problem(d.addrLines[i], "addresses", "%s is already an address of the [[vip]] in line %d; "+
					"allowed is each address once per interface", a.Addr(), first.line("addresses"))
			}
		}
	}
	if len(drafts) > maxGroups {
		r.problem(0, "vip", "%d groups are configured, allowed are %d", len(drafts), maxGroups)
	}
	if total > maxVIPs {
		r.problem(0, "addresses", "%d addresses are configured in total, allowed are %d", total, maxVIPs)
	}
}
