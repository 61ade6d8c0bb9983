// SPDX-License-Identifier: Apache-2.0

package sim

import (
	"net/netip"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

// secret is a context for signing and checking digests, like an accept context of the data plane. A group has several,
// numbered from 0.
type secret struct {
	key     wire.Key
	prefix  []byte
	trailer wire.TrailerKey
}

// frame is one frame on the wire. Receivers use only what was parsed and authenticated from its bytes,
// which is done once and not per receiver.
type frame struct {
	nth    int // number of the send by its sender
	bytes  []byte
	group  *group  // of its virtual MAC and VHID
	from   *member // nil: an attacker
	copied *frame  // of an attacker: the frame that it repeats byte by byte, if any
	takers uint64  // hosts, by number, that accepted it or a copy of it; only of small segments
	at     time.Duration
	src    netip.Addr // if it is of a member

	parsed bool
	reject reject
	advert wire.AdvertFrame
	prio   election.Priority
	tried  uint64 // secrets, by number, that were tried
	good   uint64 // and those that fit
	tested uint64 // secrets whose tags were compared
	tagged uint64 // and those that fit
}

// reject is why a frame is ignored.
type reject uint8

const (
	rejectNone reject = iota
	rejectMalformed
	rejectTTL
	rejectDigest
	rejectLoop
	rejectReplay
	rejectTrailer
	rejectEnd
)

func (r reject) String() string {
	return [...]string{"", "malformed", "bad_ttl", "bad_hmac", "loop", "replay", "bad_trailer", "?"}[min(r, rejectEnd)]
}

const ttl = 255

// parse parses the bytes.
func (f *frame) parse() {
	f.parsed = true
	advert, err := wire.ParseAdvertFrame(f.bytes)
	switch {
	case err != nil || advert.Advert.VHID != f.group.vhid:
		f.reject = rejectMalformed
	case advert.TTL != ttl:
		f.reject = rejectTTL
	}
	a := advert.Advert
	f.advert = advert
	f.prio = election.Priority{AdvBase: a.AdvBase, AdvSkew: a.AdvSkew, Demote: a.Demote}
}

// authentic reports whether the digest matches one of the secrets.
func (f *frame) authentic(secrets uint64) bool {
	for untried := secrets &^ f.tried; untried != 0; untried = secrets &^ f.tried {
		bit := untried & -untried
		f.tried |= bit
		s := &f.group.secrets[trailing(bit)]
		if s.key.Digest(s.prefix, f.advert.Advert.Counter) == f.advert.Advert.Digest {
			f.good |= bit
		}
	}
	return f.good&secrets != 0
}

// proven reports whether the tag of its trailer matches one of the secrets.
func (f *frame) proven(secrets uint64, hooks *Hooks) bool {
	for untried := secrets &^ f.tested; untried != 0; untried = secrets &^ f.tested {
		bit := untried & -untried
		f.tested |= bit
		key := &f.group.secrets[trailing(bit)].trailer
		if key.Tag(hooks.bound(f.advert.Src), f.advert.Advert, *f.advert.Trailer) == f.advert.Trailer.Tag {
			f.tagged |= bit
		}
	}
	return f.tagged&secrets != 0
}

func trailing(bit uint64) int {
	n := 0
	for ; bit > 1; bit >>= 1 {
		n++
	}
	return n
}

// build returns an advert frame like the agent's.
func build(vhid uint8, src netip.Addr, p election.Priority, counter uint64, digest [20]byte) wire.AdvertFrame {
	dst := wire.MulticastV4
	if src.Is6() {
		dst = wire.MulticastV6
	}
	return wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(vhid), DstMAC: wire.MulticastMAC(dst),
		Src: src, Dst: dst, DSCP: 56, TTL: ttl,
		Advert: wire.Advert{
			VHID: vhid, AdvBase: p.AdvBase, AdvSkew: p.AdvSkew, Demote: p.Demote,
			AuthLen: wire.AuthLen, Counter: counter, Digest: digest,
		},
	}
}
