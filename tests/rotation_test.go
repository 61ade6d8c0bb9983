// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"regexp"
	"testing"
	"time"

	"vipd/tests/lab"
)

const (
	oldPassword = lab.Password
	newPassword = "another password"
)

// acceptPassword returns a [[vip.accept]] with a password.
func acceptPassword(password string) string {
	return fmt.Sprintf("[[vip.accept]]\npassword = %q\n", password)
}

// rotating returns the usual group with a password and one that is accepted as well, unless that is "".
func rotating(advskew int, password, accepted string) lab.NodeConfig {
	c := oneVIP(advskew)
	c.Groups[0].Password = password
	if accepted != "" {
		c.Groups[0].Extra = acceptPassword(accepted)
	}
	return c
}

// reload puts a config in force on a live node.
func reload(n *lab.Node, c lab.NodeConfig) {
	n.WriteConfig(c)
	n.MustCTL("reload")
}

// steady checks that a is MASTER and b BACKUP all the time: neither has made a transition, the one speaks and the other
// never did, and the client loses nothing.
type steady struct {
	p              *pair
	a, b           lab.GroupStatus
	spoken, silent *lab.Sniffer
	pinger         *lab.Pinger
}

func (p *pair) holdSteady() *steady {
	p.Helper()
	s := &steady{p: p, a: p.a.Group(group), b: p.b.Group(group), spoken: p.portA.Sniff(), silent: p.portB.Sniff()}
	s.pinger = p.client.Ping(vip, 10*time.Millisecond)
	s.pinger.AwaitAnswer(time.Now(), patience)
	return s
}

// check is to be called after each step: it waits until b has heard two adverts of it.
func (s *steady) check(t *testing.T, step string) {
	t.Helper()
	heard := s.p.b.Group(group).Counters.Received
	s.p.b.WaitFor(
		group,
		"hears a after: "+step,
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Received >= heard+2 },
	)
	for node, was := range map[*lab.Node]lab.GroupStatus{s.p.a: s.a, s.p.b: s.b} {
		got := node.Group(group)
		if got.State != was.State || !sameTime(got.Since, was.Since) {
			t.Fatalf("%s: %s is %s (%s) since %v, was %s since %v",
				step, node.Name, got.State, got.Reason, got.Since, was.State, was.Since)
		}
		if bad := got.Counters.Rejected["bad_hmac"]; bad > 0 {
			t.Errorf("%s: %s refused %d adverts as bad_hmac", step, node.Name, bad)
		}
	}
}

func (s *steady) end(t *testing.T) {
	t.Helper()
	r := s.pinger.Stop()
	t.Logf("client: %v", r)
	if r.Lost > 0 || r.Doubles > 0 {
		t.Errorf("client: %v; nothing should be lost", r)
	}
	if spoken := s.silent.Frames().FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("b spoke for the VIP:\n%v", spoken)
	}
	if spoken := s.spoken.Frames().FromHost().Adverts(vhid); len(spoken) < 4 {
		t.Errorf("a sent %d adverts: the test proves nothing", len(spoken))
	}
}

// A password is changed on two live nodes, one after the other, and nothing moves; the status shows at each step which
// one the peer uses.
func TestPasswordIsChangedStepByStep(t *testing.T) {
	t.Parallel()
	p := newPair(t, rotating(0, oldPassword, ""), rotating(10, oldPassword, ""))
	p.start()
	s := p.holdSteady()
	reload(p.b, rotating(10, oldPassword, newPassword))
	s.check(t, "b accepts the new one")
	reload(p.a, rotating(0, oldPassword, newPassword))
	s.check(t, "a accepts the new one")
	if used := contexts(p.b); used["accept 1"] != 0 || used["own"] == 0 {
		t.Errorf("b counts %v, but a still signs with b's own", used)
	}

	reload(p.a, rotating(0, newPassword, oldPassword))
	s.check(t, "a signs with the new one")
	if out := p.b.MustCTL("show",
		group); !regexp.MustCompile(`Signed with +own [1-9]\d*, accept 1 [1-9]`).MatchString(out) {
		t.Errorf("show does not tell that a signs with what b accepts besides its own:\n%s", out)
	}
	before := contexts(p.b)
	s.check(t, "still")
	if after := contexts(p.b); after["accept 1"] == before["accept 1"] || after["own"] != before["own"] {
		t.Errorf("b counted %v and then %v, but a signs with the new one alone", before, after)
	}

	reload(p.b, rotating(10, newPassword, oldPassword))
	s.check(t, "b signs with the new one")
	before = contexts(p.b)
	s.check(t, "still")
	if after := contexts(p.b); after["own"] == before["own"] || after["accept 1"] != before["accept 1"] {
		t.Errorf("b counted %v and then %v, but the old one is no longer used", before, after)
	}
	for name, n := range contexts(p.b) {
		if got := metric(p.b.Metrics(),
			fmt.Sprintf(`vipd_advertisements_context_total{context=%q,interface="eth0",vhid="1"}`, name)); got < float64(n) {
			t.Errorf("metric of context %s is %v, want %d or more", name, got, n)
		}
	}

	reload(p.a, rotating(0, newPassword, ""))
	reload(p.b, rotating(10, newPassword, ""))
	s.check(t, "both have forgotten the old one")
	s.end(t)

	// The old one is gone: a peer that still uses it is refused.
	newPeer(p.clientPort, addrClient).goodbye()
	p.b.WaitFor(
		group,
		"refuses the old password",
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Rejected["bad_hmac"] == 1 },
	)
	if g := p.b.Group(group); g.State != lab.Backup {
		t.Errorf("b is %s (%s)", g.State, g.Reason)
	}
}

