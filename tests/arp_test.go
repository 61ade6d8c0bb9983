// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// One ARP request for the VIP gets one answer, from the MASTER, sent by and naming the virtual MAC; BACKUP is silent
// for the VIP, and both nodes answer for their own addresses from their own MAC.
func TestARPIsAnsweredOnceFromTheVirtualMAC(t *testing.T) {
	t.Parallel()
	inModes(t, aRPIsAnsweredOnceFromTheVirtualMAC)
}

func aRPIsAnsweredOnceFromTheVirtualMAC(t *testing.T, mode string) {
	p := newPair(t, inMode(mode, oneVIP(0)), inMode(mode, oneVIP(10)))
	p.start()
	sniffer := p.portB.Sniff()
	const asked = 5
	before := p.a.Group(group).Counters
	for range asked {
		replies := p.clientPort.AnswersARP(addrClient, vip, 100*time.Millisecond)
		if len(replies) != 1 {
			t.Fatalf("want one answer for the VIP, got:\n%v", replies)
		}
		a, _ := replies[0].ARP()
		if a.SenderMAC != vmac || replies[0].Src() != vmac || a.TargetMAC != p.clientPort.MAC || a.TargetIP != addrClient {
			t.Errorf("answer %v", replies[0])
		}
	}
	after := p.a.Group(group).Counters
	if got, want := [2]uint64{
		after.ARPRequests - before.ARPRequests,
		after.ARPReplies - before.ARPReplies,
	}, [2]uint64{asked, asked}; got != want {
		t.Errorf("counted requests and replies %v, want %v", got, want)
	}
	for addr, port := range map[netip.Addr]*lab.Port{addrA: p.portA, addrB: p.portB} {
		replies := p.clientPort.AnswersARP(addrClient, addr, 100*time.Millisecond)
		if len(replies) != 1 {
			t.Fatalf("want one answer for %v, got:\n%v", addr, replies)
		}
		if a, _ := replies[0].ARP(); a.SenderMAC != port.MAC {
			t.Errorf("%v answers %v, want its own MAC", addr, replies[0])
		}
	}
	frames := sniffer.Frames()
	requests := frames.ToHost().
		Where(func(f lab.Frame) bool { a, ok := f.ARP(); return ok && a.Op == 1 && a.TargetIP == vip })
	if len(requests) < asked {
		t.Errorf("only %d requests reached the BACKUP: the test proves nothing", len(requests))
	}
	if spoken := frames.FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("BACKUP spoke for the VIP:\n%v", spoken)
	}
	if got := p.segment.Learned(vmac); got != p.portA.Name {
		t.Errorf("the bridge believes the virtual MAC behind %q, want %q", got, p.portA.Name)
	}
}

// BACKUP does not speak for the VIP even when its stack takes the VIP for local, and programs on it cannot send from
// the VIP. (With the VIP as an ordinary address of the host the group is in INIT, own_address.)
func TestBackupStackCannotSpeakForTheVIP(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(10))
	p.start()
	sniffer := p.portB.Sniff()
	// First it resolves the client: later its stack would ask for it from the VIP, in vain.
	sendUDP(t, p.b.Host, addrB, addrClient)
	p.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return p.b.Neighbour("eth0", addrClient) != "", "b resolves the client"
	})
	p.b.MustRun(toolTimeout, "ip", "route", "add", "local", vip.String(), "dev", "eth0")
	for range 10 {
		if n := len(p.clientPort.AnswersARP(addrClient, vip, 30*time.Millisecond)); n != 1 {
			t.Errorf("%d answers for the VIP, want 1", n)
		}
		sendUDP(t, p.b.Host, vip, addrClient)
		sendUDP(t, p.b.Host, addrB, addrClient) // the control
	}
	frames := sniffer.Frames()
	if spoken := frames.FromHost().Speaking(vip, vmac); len(spoken) > 0 {
		t.Errorf("BACKUP spoke for the VIP:\n%v", spoken)
	}
	own := frames.FromHost().Where(func(f lab.Frame) bool {
		src, _, proto, _, ok := f.IPv4()
		return ok && src == addrB && proto == lab.ProtoUDP // a hello is not the stack's
	})
	if len(own) < 10 {
		t.Errorf("only %d packets from its own address left BACKUP: the test proves nothing", len(own))
	}
}

