// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/state/proven"
)

// ForgetPeer implements control.Backend.
func (o *Operator) ForgetPeer(ctx context.Context, f api.ForgetPeer) (api.PeerForgotten, error) {
	addr, err := f.Source()
	if err != nil {
		return api.PeerForgotten{}, err
	}
	out := api.PeerForgotten{}
	known := o.opts.Intent.Peers.All()
	gone := slices.DeleteFunc(slices.Clone(known), func(p proven.Peer) bool {
		return p.Address != addr || f.Group != "" && groupOf(p) != f.Group
	})
	n, now := o.loop.View(), o.clock.Now()
	for _, g := range n.Groups {
		matches := f.Group == "" || f.Group == g.Name()
		remembered := slices.ContainsFunc(gone, func(p proven.Peer) bool { return groupOf(p) == g.Name() })
		if matches && !remembered && noRoom(n, g.Now(), now) {
			out.Groups = append(out.Groups, g.Name())
		}
	}
	if len(gone) == 0 && len(out.Groups) == 0 {
		if f.Group != "" && o.loop.View().Group(f.Group) == nil {
			return api.PeerForgotten{}, noSuchGroup(f.Group)
		}
		return api.PeerForgotten{}, unknownPeer(addr, f.Group, known)
	}
	for _, p := range gone {
		out.Groups = append(out.Groups, groupOf(p))
	}
	disk, cancel := context.WithTimeout(ctx, flushLimit)
	defer cancel()
	unsaved, err := o.opts.Intent.Peers.Forget(disk, gone, func() error {
		var refused error
		err := o.loop.Do(ctx, func(c Commands) { refused = c.ForgetPeer(addr, out.Groups) })
		if err == nil {
			err = refused
		}
		return err
	})
	if unsaved != nil {
		out.Message = "in force, but the next start of vipd may remember it again: " + unsaved.Error()
	}
	return out, err
}

func groupOf(p proven.Peer) string { return config.GroupName(p.Interface, p.VHID) }

// unknownPeer names what is known instead.
func unknownPeer(addr netip.Addr, group string, known []proven.Peer) error {
	in := ""
	if group != "" {
		in = " in " + group
	}
	const most = 8
	var there []string
	for _, p := range known {
		there = append(there, fmt.Sprintf("%s (%s)", p.Address, groupOf(p)))
	}
	if more := len(there) - most; more > 1 {
		there = append(there[:most], fmt.Sprintf("%d more", more))
	}
	others := "no vipd node is remembered"
	if len(there) > 0 {
		others = "remembered are " + strings.Join(there, ", ")
	}
	return api.Errorf(api.CodeNotFound, "%s is not remembered as a vipd node%s, so nothing is refused on that ground; %s",
		addr, in, others)
}
