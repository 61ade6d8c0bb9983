// SPDX-License-Identifier: Apache-2.0

package election

import "net/netip"

// Family is an address family. The zero value is none.
type Family uint8

// The families of CARP.
const (
	FamilyNone Family = iota
	IPv4
	IPv6
)

// String is the family's name, or "" for none.
func (f Family) String() string {
	switch f {
	case IPv4:
		return "IPv4"
	case IPv6:
		return "IPv6"
	default:
		return ""
	}
}

// FamilyOf is the family of an advert from a. An address that is none counts as IPv4,
// whose senders may have no address.
func FamilyOf(a netip.Addr) Family {
	if a.Is6() && !a.Is4In6() {
		return IPv6
	}
	return IPv4
}

// LastAdvert is when an advert of one family was last heard, from whom, and what it said.
type LastAdvert struct {
	At  Instant
	Src netip.Addr
	Priority
	Ever bool // false: none was
}

func (m *Machine) noteFamily(a Advert) {
	f := &m.families[FamilyOf(a.Src)-IPv4]
	if !f.Ever || a.At >= f.At {
		*f = LastAdvert{At: a.At, Src: a.Src, Priority: a.Priority, Ever: true}
	}
}

// silent is the family of a dual-stack group that is not heard while the other one is.
// The BSDs keep a timer for each and become MASTER by the silent one, so that a filter
// for one family makes the group flap; here either restarts the only timer, and the
// silent one is named.
func (m *Machine) silent() Family {
	if !m.cfg.DualStack || m.state == Init {
		return FamilyNone
	}
	// A demoted master may speak less often than every master-down time.
	patience := max(m.downTime(), downRatio*m.rhythm)
	for i, f := range m.families {
		other := m.families[1-i]
		if other.Ever && m.now.Sub(other.At) <= patience && other.At.Sub(max(f.At, m.watched)) > patience {
			return IPv4 + Family(i)
		}
	}
	return FamilyNone
}
