// SPDX-License-Identifier: Apache-2.0

package doctor

import (
	"context"
	"iter"
	"net/netip"
	"runtime"
	"slices"

	"vipd/agent/wire"
)

// MaxTries bounds how many digests are computed to explain one advert.
const MaxTries = 65536

// Signature is a password and what is signed with it.
type Signature struct {
	// Name is how people are told of it: own, accept 1, or the name of a group.
	Name      string
	Key       wire.Key
	Addresses []netip.Addr
	LLAddr    *[6]byte
}

// NamedKey is a password with the words for it, such as "the password of eth1@2". The
// password itself is never told.
type NamedKey struct {
	Name string
	Key  wire.Key
}

// Question is an advert with a wrong digest, and what it may have been signed with.
type Question struct {
	Advert wire.Advert
	SrcMAC [6]byte
	// Own are the signatures that the group accepts; the first is the one it signs
	// with.
	Own []Signature
	// Others are those of other groups of this node, of the same VHID or not.
	Others []Signature
	// Keys are further passwords.
	Keys []NamedKey
	// Near are addresses that the list may have too many or too few, the likeliest
	// first: seen with the virtual MAC, or of other groups.
	Near []netip.Addr
	// Subnets are searched for the one address that is different.
	Subnets []netip.Prefix
}

// Explanation is what would make the digest right.
type Explanation struct {
	// Found says that one of the following was right.
	Found bool
	// Tries is how many digests were computed, and Spent that there were more to try.
	Tries int
	Spent bool
	// Group is another group of this node that the advert is authentic for.
	Group string
	// Key is the words for the password that fits; empty for the group's own.
	Key string
	// Missing are addresses of this node's list that the peer does not sign, Extra
	// those that it does and this node does not.
	Missing, Extra []netip.Addr
	// LLAddr is a link-layer address that the peer signs and this node does not.
	LLAddr *[6]byte
	// NoLLAddr says that this node signs a link-layer address and the peer does not.
	NoLLAddr bool
}

// Explain looks for the change that makes the advert authentic, from the likely to
// the laborious. It ends early with ctx, and then says Spent.
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

// yieldEvery is how many digests are computed before others may use the processor: the
// election is on this host, too.
const yieldEvery = 64

func (t *trial) fits(a attempt) bool {
	if t.tries == MaxTries || t.ctx.Err() != nil {
		t.spent = true
		return false
	}
	t.tries++
	if t.tries%yieldEvery == 0 {
		runtime.Gosched()
	}
	prefix := wire.DigestPrefix(t.q.Advert.VHID, a.list, a.ll)
	return a.key.Digest(prefix, t.q.Advert.Counter) == t.q.Advert.Digest
}

// all are the attempts in the order in which they are worth making.
func (t *trial) all() iter.Seq[attempt] {
	return func(yield func(attempt) bool) {
		for _, part := range []func(func(attempt) bool) bool{
			t.otherGroups, t.otherKeys, t.linkLayer, t.lessOne, t.plusNear, t.lessTwo, t.otherKeysLessOne, t.swappedNear, t.plusSubnet, t.swappedSubnet,
		} {
			if !part(yield) {
				return
			}
		}
	}
}

// eachOwn runs over the contexts of the group. The parts return false when enough was
// tried.
func (t *trial) eachOwn(do func(s Signature) bool) bool {
	for _, s := range t.q.Own {
		if !do(s) {
			return false
		}
	}
	return true
}

// own is an attempt with a signature of the group, changed.
func own(s Signature, list []netip.Addr, missing, extra []netip.Addr) attempt {
	return attempt{Explanation: Explanation{Missing: missing, Extra: extra}, key: s.Key, list: list, ll: s.LLAddr}
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

// linkLayer tries the link-layer address that OpenBSD signs if it was set by hand.
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
		// The other family, which some peers do not know or do not sign.
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

// maxPairs is the longest list of which all pairs are left out.
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

// swap puts each of the candidates in the place of each address: one was mistyped.
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

// near are the candidates that the list does not have.
func (t *trial) near(s Signature) []netip.Addr {
	var out []netip.Addr
	for _, a := range t.q.Near {
		if !slices.Contains(s.Addresses, a) && !slices.Contains(out, a) {
			out = append(out, a)
		}
	}
	return out
}

// maxHosts is how much of a subnet that cannot be searched whole is searched, from its
// beginning.
const maxHosts = 1024

// subnets are the addresses of our subnets that the list does not have, those beside
// the list's own first.
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
