// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
)

// TestMissing: each thing that a host may lack is one sentence that says what to do.
func TestMissing(t *testing.T) {
	all := func() (uint64, error) { return 1<<41 - 1, nil }
	lacking := func(caps ...uint) func() (uint64, error) {
		return func() (uint64, error) {
			set := uint64(1<<41 - 1)
			for _, c := range caps {
				set &^= 1 << c
			}
			return set, nil
		}
	}
	for _, tc := range []struct {
		name string
		host host
		want error
		says string
	}{
		{"no btf", host{btfPath: "/nonexistent/vmlinux", capEff: all}, ErrNoBTF, "CONFIG_DEBUG_INFO_BTF=y"},
		{
			"no capability",
			host{btfPath: "/", procFS: "/proc", capEff: func() (uint64, error) { return 0, nil }},
			ErrNoCapability,
			"CAP_BPF and CAP_PERFMON and CAP_NET_ADMIN",
		},
		{
			"no net_admin",
			host{btfPath: "/", procFS: "/proc", capEff: lacking(unix.CAP_NET_ADMIN)},
			ErrNoCapability,
			"run vipd as root",
		},
		{
			"no bpf",
			host{btfPath: "/", procFS: "/proc", capEff: lacking(unix.CAP_BPF, unix.CAP_SYS_ADMIN)},
			ErrNoCapability,
			"CAP_BPF:",
		},
		{
			"no perfmon",
			host{btfPath: "/", procFS: "/proc", capEff: lacking(unix.CAP_PERFMON, unix.CAP_SYS_ADMIN)},
			ErrNoCapability,
			"CAP_PERFMON:",
		},
		{"no proc", host{btfPath: "/", procFS: "/nonexistent", capEff: all}, ErrNoProc, "mount -t proc"},
		{"no bpf file system", host{btfPath: "/", procFS: "/proc", capEff: all}, ErrNoBPFFS, "mount -t bpf"},
	} {
		_, err := open(Options{Dir: t.TempDir() + "/vipd"}, tc.host)
		if !errors.Is(err, tc.want) || !strings.Contains(err.Error(), tc.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
	if _, err := open(Options{Dir: "vipd"}, host{btfPath: "/", procFS: "/proc", capEff: all}); err == nil {
		t.Error("a relative directory was accepted")
	}
	cause := errors.New("load")
	for release, old := range map[string]bool{
		"5.14.0-70.el9": true, "4.19.0": true, "5.15.0-1": false, "6.1.0-18-amd64": false, "odd": false,
	} {
		h := host{release: func() string { return release }}
		if err := h.explain(cause); errors.Is(err, ErrKernelTooOld) != old || !errors.Is(err, cause) {
			t.Errorf("release %s: %v", release, err)
		}
	}
}

// TestLeastCapabilities loads with no more than what Open asks for: without
// CAP_SYS_ADMIN the verifier allows less.
func TestLeastCapabilities(t *testing.T) {
	kerneltest.Require(t, kerneltest.BPF)
	openTest(t, Options{}) // feature probes are cached with full rights
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var old [2]unix.CapUserData
	if err := unix.Capget(&hdr, &old[0]); err != nil {
		t.Fatal(err)
	}
	least := old
	least[0].Effective = 1 << unix.CAP_NET_ADMIN
	least[1].Effective = 1<<(unix.CAP_BPF-32) | 1<<(unix.CAP_PERFMON-32)
	if err := unix.Capset(&hdr, &least[0]); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := unix.Capset(&hdr, &old[0]); err != nil {
			t.Error(err)
		}
	}()
	for _, frags := range []bool{true, false} {
		s, err := Options{}.withDefaults().set().Spec()
		if err != nil {
			t.Fatal(err)
		}
		if !frags { // as on a kernel before 5.18
			object.DropFrags(s)
			if err := s.Variables[object.BPFVarCfgBuffLen].Set(uint32(0)); err != nil {
				t.Fatal(err)
			}
		}
		var objs object.BPFObjects
		if err := s.LoadAndAssign(&objs, nil); err != nil {
			t.Errorf("frags %v: %v", frags, err)
			continue
		}
		if err := objs.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestBusy(t *testing.T) {
	d := openTest(t, Options{})
	if _, err := Open(Options{Dir: d.opts.Dir}); !errors.Is(err, ErrBusy) {
		t.Errorf("open: %v", err)
	}
	if _, err := Cleanup(Options{Dir: d.opts.Dir}); !errors.Is(err, ErrBusy) {
		t.Errorf("cleanup: %v", err)
	}
	if _, err := os.Stat(d.pinDir() + "/roles"); err != nil {
		t.Errorf("the refused ones took pins along: %v", err)
	}
}
