// SPDX-License-Identifier: Apache-2.0

// Package kerneltest is the one place where tests of the loader are skipped for
// want of what the kernel or the user may do.
package kerneltest

import (
	"os"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// Need is something that a test cannot do without.
type Need string

// Needs.
const (
	// BPF: load and run programs.
	BPF Need = "bpf"
	// Netns: make network namespaces and devices in them.
	Netns Need = "netns"
	// VLAN: make VLAN devices.
	VLAN Need = "vlan"
)

// requireEnv lists needs, separated by commas, whose lack is a failure: a skip
// would be a lie on a machine that is meant to have them.
const requireEnv = "VIPD_TEST_REQUIRE"

// Require skips the test, or fails it, when one of the needs is not met.
func Require(t testing.TB, needs ...Need) {
	t.Helper()
	for _, n := range needs {
		reason := n.lacking()
		if reason == "" {
			continue
		}
		if slices.Contains(strings.Split(os.Getenv(requireEnv), ","), string(n)) {
			t.Fatalf("%s names %s, but: %s", requireEnv, n, reason)
		}
		t.Skipf("needs %s: %s", n, reason)
	}
}

func (n Need) lacking() string {
	switch n {
	case BPF:
		if err := features.HaveProgramType(ebpf.XDP); err != nil {
			return "no xdp programs: " + err.Error()
		}
	case Netns:
		if os.Geteuid() != 0 {
			return "not root"
		}
		if err := unix.Access("/run", unix.W_OK); err != nil {
			return "cannot name a namespace below /run: " + err.Error()
		}
	case VLAN:
		if _, err := os.Stat("/proc/net/vlan"); err != nil {
			return "no VLAN devices (module 8021q), which the machine of `make test-vm` has"
		}
	}
	return ""
}

// EnterNetns puts the test, on its own thread, into a new network namespace named
// vipd-NAME, which is removed at the end.
func EnterNetns(t testing.TB, name string) {
	t.Helper()
	Require(t, Netns)
	name = "vipd-" + name
	runtime.LockOSThread()
	old, err := netns.Get()
	if err != nil {
		t.Fatalf("get the network namespace: %v", err)
	}
	_ = netns.DeleteNamed(name) // of a run that was killed
	ns, err := netns.NewNamed(name)
	if err != nil {
		t.Fatalf("make network namespace %s: %v", name, err)
	}
	t.Cleanup(func() {
		if err := netns.Set(old); err != nil {
			// The thread stays locked, so the runtime ends it with the goroutine.
			t.Errorf("leave network namespace %s: %v", name, err)
		} else {
			runtime.UnlockOSThread()
		}
		for _, err := range []error{ns.Close(), old.Close(), netns.DeleteNamed(name)} {
			if err != nil {
				t.Errorf("remove network namespace %s: %v", name, err)
			}
		}
	})
}
