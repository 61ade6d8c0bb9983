// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"fmt"
	"net/netip"
	"time"

	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/wire"
	"vipd/loader"
)

// signing is what a group's adverts are authenticated with. Several contexts may be accepted; the first one signs, and
// signer and key are its own.
type signing struct {
	signer   *wire.Signer
	key      wire.TrailerKey
	contexts []loader.AuthContext
	self     peers.Constant // for hellos
}

func newSigning(cfg *config.Group) (signing, error) {
	var s signing
	for i, c := range cfg.Contexts() {
		key, err := wire.NewKey(c.Password.Bytes())
		if err != nil {
			return signing{}, fmt.Errorf("password of %s (%s): %w", cfg.Name(), c.Name, err)
		}
		prefix, trailer := wire.DigestPrefix(cfg.VHID, c.Addresses, cfg.LLAddr), key.TrailerKey()
		if i == 0 {
			s.signer, s.key = key.Signer(prefix), trailer
			s.self = peers.ConstantOf(cfg, trailer.Fingerprint())
		}
		s.contexts = append(s.contexts, loader.AuthContext{Key: c.Password.Bytes(), Prefix: prefix, TrailerKey: trailer})
	}
	return s, nil
}

// checkSecrets reports whether the group's passwords can be used.
func checkSecrets(cfg *config.Group) error {
	_, err := newSigning(cfg)
	return err
}

// advert returns the next advert to a target, and its trailer. Its number is never the counter that a peer used last:
// an OpenBSD peer would take its own cookie for a loop.
func (g *group) advert(act *election.SendAdvert, src netip.Addr) (wire.Advert, wire.Trailer) {
	number := g.env.sequence.Next()
	if number == g.hearing.counter {
		number = g.env.sequence.Next()
	}
	a := wire.Advert{
		VHID: g.cfg.VHID, AdvBase: act.AdvBase, AdvSkew: act.AdvSkew, Demote: act.Demote, AuthLen: wire.AuthLen,
		Counter: number, Digest: g.signing.signer.Digest(number),
	}
	return a, g.signing.key.Trailer(src, a, uint16(act.Beat/time.Microsecond)) // at most election.MaxBeat
}
