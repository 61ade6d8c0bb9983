// SPDX-License-Identifier: Apache-2.0

package view

import (
	"net/netip"
	"sync/atomic"
	"time"

	"vipd/agent/election"
	"vipd/agent/wire"
)

const (
	// HelloPeriod is how often a group says hello to a peer, if few groups of the interface do.
	HelloPeriod = 3 * time.Second
	// PeerFresh is how long a node that says nothing over an interface counts: three periods and a second.
	PeerFresh = 3*HelloPeriod + time.Second
	// PeerKept is how long a silent peer is remembered.
	PeerKept = 10 * time.Minute
)

// HasUnlisted reports whether there are more peers than are listed.
func (o *OtherNodes) HasUnlisted(now election.Instant) bool {
	return o.NotListedAt != 0 && now.Sub(o.NotListedAt) < PeerKept
}

// Peer is another node as its last hello in a group describes it. When that came rises for every reader: most hellos
// say what the one before said, and need no new view.
type Peer struct {
	Addr  netip.Addr // that its hellos come from
	MAC   [6]byte    // the same: of the node, or of a router
	Hello wire.Hello // the first that said this
	at    *atomic.Int64
	voice *Voice
}

// Voice is the hellos from one address over one interface, in any group. The zero Voice has not been heard.
type Voice struct{ at atomic.Int64 }

// At returns when the last one came.
func (v *Voice) At() election.Instant { return election.Instant(v.at.Load()) }

// NewPeer returns a peer whose hello came at a time.
func NewPeer(addr netip.Addr, mac [6]byte, at election.Instant, h wire.Hello, voice *Voice) Peer {
	p := Peer{Addr: addr, MAC: mac, Hello: h, at: &atomic.Int64{}, voice: voice}
	p.HeardAgain(at)
	return p
}

// Voice returns the hellos from that address over the interface, in any group.
func (p *Peer) Voice() *Voice { return p.voice }

// At returns when the last hello came in this group.
func (p *Peer) At() election.Instant { return election.Instant(p.at.Load()) }

// HeardAgain notes a hello that says nothing new, for this Peer and all copies of it.
func (p *Peer) HeardAgain(at election.Instant) {
	p.at.Store(int64(at))
	p.voice.at.Store(max(p.voice.at.Load(), int64(at)))
}

// Fresh reports whether what the peer said counts at the time now: until it has missed three hellos of this group, and
// as long as it says anything over the interface.
func (p *Peer) Fresh(now election.Instant) bool {
	counts := 3*max(p.Hello.Every, HelloPeriod) + time.Second
	return now.Sub(p.At()) < counts && now.Sub(p.voice.At()) < PeerFresh
}
