// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"errors"
	"net/netip"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/lab"
	"vipd/tests/needs"
)

// In a time namespace with an offset the agent's leases would never end for the kernel.
func TestTimeNamespaceIsRefused(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	for _, offset := range []string{"3600", "-1"} {
		code, out := s.node.Run(toolTimeout, "unshare", "--time", "--boottime", offset, "--fork",
			filepath.Join(bin(t), "vipd"), "--config", s.node.ConfigFile())
		if code != 1 || !strings.Contains(out, "time namespace") || !strings.Contains(out, "nsenter --time=/proc/1/ns/time") {
			t.Errorf("offset %s: exit code %d\n%s", offset, code, out)
		}
	}
	s.node.Start() // the control: without an offset it runs
	s.node.WaitState(group, lab.Backup, patience)
}

// A file that was emptied, commented out or cut off before its groups gives nothing up, by whichever way it is
// reloaded.
func TestReloadOfAnEmptiedFileNeedsForce(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	since := s.node.Group(group).Since
	whole := s.node.ReadConfig()
	head, _, _ := strings.Cut(whole, "[[vip]]")
	for name, text := range map[string]string{"empty": "", "comments": "# nothing\n\n", "cut off": head} {
		s.node.WriteRawConfig(text)
		if code, out := s.node.CTL("reload"); code == 0 || !strings.Contains(out, "vipctl reload --force") {
			t.Errorf("%s: reload ended with %d: %s", name, code, out)
		}
		length := len(s.node.Proc().Output())
		s.node.Proc().Signal(syscall.SIGHUP)
		s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
			said := s.node.Proc().Output()[length:]
			return strings.Contains(said, "vipctl reload --force"), "the log names the command: " + said
		})
		if out := s.node.MustCTL("plan"); !strings.Contains(out, "vipctl reload --force") {
			t.Errorf("%s: plan does not say it:\n%s", name, out)
		}
		if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
			t.Fatalf("%s: the node is %s since %v", name, g.State, g.Since)
		}
	}
	if out := s.node.MustCTL("reload", "--force"); !strings.Contains(out, "removed "+group) {
		t.Errorf("the answer does not list what was removed: %s", out)
	}
	s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		return len(s.node.Status().Groups) == 0, "no group is left"
	})
	s.node.WriteRawConfig(whole)
	s.node.MustCTL("reload")
	s.node.WaitAnswering(group, upTimeout)
}

// firstAddress returns what old tools take for the interface's address (SIOCGIFADDR).
func firstAddress(h *lab.Host, ifname string) (address netip.Addr, err error) {
	err = h.Within(func() error {
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		req, err := unix.NewIfreq(ifname)
		if err != nil {
			return err
		}
		if err := unix.IoctlIfreq(fd, unix.SIOCGIFADDR, req); err != nil {
			return err
		}
		b, err := req.Inet4Addr()
		address, _ = netip.AddrFromSlice(b)
		return err
	})
	return address, err
}

// The interface's own address comes first, also with a long name.
func TestLongInterfaceNameKeepsItsAddress(t *testing.T) {
	t.Parallel()
	s := newSingle(t, lab.NodeConfig{})
	was := "eth0"
	for _, name := range []string{"enp129s0f0", "enp129s0f0np0", "enp129s0f0np01", "enp129s0f0np012"} {
		s.node.Rename(was, name)
		was = name
		for _, id := range []int{1, 255} {
			s.node.WriteConfig(lab.NodeConfig{Groups: []lab.Group{
				{
					Interface: name,
					VHID:      id,
					Addresses: []string{vip.String() + "/24", "198.51.100.1/24"},
					AdvSkew:   25,
					Extra:     "advbase = 0",
				},
			}})
			s.node.Start()
			g := s.node.Status().Groups[0].Group
			s.node.WaitAnswering(g, upTimeout)
			s.Eventually(
				patience,
				20*time.Millisecond,
				func() (bool, string) { return s.node.HasAddress(name, vip), "the VIP is there" },
			)
			if got, err := firstAddress(s.node.Host, name); err != nil || got != addrA {
				t.Errorf("%s: SIOCGIFADDR returns %s (%v), want %s\n%s",
					g, got, err, addrA, s.node.MustRun(toolTimeout, "ip", "addr", "show", "dev", name))
			}
			s.node.Stop()
		}
	}
}

