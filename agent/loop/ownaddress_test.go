// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/election"
	"vipd/agent/netio"
	"vipd/loader"
)

func ordinaryAddress(ifindex int, prefix string) netio.Address {
	return netio.Address{IfIndex: ifindex, Prefix: netip.MustParsePrefix(prefix)}
}

func (b *bench) expectNothingDone(addresses ...string) {
	b.t.Helper()
	for _, line := range b.drain() {
		for _, a := range addresses {
			if strings.HasPrefix(line, "add "+a+" ") || strings.HasPrefix(line, "del "+a+" ") {
				b.t.Errorf("an address of the host was touched: %s", line)
			}
		}
	}
}

func TestOrdinaryAddressAtTheStart(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.11/24"))
	b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
	if len(b.planes) != 0 {
		t.Error("the fence has the host's own address")
	}
	if d := b.group("eth0@1").shown.Live().Now().Detail; !strings.Contains(d, "ip addr del 192.0.2.11/24 dev eth0") {
		t.Errorf("detail %q", d)
	}
	b.own = []netip.Prefix{netip.MustParsePrefix("192.0.2.12/24")}
	b.syncInterfaces()
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
}

func TestBackupStepsAsideForAnOrdinaryAddress(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "192.0.2.101/24"), testGroup("eth0", 2, "192.0.2.102/24"))
	b.foreign = []netio.Address{ordinaryAddress(10, "192.0.2.101/24")}
	b.syncInterfaces()
	b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
	b.expectState("eth0@2", election.Backup, election.ReasonStartup)
	if b.planes["10@1"] != nil || b.planes["10@2"] == nil {
		t.Errorf("in the data plane: %v, want the other group alone", b.planes)
	}
}

// A MASTER says goodbye and touches the address no more, whichever it is to the kernel.
func TestMasterStepsAsideForAnOrdinaryAddress(t *testing.T) {
	for _, made := range []string{"192.0.2.100/24", "192.0.2.100/32", "2001:db8::100/64", "2001:db8::100/128"} {
		b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24", "2001:db8::100/64"))
		b.own = append(b.own, netip.MustParsePrefix("fe80::2/64"))
		b.syncInterfaces()
		b.master()
		b.foreign = []netio.Address{ordinaryAddress(10, made)}
		touched := netip.MustParsePrefix(made)
		if touched.Addr().Is6() || touched.IsSingleIP() {
			delete(
				b.vips,
				fakeRoute{10, netip.PrefixFrom(touched.Addr(), touched.Addr().BitLen())},
			) // it is the same to the kernel
		}
		b.syncInterfaces()
		log := b.drain()
		if !slices.ContainsFunc(log, func(l string) bool { return strings.HasPrefix(l, "advert 255/255") }) {
			t.Errorf("%s: no goodbye in %q", made, log)
		}
		b.log = log
		for range 6 {
			b.pass(time.Second)
			b.syncInterfaces()
		}
		b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
		if len(b.planes) != 0 {
			t.Errorf("%s: still in the data plane", made)
		}
		if touched.Addr().Is6() || touched.IsSingleIP() {
			b.expectNothingDone(touched.Addr().String())
		} else if log := b.drain(); !slices.Contains(log, "del 192.0.2.100 from 10") {
			t.Errorf("%s: vipd's own address is still there: %q", made, log)
		}
	}
}

// The host gets the address between two looks: adding is refused, and nothing is replaced.
func TestOrdinaryAddressFoundByTheKernel(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.foreign = []netio.Address{ordinaryAddress(10, "192.0.2.100/32")}
	b.pass(3 * time.Second)
	b.expectNothingDone("192.0.2.100")
}

func TestReloadAddsAnOrdinaryAddress(t *testing.T) {
	g := testGroup("eth0", 1, "192.0.2.100/24")
	b := newBench(t, g)
	b.master()
	g.Addresses = append(g.Addresses, netip.MustParsePrefix("192.0.2.11/24"))
	b.reloadTo(g)
	b.pass(6 * time.Second)
	b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
	b.expectNothingDone("192.0.2.11")
}

func TestAdoptedOwnerOfAnOrdinaryAddress(t *testing.T) {
	pin := loader.PinnedGroup{
		IfIndex: 10,
		VHID:    1,
		VIPs:    []netip.Addr{netip.MustParseAddr("192.0.2.11")},
		Role: loader.Role{
			State:      loader.RoleMaster,
			Generation: 7,
			Lease:      startTime + 2*second,
			SendUntil:  startTime + 2*second,
		},
	}
	b := newBenchWith(t, []loader.PinnedGroup{pin}, testGroup("eth0", 1, "192.0.2.11/24"))
	delete(b.vips, fakeRoute{10, netip.MustParsePrefix("192.0.2.11/32")})
	b.foreign = []netio.Address{ordinaryAddress(10, "192.0.2.11/32")}
	b.syncInterfaces()
	b.pass(3 * time.Second)
	b.expectState("eth0@1", election.Init, election.ReasonOwnAddress)
	if len(b.planes) != 0 {
		t.Error("still in the data plane")
	}
	for _, line := range b.drain() {
		if line == "del 192.0.2.11 from 10" {
			t.Error("the host's address was removed")
		}
	}
}

func TestPlanNamesAnOrdinaryAddress(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	text := "[[vip]]\ninterface = \"eth0\"\nvhid = 2\naddresses = [\"192.0.2.11/24\"]\npassword = \"x\"\n"
	plan, err := b.operator.Plan(t.Context(), &api.ConfigFile{Name: "f", Mode: 0o600, Text: []byte(text)})
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plan.Changes, func(c api.PlanChange) bool { return c.Group == "eth0@2" })
	if i < 0 || !strings.Contains(plan.Changes[i].Effects[0].Text, "own_address") {
		t.Errorf("changes %+v", plan.Changes)
	}
	if len(plan.Warnings) == 0 ||
		!strings.Contains(strings.Join(plan.Warnings, "\n"), "ip addr del 192.0.2.11/24 dev eth0") {
		t.Errorf("warnings %q", plan.Warnings)
	}
}

// What an earlier vipd left is removed, unless it has become the host's own.
func TestLeftoversOfTheHostStay(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.foreign = []netio.Address{ordinaryAddress(10, "192.0.2.105/32")}
	left := []loader.LeftVIP{
		{IfIndex: 10, VHID: 5, Addr: netip.MustParseAddr("192.0.2.105")},
		{IfIndex: 10, VHID: 5, Addr: netip.MustParseAddr("192.0.2.106")},
	}
	TakeOff(b.host, left, KeepNone, b.Loop.log)
	log := b.drain()
	if slices.Contains(log, "del 192.0.2.105 from 10") || !slices.Contains(log, "del 192.0.2.106 from 10") {
		t.Errorf("actions %q", log)
	}
}
