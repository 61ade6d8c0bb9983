// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"
)

// hellosIn returns the frames whose version nibble is 15, as sent by a vipd and heard by no other implementation.
func hellosIn(frames lab.Frames) lab.Frames {
	return frames.Where(func(f lab.Frame) bool {
		_, _, proto, _, payload, ok := f.IP()
		return ok && proto == lab.ProtoCARP && len(payload) > 0 && payload[0]>>4 == 15
	})
}

// checkHellos checks the frames of one node: addresses, MACs, TTL, and the tag under the lab's password.
func checkHellos(t *testing.T, of string, frames lab.Frames, src, dst netip.Addr, srcMAC, dstMAC [6]byte) {
	t.Helper()
	key, err := wire.NewKey([]byte(lab.Password))
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) == 0 {
		t.Errorf("%s sent no hello", of)
	}
	last := uint64(0)
	for _, f := range frames {
		from, to, _, ttl, payload, _ := f.IP()
		if from != src || to != dst || f.Src() != srcMAC || f.Dst() != dstMAC || ttl != 255 {
			t.Errorf("hello of %s from %s (%x) to %s (%x), TTL %d; want %s (%x) to %s (%x)", of, from, f.Src(), to, f.Dst(),
				ttl, src, srcMAC, dst, dstMAC)
		}
		h, err := wire.ParseHello(payload)
		if err != nil || h.Node != of || h.VHID != vhid || h.Number <= last {
			t.Errorf("hello of %s: %v, %+v after number %d", of, err, h, last)
			continue
		}
		if tag := binary.LittleEndian.Uint64(payload[16:]); tag != key.TrailerKey().HelloTag(from, to, payload) {
			t.Errorf("hello of %s has a wrong tag", of)
		}
		last = h.Number
	}
}

// hasStandbys reports whether the MASTER of the group names these nodes as standbys, and no others.
func hasStandbys(want ...string) func(lab.GroupStatus) bool {
	return func(g lab.GroupStatus) bool {
		var got []string
		for _, s := range g.Standbys {
			got = append(got, s.Node)
		}
		return slices.Equal(got, want)
	}
}

// A BACKUP reports to its MASTER by unicast, and the MASTER's status names it, with when it would take over, until it
// is killed. Each uses its own MAC: the switch goes on sending frames for the virtual one to the MASTER.
func TestMasterNamesItsStandby(t *testing.T) {
	t.Parallel()
	for _, fam := range []struct {
		name     string
		families []string
		config   func(int) lab.NodeConfig
		a, b     netip.Addr
	}{
		{"IPv6 only", []string{"/64"}, vip6Only, addrA6, addrB6},
		{"dual stack", []string{"/24", "/64"}, dualStack, addrA, addrB},
	} {
		t.Run(fam.name, func(t *testing.T) {
			t.Parallel()
			p := newPairWith(t, fam.families, fam.config(0), fam.config(100))
			fromA, fromB := p.portA.Sniff(), p.portB.Sniff()
			p.startNaturally()
			g := p.a.WaitFor(group, "names b as its standby", patience, hasStandbys("b"))
			s := g.Standbys[0]
			if s.State != lab.Backup || s.AdvSkew != 100 || s.EffectiveAdvSkew != 100 || s.Maintenance ||
				s.TakesOverIn < masterDown.Seconds() || s.TakesOverIn > skewed(100).Seconds()+0.001 {
				t.Errorf("standby %+v", s)
			}
			p.b.MustCTL("maintenance", "enter")
			p.a.WaitFor(group, "knows of the maintenance of b", patience, func(g lab.GroupStatus) bool {
				return hasStandbys("b")(g) && g.Standbys[0].Maintenance && g.Standbys[0].Demotion == 240
			})
			// An answer to what b said since then.
			said := len(hellosIn(fromA.Frames().FromHost()))
			p.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
				return len(hellosIn(fromA.Frames().FromHost())) > said, "an answer of a"
			})
			p.b.Kill9()
			p.a.WaitFor(group, "has no standby after the kill of b", patience, hasStandbys())

			sentA, sentB := hellosIn(fromA.Frames().FromHost()), hellosIn(fromB.Frames().FromHost())
			macA, macB := sentA[0].Src(), sentB[0].Src()
			srcA, srcB := fam.a, fam.b
			if !slices.Contains(fam.families, "/24") { // from the link-local addresses, as the adverts
				srcB, srcA, _, _, _, _ = sentB[0].IP()
				if !srcA.IsLinkLocalUnicast() || !srcB.IsLinkLocalUnicast() {
					t.Errorf("hellos between %s and %s", srcA, srcB)
				}
			}
			checkHellos(t, "b", sentB, srcB, srcA, macB, vmac)
			checkHellos(t, "a", sentA, srcA, srcB, macA, macB)
			if macA == vmac || macB == vmac {
				t.Error("a hello comes from the virtual MAC")
			}
			if n := p.a.Group(group).Counters.Rejected; len(n) > 0 && slices.Max(values(n)) > 0 {
				t.Errorf("a has refused %v", n)
			}
		})
	}
}

