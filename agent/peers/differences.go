// SPDX-License-Identifier: Apache-2.0

package peers

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"vipd/agent/election"
	"vipd/agent/view"
	"vipd/agent/wire"
)

// What a Difference is about.
const (
	Addresses   = "addresses"
	Password    = "password"
	AdvBase     = "advbase"
	Beat        = "beat"
	Preempt     = "preempt"
	Version     = "version"
	Maintenance = "maintenance"
	NodeName    = "node_name"
)

// Difference is in what a peer is set up otherwise than this node, although both should be alike, or what should not be
// alike.
type Difference struct {
	What string // one of the constants
	Text string // a sentence that names the peer
}

// Differences returns what is to be looked at, given what both nodes say of themselves in one group. ours is from
// [Self], so that its list of addresses is whole; theirs is from a hello, which has room for a part of a long version.
func Differences(ours, theirs *wire.Hello) []Difference {
	var out []Difference
	add := func(what, format string, args ...any) {
		out = append(out, Difference{what, fmt.Sprintf(format, args...)})
	}
	node := theirs.Node
	if node == "" {
		node = "the peer"
	}
	if ours.List != theirs.List {
		add(Addresses, "%s", addressesText(ours, theirs, node))
	}
	if ours.Key != theirs.Key {
		add(Password,
			"%s signs with another of the accepted passwords than this node; finish the change of password on all nodes", node)
	}
	if ours.AdvBase != theirs.AdvBase {
		add(AdvBase, "advbase is %d here and %d on %s; the node with the lower one wins whatever advskew is. "+
			"Configure the same on all nodes", ours.AdvBase, theirs.AdvBase, node)
	}
	if ours.Beat != theirs.Beat {
		add(Beat, "beat is %s here and %s on %s, so how soon a dead MASTER is replaced depends on which of the two it was. "+
			"Configure the same on all nodes", beatText(ours.Beat), beatText(theirs.Beat), node)
	}
	if ours.Preempt != theirs.Preempt {
		add(Preempt, "preempt is %t here and %t on %s, so only one of the two takes over from a worse MASTER. "+
			"Configure the same on all nodes", ours.Preempt, theirs.Preempt, node)
	}
	if ours.Cut().Version != theirs.Version {
		add(Version, "this node runs vipd %s and %s runs %s; finish the upgrade", ours.Version, node, theirs.Version)
	}
	if ours.Maintenance && theirs.Maintenance {
		add(Maintenance, "this node and %s are both in maintenance mode; `vipctl maintenance leave` ends it", node)
	}
	return out
}

// SameName returns a Difference if a peer has the name of this node, ours, or that of another of the peers that report.
// One MAC is one node: it may have got another address a moment ago.
func SameName(ours string, p *view.Peer, list []view.Peer, now election.Instant) []Difference {
	const advice = "give each node its own ([node] name)"
	name := p.Hello.Node
	if name == "" || !p.Fresh(now) {
		return nil
	}
	if name == ours {
		return []Difference{{NodeName, fmt.Sprintf("the node at %s is named %s like this one; %s", p.Addr, name, advice)}}
	}
	var at []string
	doubled := false
	for i := range list {
		if q := &list[i]; q.Hello.Node == name && q.Fresh(now) {
			at = append(at, q.Addr.String())
			doubled = doubled || q.MAC != p.MAC
		}
	}
	if !doubled {
		return nil
	}
	all := strings.Join(at, ", ")
	return []Difference{{NodeName, fmt.Sprintf("the nodes at %s are all named %s; %s", all, name, advice)}}
}

func beatText(us uint16) string { return (time.Duration(us) * time.Microsecond).String() }

// addressesText names the addresses that only one of the two has. The peer's hello may have no room for all of its own.
func addressesText(ours, theirs *wire.Hello, node string) string {
	var parts []string
	if only := missing(theirs.Addresses, ours.Addresses); len(only) > 0 {
		parts = append(parts, fmt.Sprintf("only %s has %s", node, someOf(only)))
	}
	if only := missing(ours.Addresses, theirs.Addresses); len(only) > 0 && theirs.Complete {
		parts = append(parts, fmt.Sprintf("only this node has %s", someOf(only)))
	}
	if len(parts) == 0 {
		return fmt.Sprintf("the address lists of this node and %s differ; compare `vipctl show` of both", node)
	}
	return strings.Join(parts, ", and ") + "; configure the same addresses on all nodes"
}

// missing returns the addresses of list that are not in other.
func missing(list, other []netip.Addr) []string {
	var out []string
	for _, a := range list {
		if !slices.ContainsFunc(other, func(b netip.Addr) bool { return a.Unmap() == b.Unmap() }) {
			out = append(out, a.Unmap().String())
		}
	}
	return out
}

// maxNamed bounds how many addresses a sentence names.
const maxNamed = 4

func someOf(addrs []string) string {
	if len(addrs) <= maxNamed {
		return strings.Join(addrs, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(addrs[:maxNamed], ", "), len(addrs)-maxNamed)
}
