// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"vipd/agent/wire"
	"vipd/tests/lab"

	"golang.org/x/sys/unix"
)

// vip6Only returns the usual group with an IPv6 address alone.
func vip6Only(advskew int) lab.NodeConfig {
	return lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip6.String() + "/64"}, AdvSkew: advskew}}}
}

// dualStack returns the usual group with an address of each family.
func dualStack(advskew int) lab.NodeConfig {
	return lab.NodeConfig{
		Groups: []lab.Group{{Addresses: []string{vip.String() + "/24", vip6.String() + "/64"}, AdvSkew: advskew}},
	}
}

// newPairWith is newPair whose hosts have addresses of the families with these prefix lengths: "/24" and "/64".
func newPairWith(t *testing.T, families []string, a, b lab.NodeConfig) *pair {
	t.Helper()
	require(t, needNetNS, needBPF)
	p := &pair{Lab: lab.New(t)}
	p.segment = p.NewSegment("lan")
	join := func(name string, v4, v6 netip.Addr) (*lab.Host, *lab.Port) {
		h := p.NewHost(name)
		var addresses []string
		for _, length := range families {
			if length == "/24" {
				addresses = append(addresses, v4.String()+length)
			} else {
				addresses = append(addresses, v6.String()+length)
			}
		}
		return h, p.segment.Join(h, "eth0", addresses...)
	}
	hostA, portA := join("a", addrA, addrA6)
	hostB, portB := join("b", addrB, addrB6)
	p.client, p.clientPort = join("client", addrClient, addrClient6)
	p.portA, p.portB = portA, portB
	p.a, p.b = hostA.NewNode(bin(t), a), hostB.NewNode(bin(t), b)
	return p
}

// startNaturally brings a up as MASTER after its master-down time, and b as BACKUP that has heard it.
func (p *pair) startNaturally() {
	p.Helper()
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
}

var (
	multicast6    = netip.MustParseAddr("ff02::12")
	multicast6MAC = [6]byte{0x33, 0x33, 0, 0, 0, 0x12}
)

// A pair with an IPv6 address alone: adverts to ff02::12 from the link-local address with hop limit 255, solicitations
// answered from the virtual MAC by the MASTER alone, an unsolicited advertisement to all nodes, and failover after kill
// -9 after which the old node is silent however it is asked.
func TestIPv6PairAnswersAndFailsOver(t *testing.T) {
	t.Parallel()
	inModes(t, iPv6PairAnswersAndFailsOver)
}

