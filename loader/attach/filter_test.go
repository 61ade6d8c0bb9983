// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"strings"
	"testing"

	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
)

// TestFiltersOfAnotherDirectoryStay: two vipds run in one network namespace, each with a bpf_dir of its own, on a
// kernel without tcx. What one of them, or its cleanup, takes off is its own.
func TestFiltersOfAnotherDirectoryStay(t *testing.T) {
	ours, peer := kerneltest.Pair(t, "loader-filters")
	dir := kerneltest.TestDir()
	first := openTest(t, loader.Options{Dir: dir, ForceClsact: true})
	second := loader.Options{Dir: kerneltest.TestDir(), ForceClsact: true, MaxGroups: 4, MaxVIPs: 4}
	if _, err := first.Attach(ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	before := filterNames(t, ours)
	if len(before) != 1 || !strings.Contains(before[0], dir) {
		t.Fatalf("filters %q", before)
	}
	same := func(what string) {
		t.Helper()
		if now := filterNames(t, ours); len(now) != 1 || now[0] != before[0] {
			t.Errorf("after %s: filters %q, want %q", what, now, before)
		}
		if lost := first.LostNow(ours.Attrs().Index); len(lost) > 0 {
			t.Errorf("after %s: lost %q", what, lost)
		}
	}

	if r, err := loader.Cleanup(second); err != nil || !r.Empty() {
		t.Errorf("cleanup of nothing: %+v, %v", r, err)
	}
	same("a cleanup of nothing")

	// A vipd that died on another interface.
	dead, err := loader.Open(second)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := dead.Attach(peer.Attrs().Index, peer.Attrs().Name, attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	if r, err := loader.Cleanup(second); err != nil || r.Filters != 1 {
		t.Errorf("cleanup: %+v, %v", r, err)
	}
	same("a cleanup")
	if got := kerneltest.Left(t, peer); got != "" {
		t.Errorf("the other vipd left %s", got)
	}

	// One on the same interface, whose fence comes and goes beside ours.
	beside := openTest(t, second)
	if _, err := beside.Attach(ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
		t.Fatal(err)
	}
	if n := len(filterNames(t, ours)); n < 2 {
		t.Fatalf("%d filters with two vipds", n)
	}
	if err := beside.Remove(); err != nil {
		t.Fatal(err)
	}
	same("another vipd came and went")
}

func filterNames(t *testing.T, l netlink.Link) (names []string) {
	t.Helper()
	for _, side := range []uint32{netlink.HANDLE_MIN_INGRESS, netlink.HANDLE_MIN_EGRESS} {
		filters, err := netlink.FilterList(l, side)
		if err != nil && !attach.NoClsact(err) {
			t.Fatal(err)
		}
		for _, f := range filters {
			names = append(names, f.(*netlink.BpfFilter).Name)
		}
	}
	return names
}
