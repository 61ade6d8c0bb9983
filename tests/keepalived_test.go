// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// foreign is a VRRP instance of keepalived beside a CARP group of ours with the same number.
type foreign struct {
	group        string
	ours, theirs netip.Addr
	instance     lab.VRRP
}

func foreigners() []foreign {
	fs := []foreign{
		{ours: vip, instance: lab.VRRP{Name: "v2", Version: 2}},
		{ours: netip.MustParseAddr("192.0.2.101"), instance: lab.VRRP{Name: "v3", Version: 3}},
		{ours: vip6, instance: lab.VRRP{Name: "v6", Version: 3, IPv6: true}},
	}
	for i := range fs {
		f := &fs[i]
		f.group, f.instance.VRID = fmt.Sprintf("eth0@%d", i+1), i+1
		f.theirs = netip.MustParseAddr(fmt.Sprintf("192.0.2.%d", 201+i))
		if f.instance.IPv6 { // the first address has to be link-local (RFC 5798, 5.2.9)
			f.theirs = netip.MustParseAddr("2001:db8::203")
			f.instance.Addresses = []string{"fe80::203/64"}
		}
		f.instance.Addresses = append(f.instance.Addresses, netip.PrefixFrom(f.theirs, f.theirs.BitLen()).String())
	}
	return fs
}

// keepalivedPriority is that of the VRRP backup.
const keepalivedPriority = 100

// keepalivedDown is the backup's master-down time with adverts every second (RFC 5798, 6.1).
const keepalivedDown = 3*time.Second + (256-keepalivedPriority)*time.Second/256

// A CARP pair and a pair of keepalived on one segment, with the same numbers for VHID and VRID, VRRPv2 and v3, IPv4 and
// IPv6: each elects as if the other were not there, each serves its own address, each fails over in its own time, and
// our status names the other protocol.
func TestKeepalivedOnTheSameVRIDIsLeftAlone(t *testing.T) {
	t.Parallel()
	require(t, needKeepalived)
	fs := foreigners()
	config := func(skew int) (c lab.NodeConfig) {
		for _, f := range fs {
			length := "/24"
			if f.ours.Is6() {
				length = "/64"
			}
			c.Groups = append(
				c.Groups,
				lab.Group{VHID: f.instance.VRID, Addresses: []string{f.ours.String() + length}, AdvSkew: skew},
			)
		}
		return c
	}
	p := newPairWith(t, []string{"/24", "/64"}, config(20), config(30)) // more rarely than keepalived: docs/traps.md
	k := newVRRPPair(p, fs)
	k.start()

	// We come up beside them: not a moment earlier or later than alone.
	fromA, fromB := p.portA.Sniff(), p.portB.Sniff()
	started := p.a.Start()
	begun := map[string]time.Time{} // the time begins with BACKUP: on a busy machine a start takes seconds
	for _, f := range fs {
		begun[f.group] = p.a.WaitState(f.group, lab.Backup, patience).Since
	}
	for _, f := range fs {
		p.a.WaitAnswering(f.group, upTimeout)
		first := fromA.FirstSpeaking(started, patience, f.ours, lab.VirtualMAC(uint8(f.instance.VRID))).At
		if took := first.Sub(begun[f.group]); first.Sub(started) < masterDown || took > masterDown+3*time.Second {
			t.Errorf("%s is MASTER %v after it was BACKUP, want %v and a little", f.group, took, masterDown)
		}
	}
	p.b.Start()
	was := map[*lab.Node]map[string]lab.GroupStatus{p.a: {}, p.b: {}}
	ours, theirs := map[string]*lab.Pinger{}, map[string]*lab.Pinger{}
	for _, f := range fs {
		was[p.b][f.group] = p.b.WaitFor(f.group, "is BACKUP and hears a", patience, hearsMaster)
		was[p.a][f.group] = p.a.Group(f.group)
		ours[f.group], theirs[f.group] = p.client.Ping(f.ours, 20*time.Millisecond), p.client.Ping(f.theirs,
			20*time.Millisecond)
		ours[f.group].AwaitAnswer(time.Now(), patience)
		theirs[f.group].AwaitAnswer(time.Now(), patience)
	}
	k.assertStates(t, k.master, lab.Backup, lab.Master)
	k.assertStates(t, k.backup, lab.Backup)
	for _, f := range fs {
		assertNamed(t, p.a, f, was[p.a][f.group])
		assertNamed(t, p.b, f, was[p.b][f.group])
	}

	// Their master dies: theirs take over in their time, nothing moves here.
	killed := k.killMaster()
	for _, f := range fs {
		k.await(k.backup, f, lab.Master, patience)
		theirs[f.group].AwaitAnswer(time.Now(), patience)
	}
	if down := time.Since(killed); down < keepalivedDown-time.Second {
		t.Errorf("keepalived took over %v after its master was killed, before its own master-down time", down)
	}
	for _, f := range fs {
		if r := ours[f.group].Stop(); r.Lost > 0 || r.Doubles > 0 {
			t.Errorf("client of %v: %v", f.ours, r)
		}
		for node, old := range was {
			if got, want := node.Group(f.group), old[f.group]; got.State != want.State || !sameTime(got.Since, want.Since) {
				t.Errorf("%s of %s is %s (%s) since %v, was %s since %v",
					f.group, node.Name, got.State, got.Reason, got.Since, want.State, want.Since)
			}
		}
	}

	// Ours dies: ours takes over in our time, nothing moves there.
	killed = p.a.Kill9()
	for _, f := range fs {
		first := fromB.FirstSpeaking(killed, patience, f.ours, lab.VirtualMAC(uint8(f.instance.VRID)))
		sent := fromA.Frames().FromHost().Adverts(uint8(f.instance.VRID))
		if len(sent) == 0 {
			t.Fatalf("%s: no advert of a was seen", f.group)
		}
		if gap := first.At.Sub(sent[len(sent)-1].At); gap < skewed(30) {
			t.Errorf("b took %s over %v after the last advert of a: on whose silence?", f.group, gap)
		}
		p.b.WaitAnswering(f.group, patience)
		theirs[f.group].AwaitAnswer(time.Now(), patience)
	}
	k.assertStates(t, k.backup, lab.Backup, lab.Master)
}