func iPv6PairAnswersAndFailsOver(t *testing.T, mode string) {
	for _, fam := range []struct {
		name     string
		families []string
		config   func(int) lab.NodeConfig
	}{
		{"IPv6 only", []string{"/64"}, vip6Only},
		{"dual stack", []string{"/24", "/64"}, dualStack},
	} {
		t.Run(fam.name, func(t *testing.T) {
			t.Parallel()
			p := newPairWith(t, fam.families, inMode(mode, fam.config(0)), inMode(mode, fam.config(10)))
			fromA, fromB, stalls := p.portA.Sniff(), p.portB.Sniff(), p.WatchStalls()
			p.startNaturally()
			pinger := p.client.Ping(vip6, 5*time.Millisecond)
			pinger.AwaitAnswer(time.Now(), patience)
			if got, want := p.client.Neighbour("eth0", vip6), net.HardwareAddr(vmac[:]).String(); got != want {
				t.Errorf("the client's entry for the VIP is %s, want %s", got, want)
			}
			if !p.a.HasAddress("eth0", vip6) || p.b.HasAddress("eth0", vip6) {
				t.Error("the address is not on the MASTER alone")
			}
			before := nd(p.a)
			for _, dst := range []netip.Addr{solicitedNode(vip6), vip6} {
				answers := p.askND(t, dst, 150*time.Millisecond)
				if len(answers) != 1 {
					t.Fatalf("want one answer to a solicitation to %v, got:\n%v", dst, answers)
				}
				n, _ := answers[0].ND()
				if answers[0].Src() != vmac || n.LinkAddr != vmac || !n.Override || !n.Solicited || n.Router {
					t.Errorf("answer %v: %+v", answers[0], n)
				}
			}
			if after := nd(p.a); after[0] < before[0]+2 || after[1] < before[1]+2 {
				t.Errorf("counted solicitations and answers %v and then %v", before, after)
			}

			killed := p.a.Kill9()
			took := fromB.FirstSpeaking(killed, patience, vip6, vmac)
			p.b.WaitAnswering(group, patience)
			pinger.AwaitAnswer(time.Now(), patience)
			r := pinger.Stop()
			assertGap(t, r, killed, skewed(10)+100*time.Millisecond)
			answers := 0
			const rounds = 10
			for range rounds {
				answers += len(p.askND(t, solicitedNode(vip6), 60*time.Millisecond))
				sendUDP6(t, p.a.Host, vip6, addrClient6)
			}
			old := fromA.Frames()
			if spoken := old.FromHost().After(took.At).Speaking(vip6, vmac); len(spoken) > 0 {
				t.Errorf("the old node spoke for the VIP after the takeover:\n%v", spoken)
			}
			if answers != rounds {
				t.Errorf("%d answers to %d solicitations", answers, rounds)
			}

			assertIPv6Master(t, "a", old, len(fam.families), stalls)
			assertIPv6Master(t, "b", fromB.Frames(), len(fam.families), stalls)
			if spoken := fromB.Frames().FromHost().Before(killed).Speaking(vip6, vmac); len(spoken) > 0 {
				t.Errorf("b spoke as BACKUP:\n%v", spoken)
			}
			p.b.Stop()
			if p.b.HasAddress("eth0", vip6) {
				t.Error("the address is still there after the stop")
			}
		})
	}
}

// assertIPv6Master checks what a node sent when it became MASTER.
func assertIPv6Master(t *testing.T, name string, frames lab.Frames, families int, stalls *lab.Stalls) {
	t.Helper()
	all := frames.FromHost().Adverts(vhid)
	six := all.Where(func(f lab.Frame) bool { return f.EtherType() == lab.EtherIPv6 })
	if len(six) < 1 || len(all) < len(six)*families-1 || families == 1 && len(all) != len(six) {
		t.Fatalf("%s sent %d adverts over IPv6, %d in all, for %d families", name, len(six), len(all), families)
	}
	for _, f := range six {
		ad, _ := f.Advert()
		if f.Src() != vmac || f.Dst() != multicast6MAC || ad.Dst != multicast6 || ad.TTL != 255 ||
			!ad.Src.IsLinkLocalUnicast() {
			t.Errorf("%s: advert %v from %v to %v, hop limit %d", name, f, ad.Src, ad.Dst, ad.TTL)
		}
	}
	nas := frames.FromHost().UnsolicitedNA(vip6)
	if len(nas) < 1 {
		t.Fatalf("%s sent no unsolicited neighbour advertisement", name)
	}
	for _, f := range nas {
		n, _ := f.ND()
		_, dst, _, ttl, _, _ := f.IP()
		if f.Src() != vmac || n.LinkAddr != vmac || !n.Override || n.Router || dst != netip.MustParseAddr("ff02::1") ||
			ttl != 255 {
			t.Errorf("%s: advertisement %v to %v: %+v", name, f, dst, n)
		}
	}
	if after := nas[0].At.Sub(six[0].At); after < 0 || after > 100*time.Millisecond+stalls.Allowance() {
		t.Errorf("%s: the first one came %v after the first advert", name, after)
	}
}

// nd returns how many solicitations for the IPv6 VIP the node counted, and how many it answered.
func nd(n *lab.Node) (counts [2]uint64) {
	for _, v := range n.Group(group).VIPs {
		counts[0] += v.NDSolicitations
		counts[1] += v.NDAdvertisements
	}
	return counts
}

func solicitedNode(a netip.Addr) netip.Addr {
	b, last := netip.MustParseAddr("ff02::1:ff00:0").As16(), a.As16()
	copy(b[13:], last[13:])
	return netip.AddrFrom16(b)
}

