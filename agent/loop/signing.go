// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/state/sequence"
	"vipd/agent/wire"
	"vipd/loader"
)

// signing is what a group's adverts are authenticated with. Several contexts may be accepted; the first one signs, and
// signer and seal are its own.
type signing struct {
	signer   *wire.Signer
	seal     wire.SealKey
	contexts []loader.AuthContext
	seals    []wire.SealKey // of each of them
}

func newSigning(cfg config.Group) (signing, error) {
	var s signing
	for i, c := range cfg.Contexts() {
		key, err := wire.NewKey(c.Password.Bytes())
		if err != nil {
			return signing{}, fmt.Errorf("password of %s (%s): %w", cfg.Name(), c.Name, err)
		}
		prefix, seal := wire.DigestPrefix(cfg.VHID, c.Addresses, cfg.LLAddr), key.SealKey()
		if i == 0 {
			s.signer, s.seal = key.Signer(prefix), seal
		}
		s.seals = append(s.seals, seal)
		s.contexts = append(s.contexts, loader.AuthContext{
			Key: c.Password.Bytes(), Prefix: prefix, SealKey: loader.SealKey(seal),
		})
	}
	return s, nil
}

// checkSecrets reports whether the group's passwords can be used.
func checkSecrets(cfg config.Group) error {
	_, err := newSigning(cfg)
	return err
}

// sealedCounter returns the counter of the next advert from src (docs/sealed-adverts.md). It is never the one that a
// peer used last: an OpenBSD peer would take its own cookie for a loop.
func (s *signing) sealedCounter(
	numbers *sequence.Numbers, p election.Priority, src netip.Addr, heard uint64,
) uint64 {
	sealed := wire.Sealed{Src: src, AdvBase: p.AdvBase, AdvSkew: p.AdvSkew, Demote: p.Demote}
	for {
		if c := s.seal.Counter(numbers.Next(), sealed); c != heard {
			return c
		}
	}
}

// raise makes the next number of this node higher than the one of an advert that was heard. Otherwise a node that lost
// its state while its clock is behind would be refused as a replay for as long as its peers run: the peer that owned
// the addresses meanwhile heard this node, so it speaks with higher numbers than this node ever did (Lamport 1978). The
// number cannot be forged without the password: it is inside the digest.
func (s *signing) raise(numbers *sequence.Numbers, ev loader.Event) {
	if int(ev.Context) >= len(s.seals) {
		return
	}
	said := wire.Sealed{Src: ev.Src, AdvBase: ev.AdvBase, AdvSkew: ev.AdvSkew, Demote: ev.Demote}
	if seq, verdict := s.seals[ev.Context].Open(ev.Counter, said); verdict == wire.SealValid {
		numbers.Raise(seq)
	}
}
