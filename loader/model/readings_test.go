// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestReadings: all groups read at once say what each says by itself, over more
// elements than one system call takes and with free slots between them.
func TestReadings(t *testing.T) {
	const perCallBytes = 256 << 10 // batchBytes of package tables
	perCall := max(1, perCallBytes/(int(unsafe.Sizeof(object.BPFGroupStats{}))*ebpf.MustPossibleCPU()))
	n := 2*perCall + perCall/2
	d := openPlane(t, planeOptions{MaxGroups: n, MaxVIPs: 2 * n})
	var groups []*tables.Group
	for n := range n {
		s := GoldenSpec(fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), fmt.Sprintf("10.1.%d.%d", n/250, n%250+1))
		s.IfIndex, s.VHID = LoIndex+n/250, uint8(n%250+1)
		g, err := d.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
		cpus := make([]object.BPFGroupStats, ebpf.MustPossibleCPU())
		for i := range cpus {
			cpus[i].Received, cpus[i].Contexts[0] = uint64(n), uint64(n)
			cpus[i].Rejected[1], cpus[i].Dropped[0] = uint64(n+1), uint64(n+2)
		}
		vips := make([]object.BPFVipStats, len(cpus))
		vips[0].ArpRequests, vips[len(vips)-1].UnseenAt = uint64(n+3), uint64(n)
		errs := []error{
			d.Objects.GroupStats.Put(g.Slot(), cpus),
			d.Objects.Seen.Put(
				g.Slot(),
				object.BPFSeen{Count: uint64(n), At: uint64(n), Vhid: s.VHID, YieldedGen: uint64(n % 5)},
			),
		}
		for _, slot := range slotsOf(t, d.Objects, g) {
			errs = append(errs, d.Objects.VipStats.Put(slot, vips))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 3, Lease: BootNow() + int64(n%2)*60e9})
	}
	gone := groups[1]
	if err := gone.Remove(); err != nil {
		t.Fatal(err)
	}
	groups = append(groups[:1], groups[2:]...)
	now := BootNow()
	all, err := d.Readings(now)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(groups) || all[gone] != nil {
		t.Errorf("%d groups and the removed one's %v, want %d", len(all), all[gone], len(groups))
	}
	answering := 0
	for _, g := range groups {
		want := &tables.Reading{
			Stats:     kerneltest.Must(g.Stats()),
			VIPs:      kerneltest.Must(g.VIPStats()),
			Seen:      kerneltest.Must(g.Seen()),
			Answering: kerneltest.Must(g.Answering(now)),
		}
		if diff := cmp.Diff(
			want,
			all[g],
			cmp.Comparer(func(a, b tables.Seen) bool { return a == b }),
			cmp.Comparer(func(a, b netip.Addr) bool { return a == b }),
		); diff != "" {
			t.Fatalf("%s (-one by one +at once):\n%s", fmt.Sprint("slot ", g.Slot()), diff)
		}
		if want.Answering {
			answering++
		}
	}
	if answering == 0 || answering == len(groups) {
		t.Errorf("%d of %d answer", answering, len(groups))
	}
}
