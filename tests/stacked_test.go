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

// stacked are the kinds of interfaces that get their frames from others of the same host.
var stacked = []struct {
	name, ifname string
	needs        []need
	ports        []string // the interfaces below
	dress        func(h *lab.Host, addresses ...string)
}{
	{"macvlan", "mv0", nil, []string{"eth0"}, func(h *lab.Host, addresses ...string) {
		h.Set("ipv4/conf/eth0/arp_ignore", "1")
		h.AddMacvlan("eth0", "mv0", true, addresses...)
	}},
	{"bridge", "br0", nil, []string{"eth0"}, func(h *lab.Host, addresses ...string) {
		h.AddBridge("br0", []string{"eth0"}, addresses...)
	}},
	{"bond", "bond0", []need{needBond}, []string{"eth0", "eth1"}, func(h *lab.Host, addresses ...string) {
		h.AddBond("bond0", "active-backup", []string{"eth0", "eth1"}, addresses...)
	}},
}

// newStackedPair returns a dual-stack pair whose groups are on such an interface.
func newStackedPair(t *testing.T, kind int) *pair {
	t.Helper()
	s := stacked[kind]
	require(t, append(s.needs, needNetNS, needBPF)...)
	p := &pair{Lab: lab.New(t)}
	p.segment = p.NewSegment("lan")
	node := func(name string, skew int, addresses ...string) *lab.Node {
		h := p.NewHost(name)
		for _, port := range s.ports {
			p.segment.Join(h, port)
		}
		s.dress(h, addresses...)
		c := dualStack(skew)
		c.Groups[0].Interface = s.ifname
		return h.NewNode(bin(t), c)
	}
	p.a = node("a", 0, addrA.String()+"/24", addrA6.String()+"/64")
	p.b = node("b", 10, addrB.String()+"/24", addrB6.String()+"/64")
	p.client = p.NewHost("client")
	p.clientPort = p.segment.Join(p.client, "eth0", addrClient.String()+"/24", addrClient6.String()+"/64")
	return p
}

// Two nodes on a macvlan, a bridge and a bond each: ARP and ND are answered by the data plane, on tc ingress where the
// tags of VLANs are seen, frames come in at the virtual MAC, the other node takes over.
func TestStackedInterfacesServeAndFailOver(t *testing.T) {
	t.Parallel()
	within, gap := upTimeout, skewed(10)+100*time.Millisecond
	if needVM.missing() == nil {
		within, gap = vmTimeout, vmGap
	}
	for i, s := range stacked {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			p := newStackedPair(t, i)
			group := s.ifname + "@1"
			p.a.Start()
			g := p.a.WaitAnswering(group, within)
			if !strings.Contains(g.Dataplane.Note, "no xdp on a "+s.name) {
				t.Errorf("the note does not say why there is no XDP: %+v", g.Dataplane)
			}
			if f := p.a.UnicastFilter(s.ifname); !slices.Contains(f, net.HardwareAddr(vmac[:]).String()) {
				t.Errorf("the filter of %s has %v", s.ifname, f)
			}
			p.assertTagsAreOthers(t, group)
			p.a.Stop()
			if f := p.a.UnicastFilter(s.ifname); len(f) > 0 {
				t.Errorf("the filter of %s still has %v", s.ifname, f)
			}
			if n := p.a.ClsactFilters(s.ifname); n > 0 || receives(t, p.a.Host, s.ifname) {
				t.Errorf("%d filters are left on %s, or a receiving program", n, s.ifname)
			}
			p.failOver(
				t,
				failover{
					group:  group,
					ifname: s.ifname,
					mode:   g.Dataplane.Mode,
					vips:   []netip.Addr{vip, vip6},
					within: within,
					gap:    gap,
				},
			)
		})
	}
}

// assertTagsAreOthers: a frame with a VLAN tag is not for this interface, although the kernel has removed the tag
// before a runs. The request without a tag is the control.
func (p *pair) assertTagsAreOthers(t *testing.T, group string) {
	t.Helper()
	sniffer, in := p.clientPort.Sniff(), p.clientPort.Injector()
	forged := newPeer(p.clientPort, addrClient) // its digest is that of a group with other addresses
	before := p.a.Group(group).Counters
	for range 3 {
		in.Send(tagged(100, lab.ARPRequest(p.clientPort.MAC, addrClient, vip)))
		in.Send(tagged(100, forged.build(nil)))
	}
	if answers := p.clientPort.AnswersARP(addrClient, vip, 500*time.Millisecond); len(answers) != 1 {
		t.Errorf("a request without a tag was answered by:\n%v", answers)
	}
	answers := sniffer.Frames().ToHost().Where(func(f lab.Frame) bool { a, ok := f.ARP(); return ok && a.Op == 2 })
	if len(answers) != 1 {
		t.Errorf("want one answer, to the request without a tag, got:\n%v", answers)
	}
	after := p.a.Group(group).Counters
	if after.ARPRequests != before.ARPRequests+1 || after.Rejected["bad_hmac"] != before.Rejected["bad_hmac"] {
		t.Errorf("what was said on a VLAN was counted: %+v, before %+v", after, before)
	}
	in.Send(forged.build(nil))
	p.a.WaitFor(group, "counts the forged advert without a tag", patience, func(g lab.GroupStatus) bool {
		return g.Counters.Rejected["bad_hmac"] == before.Rejected["bad_hmac"]+1
	})
}

// tagged puts an 802.1Q tag into a frame.
func tagged(id uint16, frame []byte) []byte {
	return slices.Concat(frame[:12], []byte{0x81, 0, byte(id >> 8), byte(id)}, frame[12:])
}

// A macvlan that gets no frames to the virtual MAC, and one over an interface that answers for every address of the
// host, are refused with what to do; with that done the group starts.
func TestMacvlansThatCannotServeAreRefused(t *testing.T) {
	t.Parallel()
	for name, passthru := range map[string]bool{"in mode bridge": false, "over eth0 of this host": true} {
		c := oneVIP(0)
		c.Groups[0].Interface = "mv0"
		s := newSingle(t, c)
		s.node.AddMacvlan("eth0", "mv0", passthru)
		s.node.Start()
		g := s.node.WaitState("mv0@1", lab.Init, patience)
		for _, word := range []string{name, `configure interface = "eth0"`} {
			if g.Reason != "attach_failed" || !strings.Contains(g.Detail, word) {
				t.Errorf("INIT for the reason %s: %q is not in: %s", g.Reason, word, g.Detail)
			}
		}
		if passthru {
			s.node.Set("ipv4/conf/eth0/arp_ignore", "1")
			s.node.MustCTL("reload")
			s.node.WaitAnswering("mv0@1", upTimeout)
		}
	}
}
