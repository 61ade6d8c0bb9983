// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"cmp"
	"context"
	"errors"

	"vipd/agent/config"
	"vipd/agent/loop"
	"vipd/agent/state/proven"
	"vipd/agent/view"
	"vipd/loader"
)

// dataplane is the data plane as the packages that use it declare it.
type dataplane struct{ *loader.Dataplane }

// Room implements loop.Plane and operator.Plane.
func (p dataplane) Room() config.Size {
	groups, vips := p.Dataplane.Room()
	return config.Size{Groups: groups, Addresses: vips}
}

// AddGroup implements loop.Plane.
func (p dataplane) AddGroup(spec loader.GroupSpec) (loop.PlaneGroup, error) {
	g, err := p.Dataplane.AddGroup(spec)
	if err != nil {
		return nil, err // not the typed nil inside g
	}
	return g, nil
}

// peersOf reads which sources have proven themselves, for state/proven.
func (a *Agent) peersOf(p dataplane) ([]proven.Peer, error) {
	all, err := p.Peers()
	if err != nil || len(all) == 0 {
		return nil, err
	}
	var out []proven.Peer
	for _, live := range a.loop.View().Groups {
		now := live.Published()
		if now == nil {
			continue
		}
		of, _ := now.Plane.(*loader.Group)
		for _, p := range all[of] {
			out = append(out, proven.Peer{
				Interface: now.Config.Interface, VHID: now.Config.VHID, Address: p.Addr, Number: p.Number, At: p.At,
			})
		}
	}
	return out, nil
}

// expirePeers has the data plane forget peers that are silent for too long.
func (a *Agent) expirePeers(ctx context.Context, silent []proven.Peer) error {
	var refused error
	err := a.loop.Do(ctx, func(c loop.Commands) { refused = c.ExpirePeers(silent) })
	if errors.Is(err, view.ErrStopping) {
		return nil
	}
	return cmp.Or(err, refused)
}

// Readings implements operator.Plane.
func (p dataplane) Readings(now int64) (func(view.Plane) *loader.Reading, error) {
	all, err := p.Dataplane.Readings(now)
	return func(g view.Plane) *loader.Reading {
		of, _ := g.(*loader.Group)
		return all[of]
	}, err
}
