// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// peer is a CARP speaker made of single frames, authentic unless a test damages them.
type peer struct {
	injector *lab.Injector
	frame    wire.AdvertFrame
	key      wire.Key
	prefix   []byte
	counter  uint64
}

// newPeer speaks from a port with the given source address for the usual group.
func newPeer(port *lab.Port, src netip.Addr) *peer {
	key, err := wire.NewKey([]byte(lab.Password))
	if err != nil {
		panic(err) // the password is a constant of 14 bytes
	}
	return &peer{
		injector: port.Injector(), key: key, prefix: wire.DigestPrefix(vhid, []netip.Addr{vip}, nil), counter: 1 << 32,
		frame: wire.AdvertFrame{
			SrcMAC: port.MAC, DstMAC: wire.MulticastMAC(wire.MulticastV4), Src: src, Dst: wire.MulticastV4, DSCP: 56, TTL: 255,
			Advert: wire.Advert{VHID: vhid, AdvBase: 1, AuthLen: 7},
		},
	}
}

// build makes the peer's next advert; change may alter it before the digest is computed.
func (p *peer) build(change func(*wire.AdvertFrame)) []byte {
	p.counter++
	f := p.frame
	f.Advert.Counter = p.counter
	if change != nil {
		change(&f)
	}
	f.Advert.Digest = p.key.Digest(p.prefix, f.Advert.Counter)
	b, err := f.AppendBinary(nil)
	if err != nil {
		panic(err) // a test that builds what cannot be built is wrong
	}
	return b
}

// send sends the peer's next advert with these values.
func (p *peer) send(advbase, advskew, demote uint8) time.Time {
	return p.injector.Send(p.build(func(f *wire.AdvertFrame) {
		f.Advert.AdvBase, f.Advert.AdvSkew, f.Advert.Demote = advbase, advskew, demote
	}))
}

func (p *peer) goodbye() time.Time { return p.send(255, 255, 0) }