// What MASTER's stack sends by ARP from the VIP carries the virtual MAC, inside and outside: without it the client's
// entry flips to the NIC's MAC within a few pings.
func TestMasterSendsARPFromTheVIPWithTheVirtualMAC(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	sniffer := s.port.Sniff()
	pinger := s.client.Ping(vip, 20*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	// The node has to resolve a host while it sends from the VIP.
	quiet := netip.MustParseAddr("192.0.2.77")
	for range 3 {
		sendUDP(t, s.node.Host, vip, quiet)
		time.Sleep(300 * time.Millisecond)
	}
	s.node.MustRun(toolTimeout, "ip", "neigh", "flush", "dev", "eth0")
	pinger.AwaitAnswer(time.Now(), patience)
	sent := sniffer.Frames().FromHost().Where(func(f lab.Frame) bool { a, ok := f.ARP(); return ok && a.SenderIP == vip })
	asked := sent.Where(func(f lab.Frame) bool { a, _ := f.ARP(); return a.TargetIP == quiet })
	if len(asked) == 0 {
		t.Errorf("the node never asked for %v from the VIP: the test proves nothing; ARP from the VIP:\n%v", quiet, sent)
	}
	for _, f := range sent {
		if a, _ := f.ARP(); a.SenderMAC != vmac || f.Src() != vmac {
			t.Errorf("ARP from the VIP without the virtual MAC: %v", f)
		}
	}
	if got, want := s.client.Neighbour("eth0", vip), net.HardwareAddr(vmac[:]).String(); got != want {
		t.Errorf("the client's entry for the VIP is %s, want %s", got, want)
	}
	if r := pinger.Stop(); r.Lost > 0 {
		t.Errorf("client: %v", r)
	}
}

// Gratuitous ARP on promotion: at once, and again after one and after two further adverts; the virtual MAC is in the
// NIC's filter.
func TestGratuitousARPAtOnceAndAfterOneAndTwoAdverts(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	sniffer, stalls := s.port.Sniff(), s.WatchStalls()
	s.startMaster()
	if got := s.node.UnicastFilter("eth0"); !slices.Contains(got, net.HardwareAddr(vmac[:]).String()) {
		t.Errorf("the NIC's filter has %v, want the virtual MAC in it", got)
	}
	s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		return len(sniffer.Frames().FromHost().Adverts(vhid)) >= 4, "four adverts"
	})
	time.Sleep(500 * time.Millisecond) // what would follow the fourth has followed
	frames := sniffer.Frames().FromHost()
	adverts, garps := frames.Adverts(vhid), frames.GratuitousARP(vip)
	if len(adverts) < 4 || len(garps) != 3 {
		t.Fatalf("%d adverts and %d gratuitous ARPs, want at least 4 and 3:\n%v%v", len(adverts), len(garps), adverts, garps)
	}
	for i, g := range garps {
		a, _ := g.ARP()
		if g.Dst() != lab.Broadcast || g.Src() != vmac || a.SenderMAC != vmac || a.Op != 1 || a.TargetMAC != [6]byte{} {
			t.Errorf("gratuitous ARP %v", g)
		}
		if after := g.At.Sub(adverts[i].At); after < 0 || after > 100*time.Millisecond+stalls.Allowance() {
			t.Errorf("gratuitous ARP %d came %v after advert %d, want within 100 ms", i+1, after, i+1)
		}
	}
	for _, f := range adverts {
		ad, _ := f.Advert()
		if f.Src() != vmac || f.Dst() != [6]byte{1, 0, 0x5e, 0, 0, 0x12} || ad.TTL != 255 {
			t.Errorf("advert %v TTL %d", f, ad.TTL)
		}
	}
	if groups := strings.Join(s.node.Snapshot().Groups, "\n"); !strings.Contains(groups, "01005e000012") {
		t.Errorf("224.0.0.18 is not joined:\n%s", groups)
	}
}

// On a veth native XDP_TX is lost in silence unless the peer's end runs XDP, too: a client that therefore sees no
// answer is told of, in status and metrics, as it goes on asking.
func TestAnswersUnseenIsRaised(t *testing.T) {
	t.Parallel()
	config := oneVIP(0)
	config.Mode = "native"
	s := newSingle(t, config)
	s.startMaster()
	if g := s.node.Group(group); g.Dataplane.Mode != "native" || g.Dataplane.AnswersUnseen {
		t.Fatalf("before anybody asked: %+v", g.Dataplane)
	}
	// What is announced answers the client at first, and is of no use: native mode on a veth delivers nothing.
	s.client.Ping(vip, 50*time.Millisecond)
	g := s.node.WaitFor(
		group,
		"reports that its answers are not seen",
		patience,
		func(g lab.GroupStatus) bool { return g.Dataplane.AnswersUnseen },
	)
	if g.Counters.ARPReplies < 4 {
		t.Errorf("raised after %d answers", g.Counters.ARPReplies)
	}
	if m := s.node.Metrics(); !strings.Contains(m,
		`vipd_answers_unseen{address="192.0.2.100",interface="eth0",vhid="1"} 1`) {
		t.Error("the metric does not show it")
	}
}
