// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net/netip"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// OpenBSD's master-down time counts the skew three times, FreeBSD's once.
func TestMasterDownTimeFollowsTheRule(t *testing.T) {
	t.Parallel()
	const skew = 200
	for rule, want := range map[string]time.Duration{
		"freebsd": 3*time.Second + skew*time.Second/256,
		"openbsd": 3 * (time.Second + skew*time.Second/256),
	} {
		c := oneVIP(skew)
		c.Carp = "master_down = \"" + rule + "\"\n"
		s := newSingle(t, c)
		sniffer := s.port.Sniff()
		s.node.Start()
		s.node.WaitState(group, lab.Backup, patience)
		heard := newPeer(s.clientPort, addrClient).send(1, 0, 0)
		first := sniffer.FirstSpeaking(heard, patience, vip, vmac)
		took := first.At.Sub(heard)
		t.Logf("%s: %v after the last advert", rule, took)
		if took < want || took > want+time.Second {
			t.Errorf("%s: took over %v after the last advert, want %v and a little", rule, took, want)
		}
	}
}

// During preempt_delay a worse master is left alone, then it is preempted; a dead or leaving one is replaced at once.
func TestPreemptDelayDelaysPreemptionOnly(t *testing.T) {
	t.Parallel()
	const delay = 4 * time.Second
	config := func() lab.NodeConfig {
		c := oneVIP(0)
		c.Carp = "preempt_delay = \"4s\"\n"
		return c
	}
	p := newPair(t, config(), oneVIP(100))
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	started := p.a.Start()
	g := p.a.WaitAnswering(group, patience)
	took := time.Since(started)
	t.Logf("preempted %v after the start", took)
	if g.Reason != "preempt" || took < delay {
		t.Errorf("MASTER for the reason %q %v after the start, want preempt after %v", g.Reason, took, delay)
	}
	p.b.WaitState(group, lab.Backup, patience)
	p.a.Stop()
	p.b.WaitAnswering(group, time.Second)

	p.a.Start()
	p.a.WaitFor(group, "hears b", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Counters.Received > 0
	})
	stopped := p.b.Stop()
	p.a.WaitAnswering(group, time.Second) // within the delay
	if g := p.a.Group(group); g.Reason != "goodbye" {
		t.Errorf("MASTER for the reason %q %v after the goodbye", g.Reason, time.Since(stopped))
	}
}

// A list with a link-local address has two digests; both are accepted, and the one that is sent is a setting.
func TestDigestsWithAndWithoutLinkLocalAddresses(t *testing.T) {
	t.Parallel()
	linkLocal := netip.MustParseAddr("fe80::100")
	all, without := []netip.Addr{vip, linkLocal}, []netip.Addr{vip}
	for digest, sent := range map[string][]netip.Addr{"all": all, "no-link-local": without} {
		c := lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip.String() + "/24", "fe80::100/64"}, AdvSkew: 10}}}
		s := newSingle(t, withExtra(c, "digest = \""+digest+"\"\n"))
		sniffer := s.port.Sniff()
		s.node.Start()
		s.node.WaitState(group, lab.Backup, patience)
		p := newPeer(s.clientPort, addrClient)
		for i, signed := range [][]netip.Addr{all, without} {
			p.prefix = wire.DigestPrefix(vhid, signed, nil)
			p.send(1, 0, 0)
			g := s.node.WaitFor(group, "counts an advert", patience, func(g lab.GroupStatus) bool {
				return g.Counters.Received+g.Counters.Rejected["bad_hmac"] == uint64(i+1)
			})
			if g.Counters.Rejected["bad_hmac"] > 0 {
				t.Errorf("digest %s: one over %v is refused", digest, signed)
			}
		}
		p.goodbye()
		s.node.WaitAnswering(group, patience)
		assertSigned(t, sniffer, digest, wire.DigestPrefix(vhid, sent, nil), 2)
	}
}

// An lladdr that was set by hand on the peers' carp interface is part of the digest.
func TestLLAddrIsSigned(t *testing.T) {
	t.Parallel()
	mac := [6]byte{2, 0x11, 0x22, 0x33, 0x44, 0x55}
	s := newSingle(t, withExtra(oneVIP(10), "lladdr = \"02:11:22:33:44:55\"\n"))
	sniffer := s.port.Sniff()
	s.node.Start()
	s.node.WaitState(group, lab.Backup, patience)
	p := newPeer(s.clientPort, addrClient)
	p.goodbye()
	s.node.WaitFor(
		group,
		"refuses a digest without it",
		patience,
		func(g lab.GroupStatus) bool { return g.Counters.Rejected["bad_hmac"] == 1 },
	)
	p.prefix = wire.DigestPrefix(vhid, []netip.Addr{vip}, &mac)
	p.goodbye()
	s.node.WaitAnswering(group, patience)
	assertSigned(t, sniffer, "lladdr", p.prefix, 1)
}

// assertSigned checks that the first adverts from the port are signed over prefix.
func assertSigned(t *testing.T, sniffer *lab.Sniffer, name string, prefix []byte, n int) {
	t.Helper()
	sniffer.Await(patience, name+": as many adverts", func(lab.Frame) bool {
		return len(sniffer.Frames().FromHost().Adverts(vhid)) >= n
	})
	adverts := sniffer.Frames().FromHost().Adverts(vhid)
	key, err := wire.NewKey([]byte(lab.Password))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range adverts {
		parsed, err := wire.ParseAdvertFrame(f.Data)
		if err != nil {
			t.Fatal(err)
		}
		if parsed.Advert.Digest != key.Digest(prefix, parsed.Advert.Counter) {
			t.Errorf("%s: %v is signed over something else", name, f)
		}
	}
}
