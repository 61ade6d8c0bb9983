// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// handovers is how often the address changes hands in a row, in all ways in turn. The client's pings are
// 2 ms apart; this test measures, and its two modes run beside each other and nothing else.
const handovers = 20

// handover is one way to hand an address over, and to undo it.
type handover struct {
	name, reason string
	over         string // what the command has to say, with the successor's address
	do           func(from *lab.Node) string
	undo         func(from *lab.Node)
}

var planned = []handover{
	{"yield", "yield", " took over", func(n *lab.Node) string { return n.MustCTL("yield", group) }, func(*lab.Node) {}},
	{
		"maintenance", "", " took over",
		func(n *lab.Node) string { return n.MustCTL("maintenance", "enter", "--wait") },
		func(n *lab.Node) { n.MustCTL("maintenance", "leave") },
	},
	{
		"disable", "disabled", "",
		func(n *lab.Node) string { return n.MustCTL("disable") },
		func(n *lab.Node) { n.MustCTL("enable") },
	},
	{"stop", "", "", func(n *lab.Node) string { n.Stop(); return "" }, func(n *lab.Node) { n.Start() }},
}

func TestTwentyHandoversLoseNoPing(t *testing.T) {
	inModes(t, func(t *testing.T, mode string) {
		t.Parallel()
		twentyHandoversLoseNoPing(t, mode)
	})
}

func twentyHandoversLoseNoPing(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(0)))
	p.start()
	from, to, toAddr := p.a, p.b, addrB.String()
	lost, clean := 0, 0
	for i := range handovers {
		way := planned[i/2%len(planned)] // each in both directions
		pinger := p.client.Ping(vip, pingSpacing)
		pinger.AwaitAnswer(time.Now(), patience)
		time.Sleep(100 * time.Millisecond)
		out := way.do(from)
		to.WaitAnswering(group, 2*time.Second)
		time.Sleep(100 * time.Millisecond)
		r := pinger.Stop()
		t.Logf("%2d: %s: %s; client: %v", i+1, way.name, strings.TrimSpace(out), r)
		if way.over != "" && (!strings.Contains(out, toAddr+way.over) || !strings.Contains(out, "without a gap")) {
			t.Errorf("handover %d: the command does not say who took over without a gap: %s", i+1, out)
		}
		if way.reason != "" {
			from.WaitFor(group, "gave the address up: "+way.reason, patience, func(g lab.GroupStatus) bool {
				return g.State != lab.Master && g.Reason == way.reason
			})
		}
		if r.Doubles > 0 || r.Lost > 0 {
			t.Errorf("handover %d (%s): %d pings lost and %d answered twice, want none", i+1, way.name, r.Lost, r.Doubles)
		}
		if lost += r.Lost; r.Lost == 0 {
			clean++
		}
		way.undo(from)
		from.WaitFor(group, "is BACKUP again and hears the other", patience, func(g lab.GroupStatus) bool {
			return g.State == lab.Backup && g.Master != nil && g.Master.Address == toAddr
		})
		from, to = to, from
		toAddr = map[string]string{addrA.String(): addrB.String(), addrB.String(): addrA.String()}[toAddr]
	}
	t.Logf("%d of %d handovers without a lost ping; %d lost in all", clean, handovers, lost)
}

// Without a successor the command fails, names --force, and the VIP stays; --force gives it up.
func TestYieldWithoutSuccessorKeepsTheVIP(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	at := time.Now()
	code, out := s.node.CTL("yield", group)
	if code != 1 || !strings.Contains(out, "no node took over") || !strings.Contains(out, "--force") {
		t.Errorf("exit code %d, want 1 and --force in:\n%s", code, out)
	}
	t.Logf("refused after %v", time.Since(at))
	if g := s.node.Group(group); g.State != lab.Master || !g.Dataplane.Answering {
		t.Errorf("after the refusal: %s, answering %v", g.State, g.Dataplane.Answering)
	}
	if code, out = s.node.CTL("maintenance", "enter", "--wait"); code != 1 ||
		!strings.Contains(out, "maintenance mode is on") || !strings.Contains(out, "--force") {
		t.Errorf("maintenance: exit code %d, want 1 and --force in:\n%s", code, out)
	}
	if st := s.node.Status(); !st.Maintenance || st.Groups[0].State != lab.Master {
		t.Errorf("after the refusal: maintenance %v, %s", st.Maintenance, st.Groups[0].State)
	}
	s.node.MustCTL("maintenance", "leave")
	if out := s.node.MustCTL("yield", group, "--force"); !strings.Contains(out, "given up") {
		t.Errorf("by force: %s", out)
	}
	if g := s.node.Group(group); g.State != lab.Backup || s.node.HasAddress("eth0", vip) {
		t.Errorf("after giving up: %s, address there: %v", g.State, s.node.HasAddress("eth0", vip))
	}
}

// A peer that does not preempt takes over too: it heeds the demote byte, or the goodbye.
func TestMaintenanceWaitsForAPeerWithoutPreemption(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), noPreempt(oneVIP(10)))
	p.start()
	pinger := p.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	out := p.a.MustCTL("maintenance", "enter", "--wait")
	if !strings.Contains(out, addrB.String()+" took over") || !strings.Contains(out, "without a gap") {
		t.Errorf("the command does not say who took over without a gap: %s", out)
	}
	p.b.WaitAnswering(group, 2*time.Second)
	time.Sleep(200 * time.Millisecond)
	t.Logf("%s; client: %v", strings.TrimSpace(out), pinger.Stop())
}

// The history survives a restart and kill -9, with the advert that caused each transition.
func TestHistoryOutlivesTheDaemon(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	s.node.Stop()
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	s.node.Kill9()
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	out := s.node.MustCTL("history", group)
	for _, want := range []string{
		"goodbye         192.0.2.50 255/255", "MASTER  INIT    stop",
		"INIT    BACKUP  startup",
	} {
		if !strings.Contains(strings.Join(strings.Fields(out), " "), strings.Join(strings.Fields(want), " ")) {
			t.Errorf("no %q in the history:\n%s", want, out)
		}
	}
	if n := strings.Count(out, " startup "); n != 3 {
		t.Errorf("%d starts in the history, want 3:\n%s", n, out)
	}
	if newest := s.node.MustCTL("history", "-n", "1"); strings.Count(newest, "\n") != 2 ||
		!strings.Contains(newest, "startup") {
		t.Errorf("the newest one:\n%s", newest)
	}
}

// restart ends vipd without a supervisor that starts the next one: the VIP stays where it is, and is answered for.
func TestRestartMovesNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	asShipped(t, p.a, p.b)
	p.start()
	before := p.a.Group(group)
	pinger := p.client.Ping(vip, pingSpacing)
	pinger.AwaitAnswer(time.Now(), patience)
	if code, out := p.a.CTL("restart", "--timeout", "200ms"); code != 1 || !strings.Contains(out, "systemctl start vipd") {
		t.Errorf("without a supervisor: exit code %d, want 1 and what to do in:\n%s", code, out)
	}
	p.a.Start()
	g := p.a.WaitAnswering(group, patience)
	time.Sleep(3500 * time.Millisecond) // longer than the lease that was adopted
	r := pinger.Stop()
	t.Logf("client: %v", r)
	if r.Lost > 0 {
		t.Errorf("%d pings lost in a restart, want 0", r.Lost)
	}
	if g.Generation != before.Generation || p.b.Group(group).State != lab.Backup {
		t.Errorf(
			"generation %d after the restart and %d before; b is %s",
			g.Generation,
			before.Generation,
			p.b.Group(group).State,
		)
	}
}
