// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
	"strconv"
)

// Accept is a further context that a group's adverts may be signed with while the nodes have
// different passwords or addresses.
type Accept struct {
	// Password defaults to the group's own.
	Password Secret
	// Addresses default to the group's own. Their prefix lengths are not signed.
	Addresses []netip.Prefix
}

// Context is one way to sign an advert: a password and the addresses that are signed.
type Context struct {
	// Name is own, or accept N with the number of the group's [[vip.accept]], from 1. The two
	// digests of one password and address list have the same name.
	Name     string
	Password Secret
	// Addresses are in the order of the config.
	Addresses []netip.Addr
}

// ownContext names the context that a group signs with.
const ownContext = "own"

// Contexts returns all ways to sign an advert of this group, at most 8 in a valid config. The
// first is used to send, the others only to receive. A list with link-local addresses has two,
// with and without them, as FreeBSD and OpenBSD sign.
func (g Group) Contexts() []Context {
	out := digests(nil, ownContext, g.Password, g.Addresses, g.Digest)
	for i, a := range g.Accept {
		out = digests(out, "accept "+strconv.Itoa(i+1), a.Password, a.Addresses, g.Digest)
	}
	return out
}

func digests(out []Context, name string, password Secret, set []netip.Prefix, digest string) []Context {
	all := addrs(set)
	first := Context{name, password, all}
	if !slices.ContainsFunc(all, isLinkLocal6) {
		return append(out, first)
	}
	second := Context{name, password, slices.DeleteFunc(slices.Clone(all), isLinkLocal6)}
	if digest == DigestNoLinkLocal {
		first, second = second, first
	}
	return append(out, first, second)
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// decodeAccepts reads the tables [[vip.accept]] below a [[vip]].
func decodeAccepts(d *draft, opts Options) {
	g := &d.group
	tables := d.tables("accept")
	for _, t := range tables {
		g.Accept = append(g.Accept, decodeAccept(t, g, opts))
		d.acceptLines = append(d.acceptLines, t.n.line)
	}
	for i, a := range g.Accept {
		same := func(b Accept) bool { return a.Password == b.Password && sameAddresses(a.Addresses, b.Addresses) }
		if same(Accept{Password: g.Password, Addresses: g.Addresses}) || slices.ContainsFunc(g.Accept[:i], same) {
			d.r.warn(tables[i].n.line, "accept", "has no effect: this [[vip]] accepts the same without it")
		}
	}
	const maxAccept = maxContexts - 1
	switch n := len(g.Contexts()); {
	case len(tables) > maxAccept:
		d.r.problem(tables[maxAccept].n.line, "accept", "%d [[vip.accept]] are in this [[vip]], allowed are %d; "+
			"remove those that the counters show unused", len(tables), maxAccept)
	case n > maxContexts:
		d.r.problem(tables[len(tables)-1].n.line, "accept", "with this [[vip.accept]] there are %d digests to try, "+
			"allowed are %d; a list with link-local addresses has two, with and without them", n, maxContexts)
	}
}

// sameAddresses ignores order and prefix lengths, which are not signed.
func sameAddresses(a, b []netip.Prefix) bool {
	addrs := func(set []netip.Prefix) []netip.Addr {
		out := make([]netip.Addr, len(set))
		for i, p := range set {
			out[i] = p.Addr()
		}
		return out
	}
	return sameSet(addrs(a), addrs(b))
}

func decodeAccept(s *section, g *Group, opts Options) Accept {
	a := Accept{Password: g.Password, Addresses: g.Addresses}
	password, _, hasPassword := decodePassword(s, opts)
	if hasPassword {
		a.Password = password
	}
	const key = "addresses"
	if items := s.list(key, addressList); len(items) > 0 {
		a.Addresses, _ = readAddresses(s.r, key, items)
	} else if s.tried(key) && !s.bad[key] {
		s.problem(key, "is empty; leave the key out to use the group's own addresses")
	}
	if !hasPassword && !s.tried(key) {
		s.problem("accept", "this [[vip.accept]] is empty; set password_file, password or addresses; "+
			"anything left out is the group's own")
	}
	s.done()
	return a
}
