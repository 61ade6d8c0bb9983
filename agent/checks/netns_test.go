// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"fmt"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/agent/config"
	"vipd/tests/needs"
)

func mustAddr(text string) netip.Addr { return netip.MustParseAddr(text) }

// segment puts the test, on its own thread, into an unnamed namespace with interface
// "here", at the other end of which, in another, "there" has 192.0.2.2 and fd00::2.
func segment(t *testing.T) (there *netlink.Handle) {
	t.Helper()
	needs.NetNS(t)
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	runtime.LockOSThread()
	home, err := netns.Get()
	ok(err)
	far, err := netns.New()
	ok(err)
	near, err := netns.New()
	ok(err)
	t.Cleanup(func() {
		if err := netns.Set(home); err != nil {
			t.Error(err) // the thread stays locked, so the runtime ends it with the goroutine
		} else {
			runtime.UnlockOSThread()
		}
		for _, h := range []netns.NsHandle{near, far, home} {
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	there, err = netlink.NewHandleAt(far)
	ok(err)
	t.Cleanup(there.Close)
	here, err := netlink.NewHandle()
	ok(err)
	t.Cleanup(here.Close)
	ok(here.LinkAdd(&netlink.Veth{
		LinkAttrs: netlink.LinkAttrs{Name: "here"}, PeerName: "there", PeerNamespace: netlink.NsFd(far),
	}))
	for _, end := range []struct {
		nl   *netlink.Handle
		name string
		n    int
	}{{here, "here", 1}, {there, "there", 2}} {
		link, err := end.nl.LinkByName(end.name)
		ok(err)
		for _, a := range []string{fmt.Sprintf("192.0.2.%d/24", end.n), fmt.Sprintf("fd00::%d/64", end.n)} {
			addr, err := netlink.ParseAddr(a)
			ok(err)
			if addr.IP.To4() == nil {
				addr.Flags = unix.IFA_F_NODAD
			}
			ok(end.nl.AddrAdd(link, addr))
		}
		ok(end.nl.LinkSetUp(link))
	}
	return there
}

// probe runs on the calling thread, so that it uses the namespace.
func probe(t *testing.T, c config.Check) string {
	t.Helper()
	ctx, cancel := contextFor(t, 300*time.Millisecond)
	defer cancel()
	if err := newProbe(c, command.Local{}, nil)(ctx); err != nil {
		return err.Error()
	}
	return ""
}

func TestNetworkProbes(t *testing.T) {
	there := segment(t)
	ping := config.Check{Type: config.CheckICMP, Target: "fd00::2"}
	for deadline := time.Now().Add(10 * time.Second); probe(t, ping) != ""; {
		if time.Now().After(deadline) { // IPv6 takes a second or two to be set up on a new interface
			t.Fatal("no answer over IPv6")
		}
	}
	addRoute(t, "198.51.100.0/24", "192.0.2.2", 0)
	addRoute(t, "203.0.113.0/25", "192.0.2.2", 0)
	addRoute(t, "203.0.113.0/24", "192.0.2.2", 0) // hidden from its first address by the /25
	addRoute(t, "203.0.114.0/24", "", unix.RTN_BLACKHOLE)
	addRoute(t, "2001:db8::/32", "fd00::2", 0)

	const quiet = "i/o timeout"
	cases := []struct {
		kind, target, ifname, want string
	}{
		{config.CheckInterface, "here", "", ""},
		{config.CheckInterface, "lo", "", "is down or has no carrier"},
		{config.CheckInterface, "nowhere", "", "no such interface"},
		{config.CheckRoute, "192.0.2.0/24", "", ""},
		{config.CheckRoute, "198.51.100.0/24", "", ""},
		{config.CheckRoute, "198.51.100.0/25", "", "is not in the main routing table"},
		{config.CheckRoute, "203.0.113.0/24", "", ""},
		{config.CheckRoute, "203.0.114.0/24", "", "is in the main routing table, but is a blackhole route"},
		{config.CheckRoute, "0.0.0.0/0", "", "is not in the main routing table"},
		{config.CheckRoute, "::/0", "", "is not in the main routing table"},
		{config.CheckRoute, "2001:db8::/32", "", ""},
		{config.CheckRoute, "2001:db8::/48", "", "is not in the main routing table"},
		{config.CheckICMP, "192.0.2.2", "", ""},
		{config.CheckICMP, "192.0.2.2", "here", ""},
		{config.CheckICMP, "192.0.2.2", "nowhere", "use interface nowhere: no such device"},
		{config.CheckICMP, "fd00::2", "", ""},
		{config.CheckICMP, "192.0.2.3", "", quiet},
		{config.CheckICMP, "10.0.0.1", "", "network is unreachable"},
		{config.CheckARP, "192.0.2.2", "here", ""},
		{config.CheckARP, "192.0.2.2", "", ""},
		{config.CheckARP, "192.0.2.3", "here", quiet},
		{config.CheckARP, "192.0.2.2", "nowhere", "no such interface"},
		{config.CheckARP, "192.0.2.2", "lo", "lo is not an Ethernet interface"},
		{
			config.CheckARP,
			"198.51.100.1",
			"",
			"the address is routed through 192.0.2.2; if it is on link, name the interface in the check",
		},
		{config.CheckARP, "10.0.0.1", "", "no route to the address; name the interface in the check"},
	}
	for _, tt := range cases {
		got := probe(t, config.Check{Type: tt.kind, Target: tt.target, Interface: tt.ifname})
		if got != tt.want {
			t.Errorf("%s %s %s: %q, want %q", tt.kind, tt.target, tt.ifname, got, tt.want)
		}
	}
	addRoute(t, "0.0.0.0/0", "192.0.2.2", 0)
	addRoute(t, "::/0", "fd00::2", 0)
	for _, target := range []string{"0.0.0.0/0", "::/0"} {
		if got := probe(t, config.Check{Type: config.CheckRoute, Target: target}); got != "" {
			t.Errorf("default route %s: %s", target, got)
		}
	}
	link, err := there.LinkByName("there")
	if err != nil {
		t.Fatal(err)
	}
	if err := there.LinkSetDown(link); err != nil {
		t.Fatal(err)
	}
	up := config.Check{Type: config.CheckInterface, Target: "here"}
	for deadline := time.Now().Add(5 * time.Second); probe(t, up) == ""; {
		if time.Now().After(deadline) {
			t.Fatal("an interface without carrier passes")
		}
	}
	if got := probe(t, config.Check{Type: config.CheckRoute, Target: "198.51.100.0/24"}); got != errRouteDown.Error() {
		t.Errorf("route over an interface without carrier: %q", got)
	}
}

func addRoute(t *testing.T, prefix, via string, kind int) {
	t.Helper()
	dst, err := netlink.ParseIPNet(prefix)
	if err != nil {
		t.Fatal(err)
	}
	route := &netlink.Route{Dst: dst, Type: kind}
	if via != "" {
		route.Gw = mustAddr(via).AsSlice()
	}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatalf("add route %s: %v", prefix, err)
	}
}
