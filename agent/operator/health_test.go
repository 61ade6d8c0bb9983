// SPDX-License-Identifier: Apache-2.0

package operator

import (
	"slices"
	"testing"
	"time"

	"vipd/agent/clock"
	"vipd/agent/config"
	"vipd/agent/election"
	"vipd/agent/view"
)

// The loop is alive while it goes round, whether or not it would answer.
func TestAliveDoesNotAskTheLoop(t *testing.T) {
	t.Parallel()
	now := int64(time.Hour)
	l := &silentLoop{lastRound: election.Instant(now)}
	o := New(Options{Loop: l, Clock: clock.Of(func() int64 { return now }, time.Now)})
	now += int64(loopDead)
	if err := o.Alive(); err != nil {
		t.Error(err)
	}
	now++
	if err := o.Alive(); err == nil {
		t.Error("a loop whose last round began more than two seconds ago is alive")
	}
}

func TestUnready(t *testing.T) {
	t.Parallel()
	group := func(name, ifname string, m election.View, detail string) *view.Live {
		p := view.NewPublisher(name)
		p.Publish(&view.Group{Config: &config.Group{Interface: ifname}, Machine: m, Detail: detail})
		return p.Live()
	}
	of := func(s election.State, r election.Reason) election.View { return election.View{State: s, Reason: r} }
	node := &view.Node{
		Interfaces: []view.Interface{{Name: "eth0", Index: 2}, {Name: "eth1"}},
		Groups: []*view.Live{
			group("eth0@1", "eth0", of(election.Master, 0), ""),
			group("eth0@2", "eth0", of(election.Init, election.ReasonLinkDown), "no link"),
			group("eth0@3", "eth0", of(election.Init, election.ReasonAttachFailed), "no room"),
			group("eth1@1", "eth1", of(election.Init, election.ReasonInterfaceMissing), "eth1 does not exist"),
		},
	}
	l := &silentLoop{node: node, ending: true}
	o := New(Options{Loop: l})
	want := []string{
		"vipd is stopping",
		"the data plane of eth0@3 is not attached: no room",
		"the data plane of eth1@1 is not attached: eth1 does not exist",
	}
	if got := o.Unready(); !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	l.ending, node.Groups = false, node.Groups[:2]
	if got := o.Unready(); got != nil {
		t.Errorf("%q, want nothing", got)
	}
}