// All groups of an interface have a standby, though each of them reports rarely, and none has one any more when that
// node is dead.
func TestManyGroupsReportInTurns(t *testing.T) {
	t.Parallel()
	const advskew, window = 10, 12 * time.Second
	p := newFullPair(t, advskew)
	fromB := p.portB.Sniff()
	p.startAll()
	waitAll(p.a, p.Lab, "has b as its standby", patience, hasStandbys("b"))
	said := func() int { return len(hellosIn(fromB.Frames().FromHost())) }
	p.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return said() >= 2*allVHIDs, "each group has reported, and again"
	})

	before, began := said(), time.Now()
	for time.Since(began) < window {
		for _, g := range p.a.Status().Groups {
			if !hasStandbys("b")(g) {
				t.Fatalf("%s has the standbys %+v, %v after all had b", g.Group, g.Standbys, time.Since(began))
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	// 16 in 3 s. Adverts that b hears late, on a loaded machine, do not make it report sooner.
	n, want := said()-before, int(16*window/(3*time.Second))
	t.Logf("%d groups sent %d hellos in %v", allVHIDs, n, window)
	if n < want/2 || n > 2*want {
		t.Errorf("%d hellos in %v, want about %d", n, window, want)
	}

	restarted := time.Now()
	p.a.Kill9()
	p.a.Start() // within its leases, so it goes on
	waitAll(p.a, p.Lab, "is still MASTER", upTimeout, func(g lab.GroupStatus) bool { return g.State == lab.Master })
	const all = 10 * time.Second // with the next hello of any group
	waitAll(p.a, p.Lab, "has b as its standby again", all, hasStandbys("b"))
	t.Logf("%v after a restart of a it knows all standbys again", time.Since(restarted).Round(100*time.Millisecond))
	if n := transitions(p.b); n != allVHIDs {
		t.Errorf("%v transitions of b, want only that to BACKUP of each group", n)
	}
	p.b.Kill9()
	waitAll(p.a, p.Lab, "has no standby", patience, hasStandbys())
}

func values(m map[string]uint64) []uint64 {
	var out []uint64
	for _, v := range m {
		out = append(out, v)
	}
	return out
}

// ucarp, like any node without trailers, never gets a hello, neither as the only MASTER that a BACKUP has heard nor
// after a vipd. The witness are the hellos to that vipd in the same recordings.
func TestNoHelloToUCARP(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, oneVIP(100), lab.UCARP{AdvSkew: 50})
	host := u.NewHost("c")
	addrC := netip.MustParseAddr("192.0.2.13")
	port := u.segment.Join(host, "eth0", addrC.String()+"/24")
	better := host.NewNode(bin(t), oneVIP(0))
	ours, theirs := u.port.Sniff(), u.otherPort.Sniff()
	u.startUCARP()
	u.waitUCARP(lab.Master, skewed(50)+ucarpGrid+patience)
	u.node.Start()
	u.node.WaitFor(group, "hears ucarp", patience, hearsMaster)
	time.Sleep(5 * time.Second) // more than a period of hellos
	if sent := hellosIn(ours.Frames()); len(sent) > 0 {
		t.Fatalf("hellos beside ucarp alone:\n%s", sent)
	}

	reports := port.Sniff()
	better.Start() // preempts
	u.node.WaitFor(group, "follows c", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrC.String()
	})
	better.WaitFor(group, "names a as its standby", patience, hasStandbys("a"))
	if len(hellosIn(reports.Frames().ToHost())) == 0 {
		t.Fatal("no hello to a vipd was recorded")
	}
	better.Kill9()
	u.waitUCARP(lab.Master, skewed(50)+ucarpGrid+patience)
	u.node.WaitFor(group, "follows ucarp", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrB.String()
	})
	followed := time.Now()
	time.Sleep(5 * time.Second)
	if sent := hellosIn(ours.Frames().After(followed)); len(sent) > 0 {
		t.Errorf("hellos after ucarp took over:\n%s", sent)
	}
	for _, f := range hellosIn(ours.Frames().FromHost()) {
		if _, dst, _, _, _, _ := f.IP(); dst != addrC {
			t.Errorf("hello to %s", dst)
		}
	}
	if got := hellosIn(theirs.Frames()); len(got) > 0 {
		t.Errorf("ucarp's host got hellos:\n%s", got)
	}
}
