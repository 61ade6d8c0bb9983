// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"net/netip"
	"path"
	"strconv"
	"strings"
)

// stanza is one iface of /etc/network/interfaces.
type stanza struct {
	ucarp
	has     bool // some ucarp- option
	nets    []netip.Prefix
	address netip.Addr
}

// interfaces reads Debian's /etc/network/interfaces, where the package of ucarp has
// its options (README.Debian, /etc/network/if-up.d/ucarp).
func interfaces(r *reader, file string, lines []line) []*ucarp {
	var all []*stanza
	var here *stanza
	for _, l := range lines {
		fields := strings.Fields(l.text)
		if len(fields) == 0 || strings.HasPrefix(fields[0], "#") {
			continue
		}
		at := origin{file, l.number}
		switch key := fields[0]; {
		case key == "iface":
			here = &stanza{}
			if len(fields) > 1 {
				here.at, here.ifname = at, fields[1]
			}
			all = append(all, here)
		case key == "source" || key == "source-directory":
			r.note(at, "%s is not followed: import each file that has ucarp- options by itself", strings.Join(fields, " "))
		case key == "auto" || strings.HasPrefix(key, "allow-") || key == "mapping" || key == "no-auto-down" || key == "no-scripts" || key == "template":
			here = nil
		case here != nil:
			here.option(r, at, key, strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l.text), key)))
		}
	}
	var found []*ucarp
	for _, s := range all {
		if s.has {
			s.prefix = prefixOf(s.addr, all)
			found = append(found, &s.ucarp)
		}
	}
	return found
}

func (s *stanza) option(r *reader, at origin, key, value string) {
	name, isUcarp := strings.CutPrefix(strings.ReplaceAll(key, "_", "-"), "ucarp-")
	if !isUcarp {
		s.host(key, value)
		return
	}
	s.has = true
	into := map[string]*string{
		"vid": &s.vhid, "vip": &s.addr, "password": &s.password, "advskew": &s.advskew, "advbase": &s.advbase,
		"deadratio": &s.deadratio, "xparam": &s.xparam,
	}[name]
	switch {
	case into != nil:
		*into = value
	case name == "master":
		s.preempt = debianYes(value)
	case name == "nomcast":
		s.nomcast = debianYes(value)
	case name == "upscript" || name == "downscript":
		if dir := path.Dir(value); dir != "/usr/share/ucarp" { // the package's own only move the address
			s.scripts = append(s.scripts, value)
		}
	default:
		r.note(at, "%s has no equal", key)
	}
}

// debianYes is the question of /etc/network/if-up.d/ucarp: expr "$V" : "no\|off\|false\|0".
func debianYes(value string) bool {
	for _, no := range []string{"no", "off", "false", "0"} {
		if strings.HasPrefix(value, no) {
			return false
		}
	}
	return value != ""
}

// host notes the networks of the stanza, for the prefix length of the virtual address.
func (s *stanza) host(key, value string) {
	switch key {
	case "address":
		if p, err := netip.ParsePrefix(value); err == nil {
			s.nets = append(s.nets, p.Masked())
		}
		s.address, _ = netip.ParseAddr(value) // invalid: no address of the old form
	case "netmask":
		bits, ok := maskBits(value)
		if ok && s.address.IsValid() && bits <= s.address.BitLen() {
			s.nets = append(s.nets, netip.PrefixFrom(s.address, bits).Masked())
		}
	}
}

// maskBits reads 24 or 255.255.255.0.
func maskBits(mask string) (int, bool) {
	if n, err := strconv.Atoi(mask); err == nil {
		return n, n >= 0
	}
	a, err := netip.ParseAddr(mask)
	if err != nil || !a.Is4() {
		return 0, false
	}
	for bits := 32; bits >= 0; bits-- {
		if p, err := netip.AddrFrom4([4]byte{255, 255, 255, 255}).Prefix(bits); err == nil && p.Addr() == a {
			return bits, true
		}
	}
	return 0, false
}

// prefixOf is the length of the smallest network of the host that has the address and
// is more than the address itself; 0 if there is none.
func prefixOf(addr string, all []*stanza) int {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return 0
	}
	bits := 0
	for _, s := range all {
		for _, n := range s.nets {
			if n.Contains(a) && !n.IsSingleIP() && n.Bits() > bits {
				bits = n.Bits()
			}
		}
	}
	return bits
}
