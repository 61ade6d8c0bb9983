// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Values that vipd's config refuses are refused here, with the line of the input. A fuzz test checks
// that vipd accepts all others.

const (
	maxInterface = 15
	maxPassword  = 19
	maxText      = 255
)

func printable(c rune) bool { return unicode.IsPrint(c) && c != utf8.RuneError }

func checkInterface(name string) error {
	switch {
	case name == "" || len(name) > maxInterface:
		return fmt.Errorf("%q is not a valid interface name: a name has 1..%d bytes", name, maxInterface)
	case name == "lo":
		return errors.New("lo is the loopback interface, which has no peers")
	case name == "." || name == ".." || strings.ContainsFunc(name, func(c rune) bool {
		return c == '/' || c == ':' || c == utf8.RuneError || unicode.IsSpace(c) || unicode.IsControl(c)
	}):
		return fmt.Errorf("%q is not a valid interface name", name)
	}
	return nil
}

// unicast returns why a host cannot have the address.
func unicast(a netip.Addr) error {
	switch {
	case a.Is4In6():
		return fmt.Errorf("%s is an IPv4-mapped IPv6 address; write %s", a, a.Unmap())
	case a.IsUnspecified(), a.IsLoopback(), a.IsMulticast(), a.Is4() && a.As4()[0] == 0,
		a == netip.AddrFrom4([4]byte{255, 255, 255, 255}):
		return fmt.Errorf("%s is not an address that a host can have", a)
	}
	return nil
}

// checkVIP checks an address with the prefix length of its network.
func checkVIP(p netip.Prefix) error {
	a := p.Addr()
	if err := unicast(a); err != nil {
		return err
	}
	if a.Zone() != "" || p.Bits() < 1 {
		return fmt.Errorf("%s is not a valid virtual address", p)
	}
	if a.BitLen()-p.Bits() >= 2 {
		if a == p.Masked().Addr() {
			return fmt.Errorf("%s is the address of the network itself", p)
		}
		if a.Is4() && a == lastOf(p) {
			return fmt.Errorf("%s is the broadcast address of its network", p)
		}
	}
	return nil
}

func lastOf(p netip.Prefix) netip.Addr {
	b := p.Addr().As4()
	for i := p.Bits(); i < 32; i++ {
		b[i/8] |= 0x80 >> (i % 8)
	}
	return netip.AddrFrom4(b)
}

// host is the prefix of a single address.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

// checkPassword never puts the password into its message.
func checkPassword(password string) error {
	switch {
	case len(password) > maxPassword:
		return fmt.Errorf("the password has %d bytes; vipd and the BSDs allow %d: use another one on all nodes",
			len(password), maxPassword)
	case strings.ContainsAny(password, "\x00\r\n"):
		return errors.New("the password has a byte that ends it in a file")
	}
	return nil
}

// text reports whether a description or name may be s.
func text(s string) bool {
	return len(s) <= maxText && utf8.ValidString(s) &&
		!strings.ContainsFunc(s, func(c rune) bool { return !unicode.IsPrint(c) })
}

// checkName converts s to the name of a [[check]]: every byte that is not allowed becomes a dash.
func checkName(s string) string {
	const maxName = 63
	name := strings.Map(func(c rune) rune {
		switch {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
			return c
		case 'A' <= c && c <= 'Z':
			return c - 'A' + 'a'
		}
		return '-'
	}, s)
	return name[:min(len(name), maxName)]
}

func (g *group) addAddress(r *reader, at origin, p netip.Prefix) {
	if err := checkVIP(p); err != nil {
		r.problem(at, "%v", err)
		return
	}
	if slices.ContainsFunc(g.addresses, func(q netip.Prefix) bool { return q.Addr() == p.Addr() }) {
		r.note(at, "%s is given more than once and was imported once", p.Addr())
		return
	}
	g.addresses = append(g.addresses, p)
}
