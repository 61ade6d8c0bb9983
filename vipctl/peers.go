// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

func (p *program) peersCommand() *cli.Command {
	return &cli.Command{
		Name:      "peers",
		Usage:     "list the other nodes, and what they report about themselves",
		UsageText: "vipctl peers [-o table|json]",
		Description: example(
			"vipd nodes report to the MASTER of a group, and it to them. TAKEOVER is the time after the last advertisement\n"+
				"of the MASTER, BASE/SKEW is as advertised. A node that is not vipd is listed while it is MASTER: a BACKUP of\n"+
				"CARP is silent. Differences between the nodes that there should not be are below the table. Nodes that were\n"+
				"silent for 10 minutes are left out.",
			"vipctl peers",
		),
		Flags:  []cli.Flag{tableOrJSON()},
		Action: withArguments(p.peers),
	}
}

func (p *program) peers(c *cli.Context, _ []string) error {
	raw, err := p.client(c).RawPeers(c.Context)
	if err != nil {
		return err
	}
	return printAnswer(p, c, raw, "the peers", func(list *api.Peers) { p.printf("%s", p.peersView(list)) })
}

func (p *program) peersView(list *api.Peers) string {
	var notes sentences
	for _, group := range list.NoAddress {
		notes.add(group, "this node cannot exchange hellos without an address of its own")
	}
	for _, group := range list.NoRoom {
		notes.add(group, "the kernel has no room to remember another vipd node that proved itself; it refuses unknown "+
			"sources without a trailer. `vipctl peer forget` makes room")
	}
	for _, group := range list.Unlisted {
		notes.add(group, "there are more vipd nodes than are listed here")
	}
	if len(list.Peers) == 0 {
		return strings.Join(append([]string{"No other node was heard."}, notes.lines()...), "\n") + "\n"
	}
	var t table
	t.add("NODE", "GROUP", "ADDRESS", "STATE", "BASE/SKEW", "TAKEOVER", "LAST SEEN", "VERSION")
	for i := range list.Peers {
		peer := &list.Peers[i]
		version := peer.Version
		if !peer.Vipd {
			version = "not vipd"
		}
		for j := range peer.Groups {
			g := &peer.Groups[j]
			t.add(orDash(peer.Node), g.Group, g.Address, p.peerState(g),
				fmt.Sprintf("%d/%d", g.AdvBase, g.EffectiveAdvSkew), takesOver(g), p.ago(g.LastSeen), orDash(version))
			for _, text := range peerNotes(peer, g) {
				notes.add(g.Group, text)
			}
		}
	}
	if notes.texts == nil {
		return t.String()
	}
	return t.String() + "\n" + strings.Join(notes.lines(), "\n") + "\n"
}

// peerState is the state of a peer, in brackets if it is no longer current.
func (p *program) peerState(g *api.PeerGroup) string {
	state := g.State
	if g.Disabled {
		state = "DISABLED"
	}
	if g.Hello && !g.Current {
		return p.paint(dim, "("+state+")")
	}
	return p.paint(stateColour(state), state)
}

func takesOver(g *api.PeerGroup) string {
	switch {
	case !g.Hello || g.State == api.StateMaster:
		return "-"
	case !g.Current:
		return "?"
	case g.TakesOverIn == nil:
		return "never"
	}
	return span(*g.TakesOverIn)
}

// peerNotes are the sentences on a peer below the table.
func peerNotes(peer *api.Peer, g *api.PeerGroup) []string {
	var out []string
	name := peer.Node
	if name == "" {
		name = g.Address
	}
	if g.Hello && !g.Current {
		out = append(out, name+": the state in brackets is from its last report; nodes report to the MASTER alone")
	}
	switch {
	case g.Maintenance:
		out = append(out, name+" is in maintenance mode")
	case len(g.Demotions) > 0:
		out = append(out, fmt.Sprintf("%s is demoted by %d (%s)", name, g.Demotion, strings.Join(g.Demotions, ", ")))
	}
	for _, d := range g.Differences {
		out = append(out, d.Text)
	}
	return out
}
