// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/agent/netio"
)

func prefix(s string) netip.Prefix { return netip.MustParsePrefix(s) }

// twoNames is a bench on one interface that is called eth0 and lan.
func twoNames(t *testing.T, lan uint8, address string) *bench {
	t.Helper()
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.links["lan"] = b.links["eth0"]
	b.reloadTo(testGroup("eth0", 1, "192.0.2.100/24"), testGroup("lan", lan, address))
	return b
}

func TestTwoNamesServeTwoGroups(t *testing.T) {
	b := twoNames(t, 2, "192.0.2.101/24")
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.expectState("lan@2", election.Backup, election.ReasonStartup)
	if log := b.drain(); slices.Contains(log, "attach lan 10") {
		t.Errorf("attached twice: %q", log)
	}
	b.master()
	b.pass(0)
	// One loses its name, the other goes on.
	delete(b.links, "lan")
	b.syncInterfaces()
	b.expectState("lan@2", election.Init, election.ReasonInterfaceMissing)
	b.expectState("eth0@1", election.Master, election.ReasonMasterTimeout)
	if slices.Contains(b.drain(), "detach 10") {
		t.Error("the interface was let go")
	}
	b.links["lan"] = b.links["eth0"]
	b.syncInterfaces()
	b.expectState("lan@2", election.Backup, election.ReasonLinkUp)
	// The last group under the interface's own name goes.
	b.reloadTo(testGroup("lan", 2, "192.0.2.101/24"))
	for range 6 {
		b.pass(time.Second)
	}
	b.expectState("lan@2", election.Master, election.ReasonMasterTimeout)
	if b.group("eth0@1") != nil {
		t.Error("eth0@1 is still there")
	}
	b.reloadTo()
	for range 6 {
		b.pass(time.Second)
	}
	if len(b.interfaces) != 0 {
		t.Errorf("ports left: %v", b.interfaces)
	}
}

func TestTwoNamesAreOneGroup(t *testing.T) {
	for _, c := range []struct {
		vhid    uint8
		address string
	}{{1, "192.0.2.101/24"}, {2, "192.0.2.100/24"}} {
		b := twoNames(t, c.vhid, c.address)
		name := map[uint8]string{1: "lan@1", 2: "lan@2"}[c.vhid]
		b.expectState("eth0@1", election.Backup, election.ReasonStartup)
		b.expectState(name, election.Init, election.ReasonInterfaceDuplicate)
		if len(b.planes) != 1 {
			t.Errorf("%d groups in the data plane, want 1", len(b.planes))
		}
		delete(b.links, "eth0") // renamed: lan is what is left
		b.syncInterfaces()
		b.expectState("eth0@1", election.Init, election.ReasonInterfaceMissing)
		b.expectState(name, election.Backup, election.ReasonStartup)
	}
}

// An interface that VRFs take in and let go keeps its routes in the right table.
func TestRoutesFollowTheInterfaceIntoAVRF(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "198.51.100.100/24"))
	b.master()
	l := b.links["eth0"]
	l.VRF, l.Table = 20, 1042
	b.links["eth0"] = l
	b.syncInterfaces()
	if log := b.drain(); !slices.Contains(log, "del route 198.51.100.0/24") ||
		!slices.Contains(log, "add route 198.51.100.0/24 table 1042") {
		t.Errorf("actions %q", log)
	}
	b.links["eth0"] = netio.Link{Index: 10, Name: "eth0", Ethernet: true, Table: 1042, VRF: 20}
	b.syncInterfaces()
	if log := b.drain(); !slices.Contains(log, "del route 198.51.100.0/24 table 1042") {
		t.Errorf("actions %q", log)
	}
}