// The route to the network of a virtual address is in the table of the interface's VRF, and follows the interface.
func TestRouteIsInTheTableOfTheVRF(t *testing.T) {
	t.Parallel()
	s := newSingle(t, fastVIPs("198.51.100.1/24"))
	if code, out := s.node.Run(toolTimeout, "ip", "link", "add", "red", "up", "type", "vrf", "table", "1042"); code != 0 {
		needs.Met(t, "vrf", errors.New(strings.TrimSpace(out)))
	}
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "master", "red")
	s.node.Start()
	s.node.WaitAnswering(group, upTimeout)
	has := func(table string) bool {
		return strings.Contains(
			s.node.MustRun(toolTimeout, "ip", "route", "show", "table", table),
			"198.51.100.0/24 dev eth0 proto 112",
		)
	}
	await := func(table string, want bool) {
		t.Helper()
		s.Eventually(
			patience,
			20*time.Millisecond,
			func() (bool, string) { return has(table) == want, "the route in table " + table },
		)
	}
	await("1042", true)
	if has("main") {
		t.Error("the route is in main as well")
	}
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "nomaster")
	s.node.WaitAnswering(group, upTimeout)
	await("main", true)
	await("1042", false)
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "master", "red")
	s.node.WaitAnswering(group, upTimeout)
	await("1042", true)
	s.node.Kill9()
	s.node.Cleanup()
	await("1042", false)
}

// Addresses that are flushed by hand return at once, and a loop that flushes them does not take the agent's time.
func TestFlushedAddressesReturn(t *testing.T) {
	t.Parallel()
	s := newSingle(t, lab.NodeConfig{Groups: []lab.Group{{Addresses: []string{vip.String() + "/24"}, AdvBase: 10}}})
	s.startMaster()
	for range 3 {
		s.Eventually(
			time.Second,
			10*time.Millisecond,
			func() (bool, string) { return s.node.HasAddress("eth0", vip), "the VIP is back" },
		)
		s.node.MustRun(toolTimeout, "ip", "addr", "del", vip.String()+"/32", "dev", "eth0")
	}
	s.Eventually(
		time.Second,
		10*time.Millisecond,
		func() (bool, string) { return s.node.HasAddress("eth0", vip), "the VIP is back" },
	)
	if !strings.Contains(s.node.Proc().Output(), "another process removed virtual addresses") {
		t.Error("the log does not show it")
	}
	before := s.node.Proc().CPU()
	s.node.MustRun(toolTimeout, "sh", "-c",
		"for i in $(seq 300); do ip addr del 192.0.2.100/32 dev eth0 2>/dev/null; done; true")
	if used := s.node.Proc().CPU() - before; used > 2*time.Second {
		t.Errorf("the agent used %v of CPU time", used)
	}
}

// An interface under an alternative name alone, and under two names.
func TestAlternativeNamesAreOneInterface(t *testing.T) {
	t.Parallel()
	s := newSingle(
		t,
		lab.NodeConfig{
			Groups: []lab.Group{
				{Interface: "lan", Addresses: []string{vip.String() + "/24"}, AdvSkew: 25, Extra: "advbase = 0"},
			},
		},
	)
	s.node.MustRun(toolTimeout, "ip", "link", "property", "add", "dev", "eth0", "altname", "lan")
	s.node.Start()
	s.node.WaitAnswering("lan@1", upTimeout)
	two := func(id int, address string) lab.NodeConfig {
		return lab.NodeConfig{Groups: []lab.Group{
			{Interface: "lan", Addresses: []string{vip.String() + "/24"}, AdvSkew: 25, Extra: "advbase = 0"},
			{Interface: "eth0", VHID: id, Addresses: []string{address}, AdvSkew: 25, Extra: "advbase = 0"},
		}}
	}
	s.node.WriteConfig(two(2, "192.0.2.101/24"))
	s.node.MustCTL("reload")
	s.node.WaitAnswering("eth0@2", upTimeout)
	s.node.WaitAnswering("lan@1", patience)
	for _, c := range []struct {
		id      int
		address string
	}{{1, "192.0.2.102/24"}, {3, vip.String() + "/24"}} {
		s.node.WriteConfig(two(c.id, c.address))
		if code, out := s.node.VIPD("--config", s.node.ConfigFile(), "--check"); code != 2 ||
			!strings.Contains(out, "names of one interface") {
			t.Errorf("VHID %d, %s: --check ends with %d:\n%s", c.id, c.address, code, out)
		}
	}
	length := len(s.node.Proc().Output())
	s.node.MustCTL("reload")
	s.node.WaitFor("eth0@3", "is INIT", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Init && g.Reason == "interface_duplicate"
	})
	time.Sleep(5 * time.Second) // two looks of the loop
	if said := s.node.Proc().Output()[length:]; strings.Contains(said, "level=ERROR") {
		t.Errorf("errors in the log:\n%s", said)
	}
	s.node.WaitAnswering("lan@1", patience)
	s.node.MustRun(toolTimeout, "ip", "link", "property", "del", "dev", "eth0", "altname", "lan")
	s.node.WaitFor("lan@1", "is INIT", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Init && g.Reason == "interface_missing"
	})
	s.node.WaitAnswering("eth0@3", upTimeout)
}