// askND sends a solicitation for the IPv6 VIP from the client and returns the solicited advertisements that come to it:
// the first one, however late, and those within the window after it.
func (p *pair) askND(t *testing.T, dst netip.Addr, window time.Duration) lab.Frames {
	t.Helper()
	mac := vmac
	if b := dst.As16(); dst.IsMulticast() {
		mac = [6]byte{0x33, 0x33, b[12], b[13], b[14], b[15]}
	}
	src := addrClient6.As16()
	target, to := vip6.As16(), dst.As16()
	icmp := append([]byte{lab.NDSolicitation, 0, 0, 0, 0, 0, 0, 0}, target[:]...)
	icmp = append(append(icmp, 1, 1), p.clientPort.MAC[:]...)
	pseudo := append(append(append([]byte{}, src[:]...), to[:]...), 0, 0, 0, byte(len(icmp)), 0, 0, 0, lab.ProtoICMPv6)
	binary.BigEndian.PutUint16(icmp[2:], lab.Checksum(append(pseudo, icmp...)))
	frame := append(append([]byte{}, mac[:]...), p.clientPort.MAC[:]...)
	frame = append(frame, 0x86, 0xdd, 0x60, 0, 0, 0, 0, byte(len(icmp)), lab.ProtoICMPv6, 255)
	frame = append(append(append(frame, src[:]...), to[:]...), icmp...)
	sniffer := p.clientPort.Sniff()
	at := p.clientPort.Injector().Send(frame)
	answer := func(f lab.Frame) bool {
		n, ok := f.ND()
		return ok && !f.FromHost && f.At.After(at) && n.Type == lab.NDAdvertisement && n.Solicited && n.Target == vip6
	}
	sniffer.Await(patience, "an answer to a solicitation to "+dst.String(), answer)
	time.Sleep(window) // for others
	return sniffer.Frames().Where(answer)
}

