// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/wire"
	"vipd/tests/lab"
)

var intruderMAC = [6]byte{2, 0, 0, 0, 0, 0x66}

// announced returns the announcement of an address by another host: a gratuitous request, or an unsolicited
// advertisement.
func announced(addr netip.Addr, mac [6]byte) []byte {
	if addr.Is4() {
		return bytes.ReplaceAll(wire.GratuitousARP(vhid, addr), vmac[:], mac[:])
	}
	f := bytes.ReplaceAll(wire.UnsolicitedNA(vhid, addr, false), vmac[:], mac[:])
	icmp := f[54:]
	icmp[2], icmp[3] = 0, 0
	pseudo := slices.Concat(f[22:54], []byte{0, 0, 0, byte(len(icmp)), 0, 0, 0, lab.ProtoICMPv6})
	binary.BigEndian.PutUint16(icmp[2:], lab.Checksum(append(pseudo, icmp...)))
	return f
}

// knows reports whether the client has the address at the MAC.
func (p *pair) knows(addr netip.Addr, mac [6]byte) bool {
	return p.client.Neighbour("eth0", addr) == net.HardwareAddr(mac[:]).String()
}

// One foreign announcement takes a client away; it is back within 1.2 s, in both families, and status, metric, history
// and doctor name the MAC on both nodes. The BACKUP announces nothing.
func TestClientIsBackAfterAForeignAnnouncement(t *testing.T) {
	t.Parallel()
	p := newPairWith(t, []string{"/24", "/64"}, dualStack(0), dualStack(100))
	asShipped(t, p.a, p.b)
	p.startNaturally()
	for _, addr := range []netip.Addr{vip, vip6} {
		pinger := p.client.Ping(addr, 20*time.Millisecond)
		p.Eventually(
			patience,
			5*time.Millisecond,
			func() (bool, string) { return p.knows(addr, vmac), "the client knows " + addr.String() },
		)
		if r := pinger.Stop(); r.Lost == r.Sent {
			t.Errorf("%s: no answer before", addr)
		}
		sniffer, stalls := p.clientPort.Sniff(), p.WatchStalls()
		backup := p.portB.Sniff()
		// From somewhere else, or the client's own bridge port would not hand it to the client.
		intruder := p.portIntruder(addr)
		at := intruder.Send(announced(addr, intruderMAC))
		p.Eventually(patience, time.Millisecond, func() (bool, string) {
			return p.knows(addr, intruderMAC) ||
				len(sniffer.Frames().ToHost().After(at).Speaking(addr, vmac)) > 0, "the intruder is believed"
		})
		p.Eventually(
			patience,
			5*time.Millisecond,
			func() (bool, string) { return p.knows(addr, vmac), "the client is back at " + addr.String() },
		)
		if took := time.Since(at); took > 1200*time.Millisecond+stalls.Allowance() {
			t.Errorf("%s: the client is back after %v", addr, took)
		}
		sniffer.Await(patience, "a second announcement", func(f lab.Frame) bool {
			return f.At.Sub(at) > 900*time.Millisecond && len(lab.Frames{f}.ToHost().Speaking(addr, vmac)) > 0
		})
		if spoken := backup.Frames().FromHost().After(at).Speaking(addr, vmac); len(spoken) > 0 {
			t.Errorf("the BACKUP spoke:\n%v", spoken)
		}
		for _, n := range []*lab.Node{p.a, p.b} {
			p.names(t, n, addr)
		}
	}
}

// names checks that a node names the intruder everywhere.
func (p *pair) names(t *testing.T, n *lab.Node, addr netip.Addr) {
	t.Helper()
	mac := net.HardwareAddr(intruderMAC[:]).String()
	var st api.Status
	p.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		st = api.Status{}
		if err := json.Unmarshal([]byte(n.MustCTL("status", "-o", "json")), &st); err != nil {
			t.Fatal(err)
		}
		return slices.ContainsFunc(st.Groups[0].AddressConflicts, func(c api.AddressConflict) bool {
			return c.MAC == mac && c.Address == addr.String() && c.Count == 1
		}), "the status names the intruder"
	})
	if !slices.Contains(st.Groups[0].Faults, "address_conflict") {
		t.Errorf("faults %v", st.Groups[0].Faults)
	}
	if got := n.Metrics(); !strings.Contains(got,
		`vipd_address_conflicts_total{address="`+addr.String()+`",interface="eth0",vhid="1"} 1`) {
		t.Errorf("no such metric for %s", addr)
	}
	if got := n.MustCTL("history"); !strings.Contains(got, "address_conflict") ||
		!strings.Contains(got, mac+" "+addr.String()) {
		t.Errorf("history:\n%s", got)
	}
	if _, got := n.CTL("doctor"); !strings.Contains(got, mac) || !strings.Contains(got, "last seen") {
		t.Errorf("doctor:\n%s", got)
	}
	if got := n.Proc().Output(); !strings.Contains(got, mac) {
		t.Errorf("the log does not name %s", mac)
	}
}

// portIntruder is another host on the segment.
func (p *pair) portIntruder(addr netip.Addr) *lab.Injector {
	name := "x4"
	if addr.Is6() {
		name = "x6"
	}
	return p.segment.Join(p.NewHost(name), "eth0").Injector()
}
