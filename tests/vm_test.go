// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net"
	"testing"
	"time"

	"vipd/tests/lab"
)

// The tests of this file run on the machine that tests/vm.sh boots, whose virtio NICs are joined by a hub.

// vmTimeout is for what takes seconds elsewhere: the machine is emulated, and perhaps not alone.
const vmTimeout = 40 * time.Second

// vmNIC begins the address of its NICs.
var vmNIC = net.HardwareAddr{2, 0, 0, 0, 0x56}

// vmPair is a pair on real NICs; all of it may be on a VLAN.
func newVMPair(t *testing.T, extra string, ifname string, dress func(h *lab.Host, address string)) *pair {
	t.Helper()
	require(t, needVM, needBPF)
	nics, err := lab.NICs(vmNIC)
	if err != nil || len(nics) != 3 {
		t.Fatalf("NICs %v, %v", nics, err)
	}
	p := &pair{Lab: lab.New(t)}
	hosts := make([]*lab.Host, 3)
	for i, address := range []string{addrA.String(), addrB.String(), addrClient.String()} {
		hosts[i] = p.NewHost(string("abc"[i]))
		hosts[i].TakeNIC(nics[i], "eth0")
		dress(hosts[i], address+"/24")
	}
	config := func(skew int) lab.NodeConfig {
		c := oneVIP(skew)
		c.Groups[0].Interface, c.Extra = ifname, extra
		return c
	}
	p.client = hosts[2]
	p.a, p.b = hosts[0].NewNode(bin(t), config(0)), hosts[1].NewNode(bin(t), config(100))
	return p
}

// failOver starts a, then b, kills a and looks at it all as the client does.
func (p *pair) failOver(t *testing.T, group, ifname, mode string) {
	t.Helper()
	p.a.Start()
	g := p.a.WaitAnswering(group, vmTimeout)
	if g.Dataplane.Mode != mode {
		t.Errorf("a runs in mode %q, want %q", g.Dataplane.Mode, mode)
	}
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", vmTimeout, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrA.String()
	})
	pinger := p.client.Ping(vip, 10*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), 5*time.Second)
	if mac := p.client.Neighbour(ifname, vip); mac != net.HardwareAddr(vmac[:]).String() {
		t.Errorf("the client knows the VIP at %s", mac)
	}
	time.Sleep(2 * time.Second)
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, vmTimeout)
	pinger.AwaitAnswer(time.Now(), 5*time.Second)
	r := pinger.Stop()
	t.Logf("client: %v; it began %v after the kill", r, r.From.Sub(killed).Round(time.Millisecond))
	// a's kernel spoke on until the lease ended; b took over a skew later, and an emulated machine is slow.
	if r.Gap > 5*time.Second {
		t.Errorf("the kill cost the client %v", r.Gap)
	}
	if r.Doubles > 0 {
		t.Errorf("%d pings were answered twice", r.Doubles)
	}
	if g := p.b.Group(group); g.Counters.Packets == 0 {
		t.Errorf("b has delivered nothing: %+v", g.Counters)
	}
	// The client asks anew: b's kernel answers.
	before := p.b.Group(group).Counters.ARPReplies
	p.client.Forget(ifname, vip)
	again := p.client.Ping(vip, 20*time.Millisecond)
	again.AwaitAnswer(time.Now(), 5*time.Second)
	again.Stop()
	if after := p.b.Group(group).Counters.ARPReplies; after <= before {
		t.Errorf("answered no ARP request: %d, before %d", after, before)
	}
	p.b.Stop()
	p.a.Cleanup()
}

func plain(h *lab.Host, address string) { h.AddAddress("eth0", address) }

// TestVMFailover: in each mode on a real driver.
func TestVMFailover(t *testing.T) {
	for mode, got := range map[string]string{"auto": "native", "generic": "generic"} {
		t.Run(mode, func(t *testing.T) {
			p := newVMPair(t, fmt.Sprintf("[xdp]\nmode = %q\n", mode), "eth0", plain)
			p.failOver(t, group, "eth0", got)
		})
	}
}

// TestVMVLAN: groups on VLAN devices, by the program of their parent and in generic mode on the device itself.
func TestVMVLAN(t *testing.T) {
	const one, two = "eth0.100", "eth0.200.30"
	for _, tc := range []struct{ name, mode, ifname, got, parent string }{
		{"802.1Q", "auto", one, "native", "eth0"},
		{"802.1ad", "auto", two, "native", "eth0"},
		{"generic", "generic", two, "generic", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newVMPair(t, fmt.Sprintf("[xdp]\nmode = %q\n", tc.mode), tc.ifname, func(h *lab.Host, address string) {
				h.AddVLAN("eth0", one, 100, false)
				h.AddVLAN("eth0", "eth0.200", 200, true)
				h.AddVLAN("eth0.200", two, 30, false)
				h.AddAddress(tc.ifname, address)
			})
			group := tc.ifname + "@1"
			p.a.Start()
			if g := p.a.WaitAnswering(group, vmTimeout); g.Dataplane.Parent != tc.parent {
				t.Errorf("served by %q, want %q", g.Dataplane.Parent, tc.parent)
			}
			if f := p.a.UnicastFilter(tc.ifname); len(f) != 1 {
				t.Errorf("the filter of %s has %v", tc.ifname, f)
			}
			// The parent loses its link, and has it back.
			p.a.SetDown("eth0")
			p.a.WaitState(group, lab.Init, vmTimeout)
			p.a.SetUp("eth0")
			p.a.WaitState(group, lab.Backup, vmTimeout)
			p.a.Stop()
			if f := p.a.UnicastFilter(tc.ifname); len(f) != 0 {
				t.Errorf("the filter of %s still has %v", tc.ifname, f)
			}
			if p.a.XDPProgram("eth0") != 0 || p.a.XDPProgram(tc.ifname) != 0 {
				t.Error("a program is left")
			}
			p.failOver(t, group, tc.ifname, tc.got)
		})
	}
}
