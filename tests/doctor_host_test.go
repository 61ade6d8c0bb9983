// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/link"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

// Adverts of the better node do not reach the worse one: it takes over, and both are MASTER. Each sees its half.
func TestDoctorNamesMulticastThatGetsThroughOneWay(t *testing.T) {
	t.Parallel()
	p := newPair(t, oneVIP(0), oneVIP(100))
	asShipped(t, p.a, p.b)
	p.start()
	p.segment.NFT("add table bridge cut", "add chain bridge cut forward { type filter hook forward priority 0; }",
		"add rule bridge cut forward oifname b ip daddr 224.0.0.18 drop")
	p.b.WaitAnswering(group, patience)
	p.a.WaitFor(group, "names the deaf peer among its faults", patience, func(lab.GroupStatus) bool {
		return strings.Contains(p.a.MustCTL("status"), "eth0@1 (peer_deaf): run `vipctl doctor`")
	})
	says(t, finding(t, examine(t, p.a), "peer_deaf", group), addrB.String(), "does not hear this node")
	says(t, finding(t, examine(t, p.b), "nothing_heard", group), vip.String(), "none of its adverts")
}

// What is wrong with a host and its neighbours, all at once on one node, which is MASTER throughout.
func TestDoctorNamesWhatIsWrongOnTheHost(t *testing.T) {
	t.Parallel()
	require(t, needNetNS, needBPF)
	vip6 := "2001:db8::100"
	config := oneVIP(0)
	config.Groups[0].Addresses = append(config.Groups[0].Addresses, vip6+"/64")
	config.Groups = append(config.Groups,
		lab.Group{VHID: 2, Addresses: []string{"192.0.2.102/24"}, Extra: `peers = ["192.0.2.99"]`},
		lab.Group{Interface: "eth2", VHID: 3, Addresses: []string{"203.0.113.3/24"}})
	s := newSingle(t, config)
	asShipped(t, s.node)
	second := s.segment.Join(s.node.Host, "eth1", "198.51.100.1/24") // in the same segment as eth0
	elsewhere := s.NewSegment("elsewhere")
	elsewhere.Join(s.node.Host, "eth2", "203.0.113.1/24")
	intruder := s.NewHost("intruder")
	intruderPort := s.segment.Join(intruder, "eth0", "192.0.2.60/24")
	foreign := attachForeign(t, s.node.Host, "eth2")
	defer foreign.Close()

	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	s.node.WaitAnswering("eth0@2", upTimeout)
	s.node.WaitAnswering("eth2@3", upTimeout) // on tc ingress, which is not a fault
	intruder.AddAddress("eth0", vip.String()+"/32")
	intruder.AddAddress("eth0", vip6+"/128")
	for _, mac := range []string{"00:00:5e:00:01:01", "00:00:5e:00:01:02"} { // a veth with one left is promiscuous
		s.node.MustRun(toolTimeout, "bridge", "fdb", "del", mac, "dev", "eth0", "self")
	}
	paused := s.node.Pause() // shorter than the lease
	time.Sleep(time.Until(paused.Add(1700 * time.Millisecond)))
	s.node.Resume()

	d := examine(t, s.node)
	all := codesOf(d)
	conflict := finding(t, d, "address_conflict", group, all...)
	says(t, conflict, net.HardwareAddr(intruderPort.MAC[:]).String())
	for _, a := range []string{vip.String(), vip6} {
		if !strings.Contains(strings.Join(conflict.Evidence, "\n"), a) {
			t.Errorf("%s is not in the evidence %q", a, conflict.Evidence)
		}
	}
	says(t, finding(t, d, "second_interface", group, all...), "eth1", "192.0.2.100")
	says(t, finding(t, d, "second_interface", "eth0@2", all...), "eth1", "192.0.2.102")
	says(t, finding(t, d, "mac_filter", group, all...), "eth0", "00:00:5e:00:01:01")
	says(t, finding(t, d, "mac_filter", "eth0@2", all...), "eth0", "00:00:5e:00:01:02")
	says(t, finding(t, d, "starved", "", all...), "not scheduled in time")
	if f := finding(t, d, "peer_unresolved", "eth0@2", all...); !strings.Contains(f.Cause, "192.0.2.99") {
		t.Errorf("%+v", f)
	}
	if len(d.Findings) != 7 {
		t.Errorf("%d findings, want 7: %q", len(d.Findings), all)
	}

	// The cures that are told do cure.
	s.node.MustRun(toolTimeout, "bridge", "fdb", "add", "00:00:5e:00:01:02", "dev", "eth0", "self")
	if err := s.node.Within(func() error {
		return os.WriteFile(filepath.Join("/proc/sys/net/ipv4/conf", second.IfName, "arp_ignore"), []byte("1"), 0o644)
	}); err != nil {
		t.Fatal(err)
	}
	intruder.DelAddress("eth0", vip.String()+"/32")
	intruder.DelAddress("eth0", vip6+"/128")
	for _, f := range examine(t, s.node, "--for", "2").Findings {
		switch {
		case f.Code == "starved" || f.Code == "peer_unresolved":
		case f.Code == "address_conflict" && !strings.Contains(strings.Join(f.Evidence, "\n"), "asked for"):
			// What was announced stays visible for a while; no host answers any more.
		default:
			t.Errorf("still found: %+v", f)
		}
	}
}

