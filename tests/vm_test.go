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

// The tests of this file run on the machine that tests/vm.sh boots, whose NICs are joined by a hub.

// vmTimeout is for what takes seconds elsewhere: the machine is emulated, and perhaps not alone.
const vmTimeout = 40 * time.Second

// vmGap is what a kill may cost a client there: what tests/failover_test.go allows, and three promotions that fail
// because the machine stood still for longer than a promotion's window between two of its adverts.
const vmGap = 5*time.Second + 3*masterDown

// vmNIC begins the address of its NICs.
var vmNIC = net.HardwareAddr{2, 0, 0, 0, 0x56}

// vmDriver returns the driver of the machine's NICs.
func vmDriver(t *testing.T) string {
	t.Helper()
	require(t, needVM)
	nics, err := lab.NICs(vmNIC)
	if err != nil || len(nics) == 0 {
		t.Fatalf("NICs %v, %v", nics, err)
	}
	driver, err := lab.NICDriver(nics[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("driver %s", driver)
	return driver
}

// vmAuto returns the mode that auto chooses for the machine's NICs, by what the kernel's source says of their driver.
func vmAuto(t *testing.T) string {
	t.Helper()
	driver := vmDriver(t)
	mode, known := map[string]string{
		"virtio_net": "native",
		"vmxnet3":    "native", // Linux 6.6 and newer
		"igb":        "native",
		"e1000e":     "tc", // it has no XDP
	}[driver]
	if !known {
		t.Fatalf("nothing is known of the driver %s", driver)
	}
	return mode
}

// newVMPair returns a dual-stack pair on real NICs; all of it may be on a VLAN.
func newVMPair(t *testing.T, mode, ifname string, dress func(h *lab.Host, addresses ...string)) *pair {
	t.Helper()
	require(t, needVM, needBPF)
	nics, err := lab.NICs(vmNIC)
	if err != nil || len(nics) != 3 {
		t.Fatalf("NICs %v, %v", nics, err)
	}
	p := &pair{Lab: lab.New(t)}
	hosts := make([]*lab.Host, 3)
	for i, own := range [][2]netip.Addr{{addrA, addrA6}, {addrB, addrB6}, {addrClient, addrClient6}} {
		hosts[i] = p.NewHost(string("abc"[i]))
		hosts[i].TakeNIC(nics[i], "eth0")
		dress(hosts[i], own[0].String()+"/24", own[1].String()+"/64")
	}
	config := func(skew int) lab.NodeConfig {
		c := dualStack(skew)
		c.Groups[0].Interface, c.Mode = ifname, mode
		return c
	}
	p.client = hosts[2]
	p.a, p.b = hosts[0].NewNode(bin(t), config(0)), hosts[1].NewNode(bin(t), config(100))
	return p
}

func plain(h *lab.Host, addresses ...string) {
	for _, a := range addresses {
		h.AddAddress("eth0", a)
	}
}

// TestVMFailover: in each mode on a real driver.
func TestVMFailover(t *testing.T) {
	for mode, got := range map[string]string{"auto": vmAuto(t), "tc": "tc", "generic": "generic"} {
		t.Run(mode, func(t *testing.T) {
			p := newVMPair(t, mode, "eth0", plain)
			p.failOver(
				t,
				failover{group: group, ifname: "eth0", mode: got, vips: []netip.Addr{vip, vip6}, within: vmTimeout, gap: vmGap},
			)
		})
	}
}

// TestVMNativeWaitsForMaster: a MASTER on tc ingress whose config now permits native mode keeps its link and its
// address, until a peer has taken over. The link that many drivers then take down for a moment has not failed: nothing
// in the history, and no demotion.
func TestVMNativeWaitsForMaster(t *testing.T) {
	if mode := vmAuto(t); mode != "native" {
		t.Logf("auto selects %s here", mode)
		return
	}
	p := newVMPair(t, "tc", "eth0", plain)
	config := func(skew int, mode string) lab.NodeConfig {
		c := dualStack(skew)
		c.Mode = mode
		c.Groups[0].AdvBase = 10 // a lease that outlasts a start on a slow machine
		return c
	}
	p.a.WriteConfig(config(0, "tc"))
	p.b.WriteConfig(config(100, "tc"))
	p.a.Start()
	before := p.a.WaitAnswering(group, vmTimeout)
	losses := p.a.CarrierLosses("eth0")
	p.a.WriteConfig(config(0, "auto"))
	p.a.Kill9()
	p.a.Start()
	p.a.WaitFor(group, "is MASTER on tc ingress, and says that native mode waits", vmTimeout,
		func(g lab.GroupStatus) bool {
			return g.Dataplane.Answering && g.Dataplane.Mode == "tc" && strings.Contains(g.Dataplane.Note, "MASTER")
		})
	p.b.Start()
	p.b.WaitFor(group, "is BACKUP and hears a", vmTimeout, hearsMaster)
	if g := p.a.Group(group); g.Generation != before.Generation {
		t.Errorf("generation %d, before the restart %d", g.Generation, before.Generation)
	}
	if n := p.a.CarrierLosses("eth0"); n != losses {
		t.Errorf("the link of a MASTER went down %d times", n-losses)
	}

	p.a.MustCTL("maintenance", "enter", "--wait")
	p.a.WaitFor(group, "serves in native mode", vmTimeout, func(g lab.GroupStatus) bool {
		return g.Dataplane.Mode == "native" && g.Dataplane.Note == ""
	})
	p.b.WaitAnswering(group, vmTimeout)
	p.a.MustCTL("maintenance", "leave") // it preempts: what it heard and sent, it did in native mode
	p.a.WaitAnswering(group, vmTimeout)
	p.b.WaitFor(group, "is BACKUP and hears a", vmTimeout, hearsMaster)
	t.Logf("attaching in native mode took the link down %d times", p.a.CarrierLosses("eth0")-losses)
	var states []string
	for _, e := range history(t, p.a) {
		states = append(states, e.To)
		if e.Reason == "link_down" {
			t.Errorf("a link that attaching took down was taken for one that failed: %+v", e)
		}
	}
	if n := len(states); n < 3 || !slices.Equal(states[n-3:], []string{lab.Master, lab.Backup, lab.Master}) {
		t.Errorf("a's states, in order: %v", states)
	}
	if st := p.a.Status(); st.Demotion != 0 {
		t.Errorf("a is demoted: %+v", st.Demotions)
	}
}

// TestVMVLAN: groups on VLAN devices, by the program of their parent, and by one on the device itself: tc and generic.
func TestVMVLAN(t *testing.T) {
	one, two := "eth0.100", "eth0.200.30"
	if vmDriver(t) == "vmxnet3" {
		t.Log("one tag instead of two: qemu's vmxnet3 cannot carry those (docs/drivers.md)")
		two = one
	}
	auto, parent := vmAuto(t), "eth0"
	if auto == "tc" {
		parent = "" // a program per VLAN device
	}
	for _, tc := range []struct{ name, mode, ifname, got, parent string }{
		{"802.1Q", "auto", one, auto, parent},
		{"two tags", "auto", two, auto, parent},
		{"tc", "tc", one, "tc", ""},
		{"generic", "generic", two, "generic", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := newVMPair(t, tc.mode, tc.ifname, func(h *lab.Host, addresses ...string) {
				h.AddVLAN("eth0", one, 100, false)
				if two != one {
					h.AddVLAN("eth0", "eth0.200", 200, true)
					h.AddVLAN("eth0.200", two, 30, false)
				}
				for _, a := range addresses {
					h.AddAddress(tc.ifname, a)
				}
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
			if receives(t, p.a.Host, "eth0") || receives(t, p.a.Host, tc.ifname) {
				t.Error("a program is left")
			}
			p.failOver(
				t,
				failover{
					group:  group,
					ifname: tc.ifname,
					mode:   tc.got,
					vips:   []netip.Addr{vip, vip6},
					within: vmTimeout,
					gap:    vmGap,
				},
			)
		})
	}
}
