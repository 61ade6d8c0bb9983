// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// A demotion by hand is advertised at once and moves the VIP to a preempting peer at once; taking it off, resetting all
// and its end by itself move it back at once. The client loses next to nothing.
func TestDemotionByHandMovesTheVIPAtOnce(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	p.start()
	sniffer := p.portA.Sniff()
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)

	if out := p.a.MustCTL("demotion", "list"); !strings.Contains(out, "Nothing") {
		t.Errorf("a list without a demotion:\n%s", out)
	}
	for _, r := range []struct {
		name      string
		add, take []string
	}{
		{
			"remove",
			[]string{"demotion", "add", "upgrade", "240", "--reason", "router upgrade"},
			[]string{"demotion", "remove", "upgrade"},
		},
		{"reset", []string{"demotion", "add", "upgrade", "240"}, []string{"demotion", "reset"}},
		{"expire", []string{"demotion", "add", "upgrade", "240", "--for", "2s"}, nil},
	} {
		added := time.Now()
		p.a.MustCTL(r.add...)
		// One of before may leave while the command starts.
		first := sniffer.Await(time.Second, "an advert with the demotion", func(f lab.Frame) bool {
			ad, ok := f.Advert()
			return ok && f.FromHost && f.At.After(added) && ad.VHID == vhid && (ad.AdvSkew != 0 || ad.Demote != 0)
		})
		if ad, _ := first.Advert(); ad.AdvSkew != 240 || ad.Demote != 240 {
			t.Errorf("%s: the first advert with it says %+v, want skew and demote byte 240", r.name, ad)
		}
		p.b.WaitAnswering(group, time.Second)
		g := p.a.WaitState(group, lab.Backup, time.Second)
		moved := time.Now()
		t.Logf("%s: moved within %v", r.name, moved.Sub(added))
		if g.EffectiveAdvSkew != 240 {
			t.Errorf("%s: effective advskew %d", r.name, g.EffectiveAdvSkew)
		}
		if s := p.a.Status(); s.Demotion != 240 || len(s.Demotions) != 1 || s.Demotions[0].Name != "upgrade" ||
			s.Demotions[0].Expires.IsZero() != (r.name != "expire") {
			t.Errorf("%s: the status says %d, %+v", r.name, s.Demotion, s.Demotions)
		}
		if out := p.a.MustCTL("demotion", "list"); !strings.Contains(out, "upgrade") || !strings.Contains(out, "240") {
			t.Errorf("%s: list:\n%s", r.name, out)
		}
		if code, _ := p.a.CTL("status", "--check"); code != 4 {
			t.Errorf("%s: status --check of a demoted node: exit code %d, want 4", r.name, code)
		}
		time.Sleep(500 * time.Millisecond)
		limit := 2500 * time.Millisecond // b's next advert, or two for the late one
		if r.take != nil {
			p.a.MustCTL(r.take...)
		} else {
			limit += 2 * time.Second
		}
		p.a.WaitAnswering(group, limit)
		p.b.WaitState(group, lab.Backup, patience)
		if s := p.a.Status(); s.Demotion != 0 || len(s.Demotions) != 0 {
			t.Errorf("%s: afterwards the status says %d, %+v", r.name, s.Demotion, s.Demotions)
		}
		time.Sleep(500 * time.Millisecond)
	}
	r := pinger.Stop()
	assertGap(t, r, time.Now(), 300*time.Millisecond)
}

// A demoted BACKUP does not preempt, but takes over when the master dies.
func TestDemotedBackupStillTakesOver(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	p.start()
	p.a.MustCTL("demotion", "add", "upgrade", "240")
	p.b.WaitAnswering(group, time.Second)
	p.a.WaitState(group, lab.Backup, time.Second)
	time.Sleep(3 * time.Second) // b's adverts are worse than a's own skew, not than its demoted one
	if g := p.a.Group(group); g.State != lab.Backup {
		t.Fatalf("demoted, a is %s (%s)", g.State, g.Reason)
	}
	p.b.Kill9()
	p.a.WaitAnswering(group, patience)
}

// An OpenBSD peer takes over from a demoted master whatever the skews say, and never sends a demote byte other than 0
// itself: the demoted node knows it by its constant counter and gives way, though its own skew is the better one.
func TestDemotedNodeYieldsToOpenBSD(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	s.node.MustCTL("demotion", "add", "bgp", "30")
	// Built once and sent again and again, as OpenBSD's constant cookie makes them alike.
	openbsd := newPeer(s.clientPort, netip.MustParseAddr("192.0.2.13"))
	advert := openbsd.build(func(f *wire.AdvertFrame) { f.Advert.AdvBase, f.Advert.AdvSkew = 1, 100 })

	// The control: a peer that counts is a FreeBSD, which ignores the byte and will yield itself.
	other := newPeer(s.clientPort, addrB)
	for range 3 {
		other.send(1, 100, 0)
		time.Sleep(200 * time.Millisecond)
	}
	s.node.WaitFor(group, "has heard it", patience, func(g lab.GroupStatus) bool { return g.Counters.Received >= 4 })
	if g := s.node.Group(group); g.State != lab.Master || g.EffectiveAdvSkew != 30 {
		t.Fatalf("a worse peer that counts made the node %s (%s), effective skew %d", g.State, g.Reason, g.EffectiveAdvSkew)
	}

	openbsd.injector.Send(advert)
	time.Sleep(300 * time.Millisecond)
	if g := s.node.Group(group); g.State != lab.Master {
		t.Errorf("its first advert made the node %s (%s)", g.State, g.Reason)
	}
	openbsd.injector.Send(advert)
	g := s.node.WaitState(group, lab.Backup, patience)
	if g.Reason != "demoted" {
		t.Errorf("gave way for the reason %q, want demoted", g.Reason)
	}
}
