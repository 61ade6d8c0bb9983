// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"iter"
	"net/netip"
	"runtime"
	"slices"

	"vipd/agent/ordinary"
	"vipd/agent/wire"
)

// MaxTries bounds how many digests are computed to explain one advert.
const MaxTries = 65536

// Signature is a password and what is signed with it.
type Signature struct {
	// Name is the name in the report: own, accept 1, or the name of a group.
	Name      string
	Key       wire.Key
	Addresses []netip.Addr
	LLAddr    *[6]byte
}

// NamedKey is a password with words for it, such as "the password of eth1@2". The report never
// has the password itself.
type NamedKey struct {
	Name string
	Key  wire.Key
}

// Question is an advert with a wrong digest, with candidates for what it was signed with.
type Question struct {
	Advert wire.Advert
	SrcMAC [6]byte
	// Own are the signatures that the group accepts; it signs with the first one.
	Own []Signature
	// Others are those of other groups of this node, of the same VHID or not.
	Others []Signature
	// Reported are whole lists that the sender itself stated before, in its hellos.
	Reported [][]netip.Addr
	// Keys are further passwords.
	Keys []NamedKey
	// Near are addresses that one of the lists may lack, the likeliest first: those seen with
	// the virtual MAC, and those of other groups.
	Near []netip.Addr
	// Subnets are searched for a single address that differs.
	Subnets []netip.Prefix
}

// Explanation is a change that makes the digest correct.
type Explanation struct {
	// Found is true if there is one.
	Found bool
	// Tries is how many digests were computed; Spent is true if not all candidates were tried.
	Tries int
	Spent bool
	// Group is another group of this node that the advert is authentic for.
	Group string
	// Key names the password that fits; empty for the group's own.
	Key string
	// Missing are addresses that this node signs and the peer does not, Extra the reverse.
	Missing, Extra []netip.Addr
	// LLAddr is a link-layer address that the peer signs and this node does not.
	LLAddr *[6]byte
	// NoLLAddr is true if this node signs a link-layer address and the peer does not.
	NoLLAddr bool
}

// Explain searches for the change that makes the advert authentic, the likely and cheap ones first.
// If ctx ends first, the result is Spent.
func Explain(ctx context.Context, q Question) Explanation {
	t := trial{ctx: ctx, q: q}
	for e := range t.all() {
		if t.fits(e) {
			e.Found, e.Tries = true, t.tries
			return e.Explanation
		}
		if t.spent {
			break
		}
	}
	return Explanation{Tries: t.tries, Spent: t.spent}
}

// attempt is one way the advert may have been signed.
type attempt struct {
	Explanation
	key  wire.Key
	list []netip.Addr
	ll   *[6]byte
}

type trial struct {
	ctx   context.Context
	q     Question
	tries int
	spent bool
}

// yieldEvery is how many digests are computed, in some milliseconds, before others may run that wait for the same
// processor, and garbage may be collected.
const yieldEvery = 4096

func (t *trial) fits(a attempt) bool {
	if t.tries == MaxTries || t.ctx.Err() != nil {
		t.spent = true
		return false
	}
	t.tries++
	if t.tries%yieldEvery == 0 {
		_ = ordinary.Outside(t.ctx, runtime.Gosched) // no gate limits it
	}
	prefix := wire.DigestPrefix(t.q.Advert.VHID, a.list, a.ll)
	return a.key.Digest(prefix, t.q.Advert.Counter) == t.q.Advert.Digest
}

// all yields the attempts, the most promising first.
func (t *trial) all() iter.Seq[attempt] {
	return func(yield func(attempt) bool) {
		for _, part := range []func(func(attempt) bool) bool{
			t.reported,
			t.otherGroups,
			t.otherKeys,
			t.linkLayer,
			t.lessOne,
			t.plusNear,
			t.lessTwo,
			t.otherKeysLessOne,
			t.swappedNear,
			t.plusSubnet,
			t.swappedSubnet,
		} {
			if !part(yield) {
				return
			}
		}
	}
}

// eachOwn calls do for each context of the group, until it returns false.
func (t *trial) eachOwn(do func(s Signature) bool) bool {
	for _, s := range t.q.Own {
		if !do(s) {
			return false
		}
	}
	return true
}

// own is an attempt with a changed signature of the group.
func own(s Signature, list []netip.Addr, missing, extra []netip.Addr) attempt {
	return attempt{Explanation: Explanation{Missing: missing, Extra: extra}, key: s.Key, list: list, ll: s.LLAddr}
}

// reported tries what the sender stated: the list may have changed here or there since.
func (t *trial) reported(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		for _, list := range t.q.Reported {
			has := func(in []netip.Addr) func(netip.Addr) bool {
				return func(a netip.Addr) bool { return slices.Contains(in, a) }
			}
			_, missing := split(s.Addresses, has(list))
			_, extra := split(list, has(s.Addresses))
			if len(missing)+len(extra) > 0 && !yield(own(s, list, missing, extra)) {
				return false
			}
		}
		return true
	})
}

func (t *trial) otherGroups(yield func(attempt) bool) bool {
	for _, s := range t.q.Others {
		if !yield(attempt{Explanation: Explanation{Group: s.Name}, key: s.Key, list: s.Addresses, ll: s.LLAddr}) {
			return false
		}
	}
	return true
}

