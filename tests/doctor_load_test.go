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

// The most laborious question there is, on a node whose interval is 51 ms: no digest fits, and there is a large subnet
// to search. The doctor gives up where it said it would, and the node goes on as MASTER without a pause.
func TestDoctorDoesNotDelayTheElection(t *testing.T) {
	t.Parallel()
	const advskew = 13
	config := fast(advskew)
	config.Groups[0].Addresses = []string{vip.String() + "/8"}
	s := newSingle(t, config)
	asShipped(t, s.node)
	stalls := s.WatchStalls()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	since := s.node.Group(group).Since
	stranger := foreignKey(newPeer(s.clientPort, netip.MustParseAddr("192.0.2.66")))
	repeat(
		t,
		100*time.Millisecond,
		func() { stranger.injector.Send(stranger.build(func(f *wire.AdvertFrame) { f.Advert.AdvSkew = 200 })) },
	)
	sniffer := s.port.Sniff()
	begin := time.Now()
	f := finding(t, examine(t, s.node), "password_differs", group, "starved")
	if !strings.Contains(strings.Join(f.Evidence, "\n"), "65536 tries, then given up") {
		t.Errorf("it did not search to the end: %q", f.Evidence)
	}
	var worst time.Duration
	last := begin
	for _, a := range sniffer.Frames().FromHost().Adverts(vhid) {
		worst, last = max(worst, a.At.Sub(last)), a.At
	}
	t.Logf("longest time between two adverts: %v", worst)
	// It watches for three seconds; the limit leaves a busy machine half a second.
	if limit := 3*advskew*time.Second/256 + 500*time.Millisecond + stalls.Allowance(); worst > limit {
		t.Errorf("%v passed without an advert, more than %v", worst, limit)
	}
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) || !g.Dataplane.Answering {
		t.Errorf("the node is %s since %v, answering %v", g.State, g.Since, g.Dataplane.Answering)
	}
}
