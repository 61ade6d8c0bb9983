// SPDX-License-Identifier: Apache-2.0

package view

import (
	"net/netip"
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

// Peer is another node as its last hello in a group describes it.
type Peer struct {
	Addr  netip.Addr // that its hellos come from
	MAC   [6]byte    // the same: of the node, or of a router
	At    election.Instant
	Hello wire.Hello
}

// Fresh reports whether what the peer said counts at the time now.
func (p *Peer) Fresh(now election.Instant) bool { return now.Sub(p.At) < PeerFresh }
