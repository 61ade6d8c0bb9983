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

// String returns the name, or "" for FamilyNone.
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

// FamilyOf returns the family of an advert from a. An invalid address counts as IPv4, since an IPv4 sender
// may have no address.
func FamilyOf(a netip.Addr) Family {
	if a.Is6() && !a.Is4In6() {
		return IPv6
	}
	return IPv4
}

// LastAdvert is the last advert that was heard in one family.
type LastAdvert struct {
	At  Instant
	Src netip.Addr
	Priority
	Ever bool // false if none was heard
}

func (m *Machine) noteFamily(a Advert) {
	f := &m.families[FamilyOf(a.Src)-IPv4]
	if !f.Ever || a.At >= f.At {
		*f = LastAdvert{At: a.At, Src: a.Src, Priority: a.Priority, Ever: true}
	}
}

// silent returns the family of a dual-stack group in which nothing is heard while the other family is
// heard. The BSDs have a timer per family and become MASTER when one is silent, so that a filter for one
// family makes the group flap. Here both families restart the same timer, and the silent one is reported.
func (m *Machine) silent() Family {
	if !m.cfg.DualStack || m.state == Init {
		return FamilyNone
	}
	// The interval of a demoted master may be longer than the master-down time.
	patience := max(m.ordinaryDown(), downRatio*m.rhythm)
	for i, f := range m.families {
		other := m.families[1-i]
		if other.Ever && m.now.Sub(other.At) <= patience && other.At.Sub(max(f.At, m.watched)) > patience {
			return IPv4 + Family(i)
		}
	}
	return FamilyNone
}
