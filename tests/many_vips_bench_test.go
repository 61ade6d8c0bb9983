// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"vipd/tests/lab"
)

// manyVIPsVar is the number of addresses of BenchmarkManyVIPs.
const manyVIPsVar, manyVIPs = "VIPD_VIPS", "10000"

// BenchmarkManyVIPs measures a group of thousands of IPv6 VIPs, no two of which share a prefix, on two nodes: after the
// master is killed, when the last of them is answered for by the data plane and delivered to by the host, and what
// master and backup use of a core.
func BenchmarkManyVIPs(b *testing.B) {
	n := positiveNumber(b, manyVIPsVar, cmp.Or(os.Getenv(manyVIPsVar), manyVIPs))
	for b.Loop() {
		benchManyVIPs(b, n)
	}
}

func benchManyVIPs(b *testing.B, n int) {
	const watched = 10 * time.Second
	config := func(advskew int) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{{AdvSkew: advskew}}}
	}
	ca, cb := config(0), config(10)
	var vips []netip.Addr
	for i := range n {
		addr := netip.MustParseAddr(fmt.Sprintf("2001:db8:9::1:%x", 2*i))
		vips = append(vips, addr)
		for _, c := range []*lab.NodeConfig{&ca, &cb} {
			c.Groups[0].Addresses = append(c.Groups[0].Addresses, addr.String()+"/64")
		}
	}
	p := newPair(b, ca, cb)
	client := netip.MustParseAddr("2001:db8:9::50")
	for i, h := range []*lab.Host{p.a.Host, p.b.Host, p.client} {
		h.AddAddress("eth0", fmt.Sprintf("2001:db8:9::%x/64", []int{0x11, 0x12, 0x50}[i]))
	}
	asShipped(b, p.a, p.b)
	questions, echoes := map[netip.Addr][]byte{}, map[netip.Addr][]byte{}
	someQuestions, someEchoes := map[netip.Addr][]byte{}, map[netip.Addr][]byte{}
	for i, vip := range vips {
		questions[vip] = lab.NeighbourSolicitation(p.clientPort.MAC, client, vip)
		echoes[vip] = lab.EchoRequest(p.clientPort.MAC, vmac, client, vip)
		if i%(n/100) == 0 || i == n-1 {
			someQuestions[vip], someEchoes[vip] = questions[vip], echoes[vip]
		}
	}
	began := time.Now()
	p.a.Start()
	p.a.WaitAnswering(group, scalePatience)
	b.ReportMetric(time.Since(began).Seconds(), "s_to_master")
	if got := p.clientPort.Sweep(echoes, lab.IsEchoReply, scalePatience); len(got) != n {
		b.Errorf("the host of the first master delivers to %d of %d", len(got), n)
	}
	p.b.Start()
	p.b.WaitFor(group, "hears a", scalePatience, hearsMaster)
	time.Sleep(10 * time.Second) // announcements
	fmt.Printf("%d IPv6 VIPs:", n)
	usedA, usedB := p.a.Proc().CPU(), p.b.Proc().CPU()
	time.Sleep(watched)
	usedA, usedB = p.a.Proc().CPU()-usedA, p.b.Proc().CPU()-usedB
	for name, used := range map[string]time.Duration{"master": usedA, "backup": usedB} {
		fmt.Printf(" %s %.1f %% of a core,", name, 100*used.Seconds()/watched.Seconds())
		b.ReportMetric(100*used.Seconds()/watched.Seconds(), "%core_"+name)
	}
	sniffer := p.portB.Sniff()
	p.a.Kill9()
	claim := sniffer.Await(scalePatience, "a claim of b", func(f lab.Frame) bool {
		_, is := f.Advert()
		return f.FromHost && is
	})
	sniffer.Close()
	// The times are those of a hundred of them, with the first and the last: to ask for all takes the client longer.
	last := func(at map[netip.Addr]time.Time, of map[netip.Addr][]byte) time.Duration {
		if len(at) != len(of) {
			b.Errorf("%d of %d", len(at), len(of))
			return 0
		}
		return slices.MaxFunc(slices.Collect(maps.Values(at)), time.Time.Compare).Sub(claim.At)
	}
	answered := last(p.clientPort.Sweep(someQuestions, lab.IsAnswer, scalePatience), someQuestions)
	delivered := last(p.clientPort.Sweep(someEchoes, lab.IsEchoReply, scalePatience), someEchoes)
	asked := last(p.clientPort.Sweep(questions, lab.IsAnswer, scalePatience), questions)
	asked = max(asked, last(p.clientPort.Sweep(echoes, lab.IsEchoReply, scalePatience), echoes))
	fmt.Printf(" after the claim all are answered for in %v (goal 100 ms), and the host delivers to all in %v "+
		"(goal 1 s); all have been asked after %v; %d MB\n",
		answered.Round(time.Millisecond), delivered.Round(time.Millisecond), asked.Round(time.Millisecond),
		p.b.Proc().Resident()>>20)
	b.ReportMetric(answered.Seconds(), "s_answered")
	b.ReportMetric(delivered.Seconds(), "s_delivered")
	b.ReportMetric(0, "ns/op")
	began = time.Now()
	p.b.Stop()
	b.ReportMetric(time.Since(began).Seconds(), "s_to_stop")
}
