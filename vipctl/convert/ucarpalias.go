// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"strings"
)

// Debian's vip-up runs `ifup IFACE:ucarp`: the stanza of that name has the addresses used by
// clients. ucarp signs only ucarp-vip.

const aliasSuffix = ":ucarp"

// takeAliases adds the addresses that vip-up adds to the interface.
func (s *stanza) takeAliases(r *reader, all []*stanza) {
	for _, alias := range all {
		base, label, isAlias := strings.Cut(alias.ifname, ":")
		if !isAlias || base != s.ifname {
			continue
		}
		if s.ownUpscript {
			r.note(alias.at, "%s is brought up by %s, if at all: only %s was used; add its other addresses by hand",
				alias.ifname, strings.Join(s.scripts, ", "), s.addr)
			alias.reportOthers(r)
			continue
		}
		if ":"+label != aliasSuffix {
			continue // an alias that is not for ucarp
		}
		for _, a := range alias.addresses {
			p, err := alias.prefixed(a)
			if err != nil {
				r.problem(a.at, "%q is not an IP address", a.text)
				continue
			}
			if p.IsSingleIP() {
				if length := prefixOf(p.Addr().String(), all); length > 0 {
					p = netip.PrefixFrom(p.Addr(), length)
				}
			}
			s.clients = append(s.clients, client{a.at, p})
		}
		alias.reportMasks(r)
		alias.reportOthers(r)
		if len(alias.addresses) == 0 {
			r.note(alias.at, "%s has no address here: %s from ucarp-vip was used", alias.ifname, s.addr)
		}
	}
}

// reportMasks reports netmasks that cannot be read.
func (s *stanza) reportMasks(r *reader) {
	for _, m := range s.masks {
		if _, ok := maskBits(m.text); !ok {
			r.note(m.at, "netmask %q is not understood and was left out", m.text)
		}
	}
}

// reportOthers reports the options that ifupdown uses when it brings the alias up or down.
func (s *stanza) reportOthers(r *reader) {
	for _, o := range s.others {
		key, value, _ := strings.Cut(o.text, " ")
		if isCommand(key) && strings.Contains(value, "ucarp ") {
			r.note(
				o.at,
				"%s runs ucarp: not run; it is imported as another ucarp",
				key,
			) // it may have a password
			continue
		}
		if isCommand(key) {
			r.note(o.at, "%s: not run, since vipd does not bring %s up or down; put it into a hook (`hook` of the [[vip]]), "+
				"which runs at every transition", o.text, s.ifname)
			continue
		}
		r.note(o.at, "%s of %s has no equivalent in vipd", o.text, s.ifname)
	}
}

// reportStrayAliases reports each IFACE:ucarp without a ucarp for IFACE in this file.
func reportStrayAliases(r *reader, all []*stanza) {
	with := map[string]bool{}
	for _, s := range all {
		if s.has {
			with[s.ifname] = true
		}
	}
	for _, s := range all {
		if base, isAlias := strings.CutSuffix(s.ifname, aliasSuffix); isAlias && !with[base] {
			r.note(s.at, "%s was left out: there are no ucarp- options for %s in this file; import the file that has them "+
				"together with this stanza",
				s.ifname, base)
		}
	}
}