// sendUDP6 makes a program on the host send from an IPv6 address, whether the host has it or not.
func sendUDP6(t *testing.T, h *lab.Host, from, to netip.Addr) {
	t.Helper()
	if err := h.Within(func() error {
		fd, err := unix.Socket(unix.AF_INET6, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.SetsockoptInt(fd, unix.SOL_IPV6, unix.IPV6_FREEBIND, 1); err != nil {
			return err
		}
		if err := unix.Bind(fd, &unix.SockaddrInet6{Addr: from.As16()}); err != nil {
			return err
		}
		_ = unix.Sendto(
			fd,
			[]byte("from the VIP"),
			0,
			&unix.SockaddrInet6{Port: 9, Addr: to.As16()},
		) // refused is what we hope for
		return nil
	}); err != nil {
		t.Fatalf("send from %v on %s: %v", from, h.Name, err)
	}
}

// One family of a dual-stack pair is cut on the switch: no transition, in either direction of the cut; status and
// metrics name the silent family, and it is not silent any more when it is back.
func TestOneFamilyCutMovesNothingAndIsNamed(t *testing.T) {
	t.Parallel()
	for family, match := range map[string]string{"ipv4": "ip protocol 112", "ipv6": "ip6 nexthdr 112"} {
		p := newPairWith(t, []string{"/24", "/64"}, dualStack(0), dualStack(10))
		p.startNaturally()
		a, b := p.a.Group(group), p.b.Group(group)
		if b.SilentFamily != "" {
			t.Errorf("silent family %q before the cut", b.SilentFamily)
		}
		pinger := p.client.Ping(vip6, 10*time.Millisecond)
		pinger.AwaitAnswer(time.Now(), patience)
		series := `vipd_family_silent{family="` + family + `",interface="eth0",vhid="1"}`
		p.segment.NFT("add table bridge cut", "add chain bridge cut forward { type filter hook forward priority 0; }",
			"add rule bridge cut forward "+match+" drop")
		p.b.WaitFor(
			group,
			"names the silent family",
			patience,
			func(g lab.GroupStatus) bool { return g.SilentFamily == family },
		)
		if got := metric(p.b.Metrics(), series); got != 1 {
			t.Errorf("%s is %v", series, got)
		}
		var why struct {
			SilentFamily string `json:"silent_family"`
		}
		if out := p.b.MustCTL("why", group, "-o", "json"); json.Unmarshal([]byte(out), &why) != nil ||
			why.SilentFamily != family {
			t.Errorf("vipctl why does not name %s:\n%s", family, out)
		}
		if out := p.b.MustCTL("why", group); !strings.Contains(out, family+" of ") {
			t.Errorf("vipctl why does not name %s:\n%s", family, out)
		}
		time.Sleep(4 * time.Second)
		for node, was := range map[*lab.Node]lab.GroupStatus{p.a: a, p.b: b} {
			if got := node.Group(group); got.State != was.State || !sameTime(got.Since, was.Since) {
				t.Errorf("%s cut: %s is %s (%s) since %v, was %s since %v",
					family, node.Name, got.State, got.Reason, got.Since, was.State, was.Since)
			}
		}
		p.segment.NFT("delete table bridge cut")
		p.b.WaitFor(group, "hears both again", patience, func(g lab.GroupStatus) bool { return g.SilentFamily == "" })
		if got := metric(p.b.Metrics(), series); got != 0 {
			t.Errorf("%s is %v after the cut", series, got)
		}
		if r := pinger.Stop(); r.Lost > 0 {
			t.Errorf("client: %v", r)
		}
	}
}

// A link-local virtual address is answered from the virtual MAC as any other, by the MASTER alone.
func TestLinkLocalVIPIsAnsweredByTheMasterAlone(t *testing.T) {
	t.Parallel()
	linkLocal := netip.MustParseAddr("fe80::100")
	config := func(skew int) lab.NodeConfig {
		return lab.NodeConfig{
			Groups: []lab.Group{{Addresses: []string{linkLocal.String() + "/64", vip6.String() + "/64"}, AdvSkew: skew}},
		}
	}
	p := newPairWith(t, []string{"/24", "/64"}, config(0), config(10))
	fromB := p.portB.Sniff()
	p.startNaturally()
	pinger := p.client.Ping(linkLocal.WithZone("eth0"), 10*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	if got, want := p.client.Neighbour("eth0", linkLocal), net.HardwareAddr(vmac[:]).String(); got != want {
		t.Errorf("the client's entry for the address is %s, want %s", got, want)
	}
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	if r := pinger.Stop(); r.Doubles > 0 {
		t.Errorf("client: %v", r)
	}
	if spoken := fromB.Frames().FromHost().Before(killed).Speaking(linkLocal, vmac); len(spoken) > 0 {
		t.Errorf("b spoke for it as BACKUP:\n%v", spoken)
	}
}

// The adverts of both families carry the DSCP of the config: FreeBSD's CS7 unless it says otherwise.
func TestAdvertsCarryTheConfiguredDSCP(t *testing.T) {
	t.Parallel()
	for text, dscp := range map[string]byte{"": 56, "dscp = 10\n": 10} {
		c := dualStack(0)
		c.Carp = text
		p := newPairWith(t, []string{"/24", "/64"}, c, dualStack(10))
		sniffer := p.portA.Sniff()
		p.a.Start()
		p.a.WaitState(group, lab.Backup, patience)
		other := newPeer(p.clientPort, addrClient)
		other.prefix = wire.DigestPrefix(vhid, []netip.Addr{vip, vip6}, nil)
		other.goodbye()
		for family, etherType := range map[string]uint16{"IPv4": lab.EtherIPv4, "IPv6": lab.EtherIPv6} {
			f := sniffer.Await(patience, "an advert over "+family, func(f lab.Frame) bool {
				_, ok := f.Advert()
				return ok && f.FromHost && f.EtherType() == etherType
			})
			class := f.Data[15] // the IPv4 header's second byte
			if family == "IPv6" {
				class = f.Data[14]<<4 | f.Data[15]>>4
			}
			if class != dscp<<2 {
				t.Errorf("%q: %s advert has traffic class %#x, want %#x", text, family, class, dscp<<2)
			}
		}
	}
}
