// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"encoding/json"
	"net/http"
	"time"
)

// Standby is another vipd node that would take a group over if this node fell silent, as its last hello describes it.
type Standby struct {
	// Node is its name in its own config.
	Node string `json:"node"`
	// Address is the one from which it sends hellos.
	Address string `json:"address"`
	// State is that of the group on the node.
	State string `json:"state"`
	// AdvBase is in seconds, AdvSkew and EffectiveAdvSkew are in 1/256 s.
	AdvBase          int `json:"advbase"`
	AdvSkew          int `json:"advskew"`
	EffectiveAdvSkew int `json:"effective_advskew"`
	// Demotion is the sum of the node's demotions.
	Demotion    int  `json:"demotion"`
	Maintenance bool `json:"maintenance"`
	// Preempt is true if it takes the group over from a worse master, and not only from one that leaves or falls silent.
	Preempt bool   `json:"preempt"`
	Version string `json:"version"`
	// LastSeen is when its last hello arrived.
	LastSeen time.Time `json:"last_seen"`
	// TakesOverIn is in seconds: how long after the last advertisement that it hears the node takes over.
	TakesOverIn float64 `json:"takes_over_in"`
}

// Difference is one way in which another node is configured unlike this one.
type Difference struct {
	// Code is stable: addresses, password, advbase, beat, preempt, version, maintenance (both nodes are in it), or
	// node_name (two nodes have the same).
	Code string `json:"code"`
	// Text is one sentence that names both nodes and the values.
	Text string `json:"text"`
}

// Codes as in [Difference.Code].
const (
	DiffersAddresses   = "addresses"
	DiffersPassword    = "password"
	DiffersAdvBase     = "advbase"
	DiffersBeat        = "beat"
	DiffersPreempt     = "preempt"
	DiffersVersion     = "version"
	DiffersMaintenance = "maintenance"
	DiffersNodeName    = "node_name"
)

// Peers is the answer to GET /v1/peers: the other nodes that were heard, sorted by name.
type Peers struct {
	// Node is the name of this node.
	Node  string `json:"node"`
	Peers []Peer `json:"peers"`
	// NoAddress lists the groups in which this node exchanges no hellos, since it has no address to advertise from.
	NoAddress []string `json:"no_address,omitempty"`
	// NoRoom lists the groups in which another vipd node proved itself that the kernel has no room to remember. There it
	// refuses advertisements without a trailer from sources that it does not know, until peer_memory has passed.
	NoRoom []string `json:"no_room,omitempty"`
	// Unlisted lists the groups with more vipd nodes than are listed.
	Unlisted []string `json:"unlisted,omitempty"`
}

// Peer is another node, with what it said in each group.
type Peer struct {
	// Node is its name; empty if it sent no hello, as every node that is not vipd.
	Node string `json:"node"`
	// Vipd is true if the node proved itself to be vipd, by a hello or a trailer.
	Vipd bool `json:"vipd"`
	// Version is that of its vipd; empty if unknown.
	Version string `json:"version"`
	// LastSeen is when its last hello or advertisement arrived.
	LastSeen time.Time   `json:"last_seen"`
	Groups   []PeerGroup `json:"groups"`
}

// PeerGroup is what a peer said in one group. What only a hello states is absent without one.
type PeerGroup struct {
	// Group is the name that this node has for the group.
	Group string `json:"group"`
	// Address is the source of the peer's hellos or advertisements.
	Address string `json:"address"`
	// State is MASTER for a peer that is known by its advertisements alone.
	State   string `json:"state"`
	AdvBase int    `json:"advbase"`
	// AdvSkew is as configured, EffectiveAdvSkew as advertised.
	AdvSkew          int `json:"advskew"`
	EffectiveAdvSkew int `json:"effective_advskew"`
	Demotion         int `json:"demotion"`
	// BeatSeconds is the beat in its config, or the one that its advertisements state; absent if it has none.
	BeatSeconds float64 `json:"beat_seconds,omitempty"`
	// Demotions are the names of its demotions.
	Demotions   []string `json:"demotions,omitempty"`
	Maintenance bool     `json:"maintenance"`
	// Disabled is true if the operator switched the node off.
	Disabled bool `json:"disabled"`
	// Preempt is [carp] preempt of the node; null without a hello.
	Preempt *bool `json:"preempt"`
	// Addresses are its virtual IPs, without prefix lengths; a long list is cut.
	Addresses []string `json:"addresses,omitempty"`
	// TakesOverIn is as in Standby; null for a node that does not take over by itself, or without a hello.
	TakesOverIn *float64  `json:"takes_over_in"`
	LastSeen    time.Time `json:"last_seen"`
	// Hello is true if the peer sent hellos in this group, Current if the last one still counts.
	Hello   bool `json:"hello"`
	Current bool `json:"current"`
	// Differences are those between the two nodes in this group; empty if there are none.
	Differences []Difference `json:"differences,omitempty"`
}

// RawPeers returns GET /v1/peers, the [Peers] as the daemon wrote it.
func (c *Client) RawPeers(ctx context.Context) (json.RawMessage, error) {
	return call[json.RawMessage](ctx, c, http.MethodGet, "/v1/peers")
}
