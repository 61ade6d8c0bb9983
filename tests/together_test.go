// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/tests/lab"
)

// spoken is a group in one family as seen on the wire.
type spoken struct {
	vhid uint8
	ipv6 bool
}

// spokenBy returns when a port's host sent adverts, by group and family.
func spokenBy(s *lab.Sniffer, since time.Time) map[spoken][]time.Time {
	out := map[spoken][]time.Time{}
	for _, f := range s.Frames().FromHost().After(since) {
		if ad, ok := f.Advert(); ok && !ad.Goodbye() {
			k := spoken{ad.VHID, ad.Src.Is6()}
			out[k] = append(out[k], f.At)
		}
	}
	return out
}

// A MASTER of 300 dual-stack groups on two interfaces, and of one with unicast peers, advertises each of them in its
// period, in both families and to each peer that is there. When one interface loses a family, the other family and the
// other interfaces go on as before.
func TestAdvertsThatLeaveTogether(t *testing.T) {
	t.Parallel()
	require(t, needNetNS, needBPF)
	const perInterface, periods = 150, 5
	l := lab.New(t)
	host := l.NewHost("a")
	var config lab.NodeConfig
	var sniff []*lab.Sniffer
	for i := range 2 {
		ifname := fmt.Sprintf("eth%d", i)
		port := l.NewSegment(fmt.Sprintf("lan%d", i)).Join(host, ifname, fmt.Sprintf("192.0.%d.1/24", 2+i))
		sniff = append(sniff, port.Sniff())
		for v := 1; v <= perInterface; v++ {
			config.Groups = append(config.Groups, lab.Group{Interface: ifname, VHID: v, Addresses: []string{
				fmt.Sprintf("198.18.%d.%d/32", i, v), fmt.Sprintf("2001:db8:%d::%x/128", i, v),
			}})
		}
	}
	unicast := l.NewSegment("lan2")
	sniff = append(sniff, unicast.Join(host, "eth2", "192.0.4.1/24").Sniff())
	peer := l.NewHost("peer")
	unicast.Join(peer, "eth0", "192.0.4.2/24")
	config.Groups = append(config.Groups, lab.Group{
		Interface: "eth2", Addresses: []string{"198.18.2.1/32"}, Extra: `peers = ["192.0.4.2", "192.0.4.3"]`, // .3 is off
	})
	n := host.NewNode(bin(t), config)
	n.Start()
	waitAll(n, l, "answers", upTimeout, func(g lab.GroupStatus) bool {
		return g.State == lab.Master && g.Dataplane.Answering
	})

	// rhythm checks what a port sent of each group in the families that it should speak.
	rhythm := func(what string, s *lab.Sniffer, groups int, ipv6 bool, since time.Time, period time.Duration) {
		t.Helper()
		watched := time.Since(since)
		sent := spokenBy(s, since)
		want := int(watched / period)
		for v := 1; v <= groups; v++ {
			for _, six := range []bool{false, true} {
				at := sent[spoken{uint8(v), six}]
				if six && !ipv6 {
					if len(at) > 0 {
						t.Errorf("%s: vhid %d sent %d adverts over IPv6, want none", what, v, len(at))
					}
					continue
				}
				if len(at) < want-1 || len(at) > want+2 {
					t.Errorf("%s: vhid %d, IPv6 %v: %d adverts in %v", what, v, six, len(at), watched)
				}
			}
		}
	}
	began := time.Now()
	time.Sleep(periods * time.Second)
	rhythm("eth0", sniff[0], perInterface, true, began, time.Second)
	rhythm("eth1", sniff[1], perInterface, true, began, time.Second)
	rhythm("eth2", sniff[2], 1, false, began, time.Second)
	for _, f := range sniff[2].Frames().FromHost() {
		if ad, ok := f.Advert(); ok && ad.Dst != netip.MustParseAddr("192.0.4.2") {
			t.Errorf("an advert to %v", ad.Dst)
		}
	}

	host.Set("ipv6/conf/eth1/disable_ipv6", "1")
	l.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		s := n.Status()
		return s.Demotion == 240, fmt.Sprintf("demotions: %v", s.Demotions)
	})
	time.Sleep(2 * time.Second) // the adverts that say so
	began = time.Now()
	time.Sleep(2 * periods * time.Second)
	rhythm("eth0 afterwards", sniff[0], perInterface, true, began, skewed(240)-2*time.Second)
	rhythm("eth2 afterwards", sniff[2], 1, false, began, skewed(240)-2*time.Second)
	for k, at := range spokenBy(sniff[1], began) {
		if k.ipv6 {
			t.Errorf("eth1 afterwards: vhid %d sent %d adverts over IPv6", k.vhid, len(at))
		}
	}
	lost := slices.DeleteFunc(n.Status().Groups, func(g lab.GroupStatus) bool { return g.State == lab.Master })
	if len(lost) > 0 {
		t.Errorf("%d groups are no longer MASTER, as %s: %s (%s)", len(lost), lost[0].Group, lost[0].State, lost[0].Reason)
	}
}