// assertNamed checks that the node counts the VRRP adverts where an operator looks, and takes nobody but its own peer
// for a master.
func assertNamed(t *testing.T, n *lab.Node, f foreign, was lab.GroupStatus) {
	t.Helper()
	g := n.WaitFor(f.group, "counts the VRRP adverts", patience, func(g lab.GroupStatus) bool {
		return g.Counters.Rejected["foreign_vrrp"] >= 2
	})
	for reason, count := range g.Counters.Rejected {
		if reason != "foreign_vrrp" && count > 0 {
			t.Errorf("%s of %s: %d adverts counted as %s", f.group, n.Name, count, reason)
		}
	}
	if g.Master != nil && (was.Master == nil || g.Master.Address != was.Master.Address) {
		t.Errorf("%s of %s takes %s for a master", f.group, n.Name, g.Master.Address)
	}
	if got := metric(n.Metrics(),
		`vipd_advertisements_rejected_total{interface="eth0",reason="foreign_vrrp",vhid=""}`); got < 2 {
		t.Errorf("%s: the metric is at %v", n.Name, got)
	}
	if out := n.MustCTL("show", f.group); !strings.Contains(out, "foreign_vrrp") {
		t.Errorf("%s: vipctl show %s does not name foreign_vrrp:\n%s", n.Name, f.group, out)
	}
}

// vrrpPair is two hosts with keepalived.
type vrrpPair struct {
	*pair
	foreign        []foreign
	hosts          [2]*lab.Host
	master, backup *lab.Proc
}

func newVRRPPair(p *pair, fs []foreign) *vrrpPair {
	k := &vrrpPair{pair: p, foreign: fs}
	for i := range k.hosts {
		h := p.NewHost(fmt.Sprintf("k%d", i+1))
		p.segment.Join(h, "eth0", fmt.Sprintf("192.0.2.%d/24", 21+i), fmt.Sprintf("2001:db8::%d/64", 21+i))
		k.hosts[i] = h
	}
	return k
}

// start brings the first up as MASTER of all and the second as BACKUP.
func (k *vrrpPair) start() {
	k.Helper()
	k.master = k.hosts[0].StartKeepalived(k.instances(keepalivedPriority + 50)...)
	for _, f := range k.foreign {
		k.await(k.master, f, lab.Master, patience)
	}
	k.backup = k.hosts[1].StartKeepalived(k.instances(keepalivedPriority)...)
	for _, f := range k.foreign {
		k.await(k.backup, f, lab.Backup, patience)
	}
}

func (k *vrrpPair) instances(priority int) (out []lab.VRRP) {
	for _, f := range k.foreign {
		f.instance.Priority = priority
		out = append(out, f.instance)
	}
	return out
}

func (k *vrrpPair) killMaster() time.Time {
	k.Helper()
	at := k.master.Kill9()
	for _, f := range k.foreign { // a killed keepalived leaves its addresses: its fault, not ours
		for _, a := range f.instance.Addresses {
			k.hosts[0].DelAddress("eth0", a)
		}
	}
	return at
}

func (k *vrrpPair) await(p *lab.Proc, f foreign, state string, timeout time.Duration) {
	k.Helper()
	k.Eventually(timeout, 10*time.Millisecond, func() (bool, string) {
		states := lab.KeepalivedStates(p, f.instance.Name)
		return len(states) > 0 &&
			states[len(states)-1] == state, fmt.Sprintf("%s of %s is %s\n%s", f.instance.Name, p.Name, state, p.Output())
	})
}

// assertStates checks that every instance has gone through these states and no others since it started.
func (k *vrrpPair) assertStates(t *testing.T, p *lab.Proc, want ...string) {
	t.Helper()
	for _, f := range k.foreign {
		if got := lab.KeepalivedStates(p, f.instance.Name); !slices.Equal(got, want) {
			t.Errorf("%s of %s went through %v, want %v\n%s", f.instance.Name, p.Name, got, want, p.Output())
		}
	}
}
