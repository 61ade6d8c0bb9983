// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// Nodes that can do their work by halves: one of two families, some of the peers.

// switchIPv6 switches IPv6 of eth0 on or off, as an operator or a hardening script does.
func switchIPv6(h *lab.Host, on bool) {
	h.Set("ipv6/conf/eth0/disable_ipv6", map[bool]string{true: "0", false: "1"}[on])
}

// flush takes all addresses off and puts the IPv4 one back.
func flush(t *testing.T, h *lab.Host, v4 netip.Addr) {
	t.Helper()
	err := h.Within(func() error { return exec.Command("ip", "address", "flush", "dev", "eth0").Run() })
	if err != nil {
		t.Fatalf("flush: %v", err)
	}
	h.AddAddress("eth0", v4.String()+"/24")
}

// awaitHalf waits until the node says what it cannot reach, and checks that it says so everywhere.
func awaitHalf(t *testing.T, n *lab.Node, cause string) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for n.Status().Demotion < 240 {
		if time.Now().After(deadline) {
			t.Fatalf("%s is not demoted: %+v", n.Name, n.Status().Demotions)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code, out := n.CTL("status", "--check"); code != 4 || !strings.Contains(out, cause) {
		t.Errorf("status --check: %d, %s", code, out)
	}
	for _, args := range [][]string{{"status"}, {"why", group}, {"demotion", "list"}, {"doctor", "--for", "1"}} {
		if _, out := n.CTL(args...); !strings.Contains(out, cause) || !strings.Contains(out, "source:eth0") &&
			args[0] != "doctor" {
			t.Errorf("%s does not name the cause:\n%s", args[0], out)
		}
	}
}

// halfPair is a dual-stack pair, of which a is the better node.
type halfPair struct {
	*pair
}

func newHalfPair(t *testing.T, preempt bool) *halfPair {
	t.Helper()
	config := func(skew int) lab.NodeConfig {
		if preempt {
			return dualStack(skew)
		}
		return noPreempt(dualStack(skew))
	}
	p := newPairWith(t, []string{"/24", "/64"}, config(0), config(100))
	asShipped(t, p.a, p.b)
	return &halfPair{pair: p}
}

// bothSettings runs the test with and without preemption.
func bothSettings(t *testing.T, test func(*testing.T, *halfPair)) {
	for _, preempt := range []bool{true, false} {
		t.Run(fmt.Sprintf("preempt %v", preempt), func(t *testing.T) {
			t.Parallel()
			test(t, newHalfPair(t, preempt))
		})
	}
}

// afterwards checks that b owns and goes on owning, that a serves IPv4 when b is gone, and that it is itself again,
// without a flap, when its family is back.
func (p *halfPair) afterwards(t *testing.T, repair func()) {
	t.Helper()
	owned := p.b.WaitAnswering(group, masterDown)
	ping := p.client.Ping(vip, 5*time.Millisecond)
	ping.AwaitAnswer(time.Now(), patience)
	time.Sleep(4 * time.Second)
	if g := p.b.Group(group); g.State != lab.Master || !sameTime(g.Since, owned.Since) {
		t.Errorf("b is %s (%s) since %v, was MASTER since %v", g.State, g.Reason, g.Since, owned.Since)
	}
	if g := p.a.Group(group); g.State != lab.Backup {
		t.Errorf("a is %s (%s)", g.State, g.Reason)
	}
	killed := p.b.Kill9()
	since := p.a.WaitAnswering(group, patience).Since
	ping.AwaitAnswer(time.Now(), patience)
	time.Sleep(5 * time.Second) // it offers a handover again and again; no peer accepts
	r := ping.Stop()
	assertGap(t, r, killed, masterDown+100*time.Millisecond)
	repair()
	deadline := time.Now().Add(patience)
	for p.a.Status().Demotion != 0 {
		if time.Now().After(deadline) {
			t.Fatalf("still demoted after the repair: %+v", p.a.Status().Demotions)
		}
		time.Sleep(20 * time.Millisecond)
	}
	g := p.a.WaitFor(
		group,
		"advertises as configured",
		patience,
		func(g lab.GroupStatus) bool { return g.EffectiveAdvSkew == 0 },
	)
	if g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("after the repair a is %s (%s) since %v with skew %d, was MASTER since %v",
			g.State, g.Reason, g.Since, g.EffectiveAdvSkew, since)
	}
	v6 := p.client.Ping(vip6, 5*time.Millisecond)
	v6.AwaitAnswer(time.Now(), patience)
	v6.Stop()
}

// The better node joins without IPv6: the owner keeps the addresses.
func TestBetterNodeWithoutIPv6DoesNotTakeOver(t *testing.T) {
	t.Parallel()
	bothSettings(t, func(t *testing.T, p *halfPair) {
		switchIPv6(p.a.Host, false)
		p.b.Start()
		p.b.WaitAnswering(group, upTimeout)
		before := p.b.Group(group)
		v4, v6 := p.client.Ping(vip, 5*time.Millisecond), p.client.Ping(vip6, 5*time.Millisecond)
		v4.AwaitAnswer(time.Now(), patience)
		v6.AwaitAnswer(time.Now(), patience)
		sent := p.portA.Sniff()
		started := p.a.Start()
		awaitHalf(t, p.a, "IPv6")
		time.Sleep(4 * time.Second)
		for _, ping := range []*lab.Pinger{v4, v6} {
			r := ping.Stop()
			assertGap(t, r, started, 200*time.Millisecond)
		}
		if g := p.b.Group(group); g.State != lab.Master || !sameTime(g.Since, before.Since) {
			t.Errorf("b is %s (%s) since %v", g.State, g.Reason, g.Since)
		}
		if got := sent.Frames().FromHost().Adverts(vhid); len(got) > 0 {
			t.Errorf("a advertised:\n%v", got)
		}
		p.afterwards(t, func() { switchIPv6(p.a.Host, true) })
		if got := sent.Frames().FromHost().Adverts(vhid); len(got) == 0 {
			t.Error("a was never seen to advertise: the test proves nothing")
		}
	})
}

