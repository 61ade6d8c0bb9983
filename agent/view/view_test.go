// SPDX-License-Identifier: Apache-2.0

package view

import (
	"fmt"
	"testing"
	"time"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/election"
)

func TestDemotions(t *testing.T) {
	t.Parallel()
	later := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	at := func(i election.Instant) time.Time { return later.Add(time.Duration(i)) }
	var none Demotions
	if none.Total() != 0 || none.List() != nil || none.Shown(at) == nil {
		t.Errorf("no demotions: %d, %v, %v", none.Total(), none.List(), none.Shown(at))
	}
	d := Demotions{
		{Demotion: api.Demotion{Name: "check:web", Value: 240}},
		{Demotion: api.Demotion{Name: "work", Value: -40}, End: election.Instant(time.Minute)},
	}
	shown := d.Shown(at)
	if d.Total() != 200 || !shown[0].Expires.IsZero() || !shown[1].Expires.Equal(later.Add(time.Minute)) {
		t.Errorf("total %d, shown %+v", d.Total(), shown)
	}
	shown[0].Value = 1
	if d.Total() != 200 || !d.List()[1].Expires.IsZero() {
		t.Error("what is shown changes what is seen")
	}
}

func TestHeld(t *testing.T) {
	t.Parallel()
	g := &Group{Machine: election.View{State: election.Backup, Hold: election.HoldYield, HoldUntil: 10}}
	if !g.Held(9) || g.Held(10) {
		t.Error("a hold lasts until its end, and no longer")
	}
	g.Machine.State = election.Master
	if g.Held(9) {
		t.Error("a MASTER is held back")
	}
}

func TestLive(t *testing.T) {
	t.Parallel()
	p := NewPublisher("eth0@1")
	g := p.Live()
	n := &Node{Groups: []*Live{g}, Interfaces: []Interface{{Name: "eth0", Index: 10}}}
	if n.Group("eth0@1") != g || n.Group("eth0@2") != nil || n.Interface("eth0").Index != 10 ||
		n.Interface("eth1").Name != "eth1" {
		t.Errorf("not found by name: %+v", n)
	}
	first := &Group{}
	if g.Now() != nil || p.Publish(first) != nil || g.Now() != first || p.Publish(&Group{}) != first {
		t.Error("a reader sees what was published last")
	}
	p.CountSent()
	p.CountFailed()
	p.CountRestored(2, 7)
	if n, last := g.Restored(); g.Sent() != 1 || g.Failed() != 1 || n != 2 || last != 7 {
		t.Errorf("sent %d, failed %d, restored %d at %d", g.Sent(), g.Failed(), n, last)
	}
}

// A lease that is renewed needs no new view; anything else does.
func TestUpdate(t *testing.T) {
	t.Parallel()
	p := NewPublisher("eth0@1")
	g := &Group{Machine: election.View{State: election.Master, Permit: election.Permit{Lease: 3000}, Next: 1000}}
	m := g.Machine
	if p.Last() != nil || p.Update(&m, &g.Repeats) {
		t.Error("nothing was published, and readers see it")
	}
	p.Publish(g)
	m.Lease, m.Next = 4000, 2000
	if !p.Update(&m, &g.Repeats) || p.Live().Now().Machine != m || p.Last() != g || g.Machine.Lease != 3000 {
		t.Errorf("a lease was renewed, and readers see %+v", p.Live().Now().Machine)
	}
	m.Lease, m.Next = 3500, 1500 // shorter than the last one
	if !p.Update(&m, &g.Repeats) || p.Live().Now().Machine != m {
		t.Errorf("a lease was cut, and readers see %+v", p.Live().Now().Machine)
	}
	other, heard := m, g.Repeats
	other.Next++
	heard.Note(election.Advert{At: 1})
	if p.Update(&other, &g.Repeats) || p.Update(&m, &heard) || p.Live().Now().Machine != m {
		t.Error("readers see what was not published")
	}
	m.State = election.Backup
	if p.Update(&m, &g.Repeats) {
		t.Error("a BACKUP is shown as a MASTER")
	}
}

// The claims that a BACKUP makes when a MASTER of many groups dies are spread over the interval as its adverts were.
func TestAdvertsOfManyGroupsAreSpread(t *testing.T) {
	t.Parallel()
	const groups, parts = 4000, 50
	cfg := &config.Config{}
	for i := range groups {
		cfg.Groups = append(cfg.Groups, config.Group{
			Interface: fmt.Sprintf("eth%d", i/250), VHID: uint8(i%250 + 1), AdvBase: 1,
		})
	}
	var in [parts]int
	for i := range cfg.Groups {
		in[ElectionConfig(cfg, &cfg.Groups[i]).Stagger*parts/time.Second]++
	}
	for i, n := range in {
		if n < groups/parts/2 || n > groups/parts*2 {
			t.Errorf("%d of %d groups in part %d of %d", n, groups, i, parts)
		}
	}
	few := &config.Config{Groups: cfg.Groups[:16]}
	if c := ElectionConfig(few, &few.Groups[0]); c.Stagger != 0 {
		t.Errorf("a few groups: %v", c.Stagger)
	}
}
