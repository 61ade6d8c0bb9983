// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math/bits"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
)

// stanza is one iface of /etc/network/interfaces.
type stanza struct {
	ucarp
	has       bool // has a ucarp- option
	nets      []netip.Prefix
	addresses []placed // without the prefix length of a separate netmask
	masks     []placed
	others    []placed // other options
}

// placed is a text with its origin.
type placed struct {
	at   origin
	text string
}

// interfaces reads Debian's /etc/network/interfaces with the options of its ucarp package
// (README.Debian, /etc/network/if-up.d/ucarp).
func interfaces(r *reader, file string, lines []line) []*ucarp {
	var all []*stanza
	var here *stanza
	var commands []line
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
			if i := slices.Index(fields, "inherits"); i > 0 {
				r.note(at, "%s is not followed: if that stanza has ucarp- options or addresses, copy them here and import again",
					strings.Join(fields[i:], " "))
			}
			all = append(all, here)
		case key == "source" || key == "source-directory":
			r.note(at, "%s is not followed: import each file with ucarp- options separately", strings.Join(fields, " "))
		case key == "auto" || strings.HasPrefix(key, "allow-") || key == "mapping" || key == "no-auto-down" ||
			key == "no-scripts" || key == "template":
			here = nil
		case here != nil:
			value := strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(l.text), key))
			if isCommand(key) && strings.Contains(value, "ucarp") {
				commands = append(commands, line{l.number, value})
			}
			here.option(r, at, key, value)
		}
	}
	found := commandLines(r, file, commands)
	for _, s := range all {
		s.network()
	}
	for _, u := range found { // started by a command in a stanza
		u.prefix = prefixOf(u.addr, all)
	}
	for _, s := range all {
		if s.has {
			s.prefix = prefixOf(s.addr, all)
			s.takeAliases(r, all)
			found = append(found, &s.ucarp)
		}
	}
	reportStrayAliases(r, all)
	return found
}

// isCommand reports whether ifupdown runs the value of the option.
func isCommand(key string) bool {
	return slices.Contains([]string{"pre-up", "up", "post-up", "down", "pre-down", "post-down"}, key)
}

func (s *stanza) option(r *reader, at origin, key, value string) {
	name, isUcarp := strings.CutPrefix(strings.ReplaceAll(key, "_", "-"), "ucarp-")
	if !isUcarp {
		s.host(at, key, value)
		return
	}
	s.has = true
	into := map[string]*string{
		"vid": &s.vhid, "vip": &s.addr, "password": &s.password, "advskew": &s.advskew, "advbase": &s.advbase,
		"deadratio": &s.deadratio, "xparam": &s.xparam,
	}[name]
	switch {
	case name == "password":
		s.password = debianWord(r, at, value)
	case into != nil:
		*into = value
		if name == "vip" {
			s.addrAt = at
		}
	case name == "master":
		s.preempt = debianYes(value)
	case name == "nomcast":
		s.nomcast = debianYes(value)
	case name == "upscript" || name == "downscript":
		if dir := path.Dir(value); dir != "/usr/share/ucarp" { // the package's own scripts only move the address
			s.scripts = append(s.scripts, value)
			s.ownUpscript = s.ownUpscript || name == "upscript"
		}
	default:
		r.note(at, "%s has no equivalent in vipd", key)
	}
}

// debianWord returns the part of a value that ucarp gets: if-up.d/ucarp does not quote it, so the
// shell splits it, and quotation marks are part of it.
func debianWord(r *reader, at origin, value string) string {
	words := strings.Fields(value)
	if len(words) > 1 {
		r.note(at,
			"the password has blanks, and Debian's script passes only the first word to ucarp: that is the password here")
	}
	if len(words) == 0 {
		return ""
	}
	if strings.ContainsAny(words[0], "\"'") {
		r.note(at, "the quotation marks are part of the password, since ifupdown does not remove them")
	}
	return words[0]
}

// debianYes tests a value as /etc/network/if-up.d/ucarp does: expr "$V" : "no\|off\|false\|0".
func debianYes(value string) bool {
	for _, no := range []string{"no", "off", "false", "0"} {
		if strings.HasPrefix(value, no) {
			return false
		}
	}
	return value != ""
}

// host stores the addresses of the stanza, and all other options with their origin.
func (s *stanza) host(at origin, key, value string) {
	switch key {
	case "address":
		s.addresses = append(s.addresses, placed{at, value})
	case "netmask":
		s.masks = append(s.masks, placed{at, value})
	case "network", "broadcast": // follow from address and netmask
	default:
		s.others = append(s.others, placed{at, strings.TrimSpace(key + " " + value)})
	}
}

// network combines addresses and netmasks, in any order.
func (s *stanza) network() {
	for _, a := range s.addresses {
		if p, err := s.prefixed(a); err == nil {
			s.nets = append(s.nets, p.Masked())
		}
	}
}

// prefixed returns an address with its own prefix length or that of a netmask.
func (s *stanza) prefixed(a placed) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(a.text); err == nil {
		return p, nil
	}
	addr, err := netip.ParseAddr(a.text)
	if err != nil {
		return netip.Prefix{}, err
	}
	for _, m := range s.masks {
		if bits, ok := maskBits(m.text); ok && bits <= addr.BitLen() {
			return netip.PrefixFrom(addr, bits), nil
		}
	}
	return host(addr), nil
}

// maskBits reads 24, 255.255.255.0 or 0xffffff00.
func maskBits(mask string) (int, bool) {
	mask = strings.TrimPrefix(mask, "/")
	if hex, isHex := strings.CutPrefix(strings.ToLower(mask), "0x"); isHex {
		n, err := strconv.ParseUint(hex, 16, 32)
		ones := bits.OnesCount32(uint32(n))
		return ones, err == nil && bits.LeadingZeros32(^uint32(n)) == ones
	}
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

// prefixOf returns the prefix length of the smallest network of the host that has the address,
// other than the address alone; 0 if there is none.
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