func (t *trial) otherKeys(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		for _, k := range t.q.Keys {
			if !yield(attempt{Explanation: Explanation{Key: k.Name}, key: k.Key, list: s.Addresses, ll: s.LLAddr}) {
				return false
			}
		}
		return true
	})
}

// linkLayer tries the link-layer address that OpenBSD signs if it was set manually.
func (t *trial) linkLayer(yield func(attempt) bool) bool {
	mac := t.q.SrcMAC
	return t.eachOwn(func(s Signature) bool {
		if s.LLAddr != nil && !yield(attempt{Explanation: Explanation{NoLLAddr: true}, key: s.Key, list: s.Addresses}) {
			return false
		}
		return yield(attempt{Explanation: Explanation{LLAddr: &mac}, key: s.Key, list: s.Addresses, ll: &mac})
	})
}

func (t *trial) lessOne(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		for i, a := range s.Addresses {
			if !yield(own(s, less(s.Addresses, i), []netip.Addr{a}, nil)) {
				return false
			}
		}
		// Some peers do not have or do not sign the other family.
		for _, is := range []func(netip.Addr) bool{netip.Addr.Is4, netip.Addr.Is6} {
			kept, gone := split(s.Addresses, is)
			if len(kept) > 0 && len(gone) > 1 && !yield(own(s, kept, gone, nil)) {
				return false
			}
		}
		return true
	})
}

func (t *trial) plusNear(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		near := t.near(s)
		for i, a := range near {
			if !yield(own(s, plus(s.Addresses, a), nil, []netip.Addr{a})) {
				return false
			}
			for _, b := range near[i+1:] {
				if !yield(own(s, plus(s.Addresses, a, b), nil, []netip.Addr{a, b})) {
					return false
				}
			}
		}
		return true
	})
}

// maxPairs is the longest list for which lists without each pair of addresses are tried.
const maxPairs = 64

func (t *trial) lessTwo(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		if len(s.Addresses) > maxPairs {
			return true
		}
		for i, a := range s.Addresses {
			for j, b := range s.Addresses[i+1:] {
				if !yield(own(s, less(less(s.Addresses, i+1+j), i), []netip.Addr{a, b}, nil)) {
					return false
				}
			}
		}
		return true
	})
}

func (t *trial) otherKeysLessOne(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		for _, k := range t.q.Keys {
			for i, a := range s.Addresses {
				e := Explanation{Key: k.Name, Missing: []netip.Addr{a}}
				if !yield(attempt{Explanation: e, key: k.Key, list: less(s.Addresses, i), ll: s.LLAddr}) {
					return false
				}
			}
		}
		return true
	})
}

func (t *trial) swappedNear(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		return swap(s, slices.Values(t.near(s)), yield)
	})
}

func (t *trial) plusSubnet(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool {
		for a := range t.subnets(s) {
			if !yield(own(s, plus(s.Addresses, a), nil, []netip.Addr{a})) {
				return false
			}
		}
		return true
	})
}

func (t *trial) swappedSubnet(yield func(attempt) bool) bool {
	return t.eachOwn(func(s Signature) bool { return swap(s, t.subnets(s), yield) })
}

// swap replaces each address by each candidate: one may be mistyped.
func swap(s Signature, candidates iter.Seq[netip.Addr], yield func(attempt) bool) bool {
	for c := range candidates {
		for i, a := range s.Addresses {
			if a.Is4() != c.Is4() {
				continue
			}
			if !yield(own(s, plus(less(s.Addresses, i), c), []netip.Addr{a}, []netip.Addr{c})) {
				return false
			}
		}
	}
	return true
}

// near returns the candidates that are not in the list.
func (t *trial) near(s Signature) []netip.Addr {
	var out []netip.Addr
	for _, a := range t.q.Near {
		if !slices.Contains(s.Addresses, a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// maxHosts is how many addresses are tried of a subnet that is too large to search, from its
// beginning.
const maxHosts = 1024

// subnets yields the addresses of our subnets that are not in the list, those next to listed ones
// first.
func (t *trial) subnets(s Signature) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, a := range s.Addresses {
			for _, b := range []netip.Addr{a.Prev(), a.Next()} {
				if b.IsValid() && !slices.Contains(s.Addresses, b) && !yield(b) {
					return
				}
			}
		}
		for _, p := range t.q.Subnets {
			limit := maxHosts
			if p.Addr().Is4() {
				limit = MaxTries
			}
			for a := p.Masked().Addr(); p.Contains(a) && limit > 0; a, limit = a.Next(), limit-1 {
				if !slices.Contains(s.Addresses, a) && !yield(a) {
					return
				}
			}
		}
	}
}

func less(list []netip.Addr, i int) []netip.Addr {
	return slices.Concat(list[:i], list[i+1:])
}

func plus(list []netip.Addr, more ...netip.Addr) []netip.Addr {
	return slices.Concat(list, more)
}

func split(list []netip.Addr, keep func(netip.Addr) bool) (kept, gone []netip.Addr) {
	for _, a := range list {
		if keep(a) {
			kept = append(kept, a)
		} else {
			gone = append(gone, a)
		}
	}
	return kept, gone
}
