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
	// PeerFresh is how long what a hello said counts: three periods and a second.
	PeerFresh = 10 * time.Second
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
}

// NewPeer returns a peer whose hello came at a time.
func NewPeer(addr netip.Addr, mac [6]byte, at election.Instant, h wire.Hello) Peer {
	p := Peer{Addr: addr, MAC: mac, Hello: h, at: &atomic.Int64{}}
	p.HeardAgain(at)
	return p
}

// At returns when the last hello came.
func (p *Peer) At() election.Instant { return election.Instant(p.at.Load()) }

// HeardAgain notes a hello that says nothing new, for this Peer and all copies of it.
func (p *Peer) HeardAgain(at election.Instant) { p.at.Store(int64(at)) }

// Fresh reports whether what the peer said counts at the time now.
func (p *Peer) Fresh(now election.Instant) bool { return now.Sub(p.At()) < PeerFresh }
