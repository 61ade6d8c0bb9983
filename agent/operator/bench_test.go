// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/peers"
	"vipd/agent/programs"
	"vipd/agent/view"
	"vipd/agent/wire"
	"vipd/loader"
)

// countedGroup is a group of a data plane that has a reading of it.
type countedGroup struct {
	view.Plane
	reading loader.Reading
}

// countedPlane is a data plane whose counters do not change.
type countedPlane struct{ Plane }

func (countedPlane) InterfaceStats(int) (map[string]uint64, error) { return map[string]uint64{}, nil }

func (countedPlane) Readings(int64) (func(view.Plane) *loader.Reading, error) {
	return func(g view.Plane) *loader.Reading { return &g.(*countedGroup).reading }, nil
}

// manyGroups returns a node that is MASTER of n groups, each with a standby that reports.
func manyGroups(n int) *Operator {
	node := &view.Node{Config: &config.Config{}, Enabled: true}
	node.Config.Node.Name = "fw1"
	now := testNow
	for i := range n {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 0, byte(i / 250), byte(1 + i%250)}), 24)
		cfg := &config.Group{
			Interface: fmt.Sprintf("eth%d", i/255), VHID: uint8(i%255 + 1), AdvBase: 1,
			Password: config.NewSecret([]byte("secret")), Addresses: []netip.Prefix{p},
		}
		if i%255 == 0 {
			node.Interfaces = append(node.Interfaces, view.Interface{Name: cfg.Interface, Index: i/255 + 1})
		}
		g := &view.Group{Config: cfg, Preempt: true}
		g.Machine.State, g.Machine.Since = election.Master, now.Add(-time.Minute)
		g.Machine.Lease, g.Machine.Effective = now.Add(3*time.Second), election.Priority{AdvBase: 1}
		g.Fingerprints = peers.ConstantOf(cfg, 7).Fingerprints
		h := peers.Self(node, g)
		h.Node, h.State, h.TakesOverIn, h.AdvSkew, h.EffectiveAdvSkew = "fw2", wire.HelloBackup, 3*time.Second, 100, 100
		g.HasPeer, g.Peers = true, []view.Peer{view.NewPeer(fw2, [6]byte{2}, now.Add(-time.Second), h, &view.Voice{})}
		g.Plane = &countedGroup{reading: loader.Reading{
			Answering: true, VIPs: loader.Addresses{{Addr: p.Addr()}}, Stats: loader.GroupStats{Contexts: []uint64{0}},
		}}
		live := view.NewPublisher(cfg.Name())
		live.Publish(g)
		live.Update(new(g.Machine.Renewed(now.Add(4*time.Second))), &election.Repeats{})
		node.Groups = append(node.Groups, live.Live())
	}
	return New(Options{
		Loop: &silentLoop{node: node}, Plane: countedPlane{}, Programs: programs.NewWatch(programs.Host{}),
		Clock: clock.Of(func() int64 { return int64(now) }, func() time.Time { return time.Unix(1e9, 0) }),
	})
}

// Groups whose counters are equal share maps, and no other group shows them.
func TestEveryGroupShowsItsOwnCounters(t *testing.T) {
	t.Parallel()
	o := manyGroups(4)
	stats := func(i int) *loader.GroupStats {
		return &o.loop.View().Groups[i].Now().Plane.(*countedGroup).reading.Stats
	}
	stats(1).Rejected[0], stats(2).ForeignVRRP, stats(3).Dropped[1] = 5, 6, 7
	for range 2 {
		st, err := o.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range st.Groups {
			c, k := &st.Groups[i].Counters, stats(i)
			for j, reason := range rejectReasons {
				if n, ok := c.AdvertisementsRejected[reason]; !ok || n != k.Rejected[j] {
					t.Errorf("group %d: %s %d, %v", i, reason, n, ok)
				}
			}
			for j, reason := range dropReasons {
				if n, ok := c.FramesDropped[reason]; !ok || n != k.Dropped[j] {
					t.Errorf("group %d: %s %d, %v", i, reason, n, ok)
				}
			}
			if n, ok := c.AdvertisementsRejected[foreignVRRP]; !ok || n != k.ForeignVRRP {
				t.Errorf("group %d: %s %d, %v", i, foreignVRRP, n, ok)
			}
		}
		*stats(0), *stats(3) = *stats(3), *stats(0)
	}
}

// BenchmarkStatus is a status of as many groups as 16 interfaces can have, as the status page reads it.
func BenchmarkStatus(b *testing.B) {
	o := manyGroups(4080)
	o.NoteCounters()
	b.ReportAllocs()
	for b.Loop() {
		if st, err := o.Status(b.Context()); err != nil || len(st.Groups) != 4080 {
			b.Fatal(len(st.Groups), err)
		}
	}
}
