// SPDX-License-Identifier: Apache-2.0

// Package kerneltest has what the loader's tests need of the kernel: it skips tests that this kernel or user cannot
// run, and makes namespaces, links and sockets.
package kerneltest

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/features"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"vipd/tests/needs"
)

// Need is a condition of a test.
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

// Require skips the test if a need is not met, or fails it where the needs are promised.
func Require(t testing.TB, all ...Need) {
	t.Helper()
	for _, n := range all {
		needs.Met(t, string(n), n.lacking())
	}
}

func (n Need) lacking() error {
	switch n {
	case BPF:
		if err := features.HaveProgramType(ebpf.XDP); err != nil {
			return fmt.Errorf("no xdp programs: %w", err)
		}
	case Netns:
		if os.Geteuid() != 0 {
			return errors.New("not root")
		}
		if err := unix.Access("/run", unix.W_OK); err != nil {
			return fmt.Errorf("cannot name a namespace below /run: %w", err)
		}
	case VLAN:
		if _, err := os.Stat("/proc/net/vlan"); err != nil {
			return errors.New("no VLAN devices (module 8021q), which the machine of `make test-vm` has")
		}
	}
	return nil
}

// EnterNetns moves the test, on its own thread, into a new network namespace named vipd-NAME, which is removed at the
// end.
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