// In the middle of the change, each node signing with a password of its own, both directions of a failover work.
func TestFailoverInTheMiddleOfAPasswordChange(t *testing.T) {
	t.Parallel()
	p := newPair(t, rotating(0, newPassword, oldPassword), rotating(10, oldPassword, newPassword))
	p.a.Start()
	p.b.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.WaitState(group, lab.Backup, patience)
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	stopped := p.a.Stop() // its goodbye is signed with what is not b's own
	p.b.WaitAnswering(group, 2*time.Second)
	pinger.AwaitAnswer(time.Now(), patience)
	p.a.Start() // and preempts b, whose adverts it accepts
	p.a.WaitAnswering(group, patience)
	g := p.b.WaitState(group, lab.Backup, patience)
	if g.Reason != "better_advert" {
		t.Errorf("b gave way for the reason %q", g.Reason)
	}
	time.Sleep(time.Second)
	p.assertOneMaster(t)
	r := pinger.Stop()
	assertGap(t, r, stopped, 500*time.Millisecond)
}

func contexts(n *lab.Node) map[string]uint64 {
	out := map[string]uint64{}
	for _, c := range n.Group(group).Contexts {
		out[c.Name] = c.Received
	}
	return out
}

// A VIP is added on one node after the other, the MASTER or the BACKUP first, and nothing moves.
func TestVIPIsAddedOnOneNodeAfterTheOther(t *testing.T) {
	t.Parallel()
	const one, two = "192.0.2.100/24", "192.0.2.101/24"
	second := netip.MustParseAddr("192.0.2.101")
	config := func(advskew int, accepted string, own ...string) lab.NodeConfig {
		c := lab.NodeConfig{Groups: []lab.Group{{Addresses: own, AdvSkew: advskew}}}
		if accepted != "" {
			c.Groups[0].Extra = "[[vip.accept]]\naddresses = [" + accepted + "]\n"
		}
		return c
	}
	const both = `"` + one + `", "` + two + `"`
	for _, masterFirst := range []bool{true, false} {
		p := newPair(t, config(0, "", one), config(10, "", one))
		p.start()
		s := p.holdSteady()
		steps := []struct {
			node *lab.Node
			skew int
		}{{p.a, 0}, {p.b, 10}}
		if !masterFirst {
			steps[0], steps[1] = steps[1], steps[0]
		}
		for _, st := range steps {
			reload(st.node, config(st.skew, both, one))
			s.check(t, st.node.Name+" accepts two addresses")
		}
		for _, st := range steps {
			reload(st.node, config(st.skew, `"`+one+`"`, one, two))
			s.check(t, st.node.Name+" has two addresses")
		}
		for _, st := range steps {
			reload(st.node, config(st.skew, "", one, two))
			s.check(t, st.node.Name+" has forgotten the list of one address")
		}
		s.end(t)
		p.a.Kill9()
		p.b.WaitAnswering(group, patience)
		for _, address := range []netip.Addr{vip, second} {
			if replies := p.clientPort.AnswersARP(addrClient, address, 100*time.Millisecond); len(replies) != 1 ||
				replies[0].Src() != vmac {
				t.Errorf("master first %v: answers for %v:\n%v", masterFirst, address, replies)
			}
		}
	}
}