// The better node is there first, without IPv6: it serves IPv4, and the healthy one that joins owns within a
// master-down time.
func TestHealthyNodeTakesOverFromOneWithoutIPv6(t *testing.T) {
	t.Parallel()
	bothSettings(t, func(t *testing.T, p *halfPair) {
		switchIPv6(p.a.Host, false)
		p.a.Start()
		p.a.WaitAnswering(group, upTimeout)
		awaitHalf(t, p.a, "IPv6")
		v4 := p.client.Ping(vip, 5*time.Millisecond)
		v4.AwaitAnswer(time.Now(), patience)
		started := p.b.Start()
		// From then on the time counts. On a busy machine nobody may look while it is BACKUP.
		p.b.WaitFor(group, "has left INIT", patience, func(g lab.GroupStatus) bool { return g.State != lab.Init })
		p.b.WaitAnswering(group, masterDown+100*time.Millisecond)
		time.Sleep(time.Second)
		r := v4.Stop()
		assertGap(t, r, started, masterDown+100*time.Millisecond)
		p.afterwards(t, func() { switchIPv6(p.a.Host, true) })
	})
}

// IPv6 is switched off, or flushed, on the running MASTER: the other node takes over.
func TestMasterThatLosesIPv6IsReplaced(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"disable_ipv6", "flush"} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			bothSettings(t, func(t *testing.T, p *halfPair) {
				p.startNaturally()
				v4, v6 := p.client.Ping(vip, 5*time.Millisecond), p.client.Ping(vip6, 5*time.Millisecond)
				v4.AwaitAnswer(time.Now(), patience)
				v6.AwaitAnswer(time.Now(), patience)
				lost := time.Now()
				repair := func() { switchIPv6(p.a.Host, true) }
				if how == "flush" {
					flush(t, p.a.Host, addrA)
					repair = func() { p.a.AddAddress("eth0", addrA6.String()+"/64") }
				} else {
					switchIPv6(p.a.Host, false)
				}
				p.b.WaitAnswering(group, masterDown+100*time.Millisecond)
				v6.AwaitAnswer(time.Now(), patience)
				time.Sleep(time.Second)
				for _, ping := range []*lab.Pinger{v4, v6} {
					r := ping.Stop()
					assertGap(t, r, lost, masterDown+100*time.Millisecond)
				}
				awaitHalf(t, p.a, "IPv6")
				p.afterwards(t, repair)
			})
		})
	}
}

// One list of peers for all nodes: each skips its own address and says so.
func TestOwnAddressAmongThePeersIsSkipped(t *testing.T) {
	t.Parallel()
	for _, both := range []bool{false, true} {
		t.Run(fmt.Sprintf("on both %v", both), func(t *testing.T) {
			t.Parallel()
			peersB := []netip.Addr{addrA}
			if both {
				peersB = append(peersB, addrB)
			}
			p := newPair(t, withPeers(oneVIP(0), addrA, addrB), withPeers(oneVIP(10), peersB...))
			asShipped(t, p.a, p.b)
			p.b.Start()
			p.b.WaitAnswering(group, upTimeout)
			ping := p.client.Ping(vip, 5*time.Millisecond)
			ping.AwaitAnswer(time.Now(), patience)
			started := p.a.Start() // preempts
			p.a.WaitAnswering(group, patience)
			p.b.WaitState(group, lab.Backup, patience)
			time.Sleep(time.Second)
			r := ping.Stop()
			assertGap(t, r, started, 300*time.Millisecond)
			nodes := map[*lab.Node]bool{p.a: true, p.b: both}
			for n, skips := range nodes {
				var st struct {
					Demotion int `json:"demotion"`
					Groups   []struct {
						Skipped []string `json:"skipped_peers"`
					} `json:"groups"`
				}
				if err := json.Unmarshal([]byte(n.MustCTL("status", "-o", "json")), &st); err != nil {
					t.Fatal(err)
				}
				named := slices.ContainsFunc(
					st.Groups[0].Skipped,
					func(s string) bool { return strings.Contains(s, "an address of this node") },
				)
				if st.Demotion != 0 || named != skips {
					t.Errorf("%s: demotion %d, skipped %q", n.Name, st.Demotion, st.Groups[0].Skipped)
				}
				if all := codesOf(examine(t, n)); slices.Contains(all, "peer_unresolved") {
					t.Errorf("%s: the doctor warns of its own address among the peers: %q", n.Name, all)
				}
			}
			killed := p.a.Kill9()
			p.b.WaitAnswering(group, patience)
			t.Logf("failover %v after kill -9", time.Since(killed))
		})
	}
}
