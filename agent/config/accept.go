// SPDX-License-Identifier: Apache-2.0

package config

import (
	"net/netip"
	"slices"
	"strconv"
)

// Accept is a further context that a group's adverts may be signed with, for the time
// in which the nodes have different passwords or addresses.
type Accept struct {
	// Password is the group's own if none was written.
	Password Secret
	// Addresses are the group's own if none were written. Their prefix lengths mean
	// nothing: they are not signed.
	Addresses []netip.Prefix
}

// Context is one way to sign an advert: a password and what is signed with it.
type Context struct {
	// Name is own, or accept N by the place among the group's [[vip.accept]], from 1.
	// The two digests of one password and address list share a name.
	Name     string
	Password Secret
	// Addresses are in the order of the config.
	Addresses []netip.Addr
}

// ownContext is the name of the context that a group signs with.
const ownContext = "own"

// Contexts are all ways to sign an advert of this group, at most 8 in a valid config.
// The first is the one to send with; the rest is only received. With link-local
// addresses there are two of each, with and without those, because OpenBSD sends the
// one and FreeBSD the other.
func (g Group) Contexts() []Context {
	out := digests(nil, ownContext, g.Password, g.Addresses, g.Digest)
	for i, a := range g.Accept {
		out = digests(out, "accept "+strconv.Itoa(i+1), a.Password, a.Addresses, g.Digest)
	}
	return out
}

func digests(out []Context, name string, password Secret, set []netip.Prefix, digest string) []Context {
	all := make([]netip.Addr, 0, len(set))
	var noLinkLocal []netip.Addr
	for _, p := range set {
		all = append(all, p.Addr())
		if !isLinkLocal6(p.Addr()) {
			noLinkLocal = append(noLinkLocal, p.Addr())
		}
	}
	first := Context{name, password, all}
	if len(noLinkLocal) == len(all) {
		return append(out, first)
	}
	second := Context{name, password, noLinkLocal}
	if digest == DigestNoLinkLocal {
		first, second = second, first
	}
	return append(out, first, second)
}

func isLinkLocal6(a netip.Addr) bool { return a.Is6() && a.IsLinkLocalUnicast() }

// decodeAccepts reads the tables [[vip.accept]] below a [[vip]].
func decodeAccepts(s *section, d *draft, opts Options) {
	g := &d.group
	tables := s.tables("accept")
	for _, t := range tables {
		g.Accept = append(g.Accept, decodeAccept(t, g, opts))
	}
	for i, a := range g.Accept {
		same := func(b Accept) bool { return a.Password == b.Password && sameAddresses(a.Addresses, b.Addresses) }
		if same(Accept{Password: g.Password, Addresses: g.Addresses}) || slices.ContainsFunc(g.Accept[:i], same) {
			s.r.warn(tables[i].n.line, "accept", "accepts nothing that this [[vip]] does not accept without it")
		}
	}
	switch n := len(g.Contexts()); {
	case len(tables) > maxAccept:
		s.r.problem(tables[maxAccept].n.line, "accept", "%d [[vip.accept]] are in this [[vip]], allowed are %d; take out those that the counters show unused", len(tables), maxAccept)
	case n > maxContexts:
		s.r.problem(tables[len(tables)-1].n.line, "accept", "with this [[vip.accept]] there are %d digests to try, allowed are %d; a list with link-local addresses has two, with and without them", n, maxContexts)
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
	items := s.list(key, "addresses with prefix length, such as \"192.0.2.100/24\"")
	if len(items) > 0 {
		a.Addresses, _ = readAddresses(s.r, key, items)
	} else if s.tried(key) && !s.bad[key] {
		s.r.problem(s.line(key), key, "is empty; leave the key out to mean the group's own addresses")
	}
	if !hasPassword && !s.tried(key) {
		s.r.problem(s.n.line, "accept", "says nothing in this [[vip.accept]]; write password_file, password or addresses, what is left out is the group's own")
	}
	s.done()
	return a
}