// Native XDP on a veth loses what it sends, and counts it as sent: only the clients tell. One that is answered asks
// once.
func TestDoctorNamesAnswersThatDoNotLeave(t *testing.T) {
	t.Parallel()
	config := oneVIP(0)
	config.Mode = "native"
	s := newSingle(t, config)
	asShipped(t, s.node)
	sniffer := s.port.Sniff()
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) { // an announcement would do for an answer
		return len(sniffer.Frames().FromHost().GratuitousARP(vip)) == 3, "the last announcement"
	})
	repeat(t, 200*time.Millisecond, func() { // the client's stack asks for the address, time and again
		_ = s.client.Within(func() error {
			c, err := net.Dial("udp", net.JoinHostPort(vip.String(), "9"))
			if err != nil {
				return err
			}
			defer c.Close()
			_, err = c.Write([]byte("anybody there?"))
			return err
		})
	})
	s.node.WaitFor(group, "is asked", patience, func(g lab.GroupStatus) bool { return g.Counters.ARPReplies > 0 })
	says(t, finding(t, examine(t, s.node, "--for", "4"), "answers_unseen", group), "asks", "does not leave")
}

// attachForeign attaches a program of another owner to an interface's XDP slot.
func attachForeign(t *testing.T, h *lab.Host, ifname string) link.Link {
	t.Helper()
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Name: "someone_else", Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 2), asm.Return()}, // XDP_PASS
	})
	if err != nil {
		t.Fatal(err)
	}
	defer prog.Close()
	var theirs link.Link
	ifindex := h.IfIndex(ifname)
	if err := h.Within(func() error {
		theirs, err = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: link.XDPGenericMode})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return theirs
}

// A healthy pair has no fault, on either node; and one that loses adverts, or is in maintenance on both, has that.
func TestDoctorFindsNothingThenLossThenMaintenanceOnBothNodes(t *testing.T) {
	t.Parallel()
	config := func(skew int, peer string) lab.NodeConfig {
		c := oneVIP(skew)
		c.Groups[0].Addresses = append(c.Groups[0].Addresses, "2001:db8::100/64")
		unicast := lab.Group{VHID: 2, Addresses: []string{"192.0.2.102/24"}, AdvSkew: skew, Extra: `peers = ["` + peer + `"]`}
		c.Groups = append(c.Groups, unicast)
		return c
	}
	p := newPair(t, config(0, addrB.String()), config(100, addrA.String()))
	asShipped(t, p.a, p.b)
	p.a.Start()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
	p.b.WaitFor("eth0@2", "is BACKUP and hears a", patience, hearsMaster)
	for _, n := range []*lab.Node{p.a, p.b} {
		before := n.Group(group)
		code, out := n.CTL("doctor")
		if code != 0 || !strings.HasSuffix(out, "\nNo fault found.\n") || !strings.Contains(out, "the peers' address lists") {
			t.Errorf("%s: exit code %d\n%s", n.Name, code, out)
		}
		if strings.Contains(out, api.CheckSkipped) {
			t.Errorf("%s: not everything could be looked at:\n%s", n.Name, out)
		}
		if after := n.Group(group); after.State != before.State || !sameTime(after.Since, before.Since) {
			t.Errorf("the doctor moved the group on %s: %s since %v, was %s since %v",
				n.Name, after.State, after.Since, before.State, before.Since)
		}
	}
	// One of three adverts arrives: just enough to stay BACKUP.
	ends := []func(){p.portB.LoseAdverts(vhid, 2, 3), p.portB.LoseAdverts(2, 2, 3)}
	says(t, finding(t, examine(t, p.b, "--for", "10"), "adverts_lost", group, "adverts_lost"), "get lost")
	for _, end := range ends {
		end()
	}
	p.a.MustCTL("maintenance", "enter")
	p.b.WaitAnswering(group, patience)
	p.b.MustCTL("maintenance", "enter")
	p.a.WaitFor(group, "hears 240", patience, func(g lab.GroupStatus) bool {
		return g.Master != nil && g.Master.AdvSkew == 240
	})
	says(t, finding(t, examine(t, p.a), "all_in_maintenance", group, "all_in_maintenance"), "maintenance")
}
