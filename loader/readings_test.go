// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/google/go-cmp/cmp"
)

// TestReadings: all groups read at once say what each says by itself, over more
// elements than one system call takes and with free slots between them.
func TestReadings(t *testing.T) {
	perCall := max(1, batchBytes/(int(unsafe.Sizeof(bpfGroupStats{}))*ebpf.MustPossibleCPU()))
	n := 2*perCall + perCall/2
	d := openSized(t, Options{MaxGroups: n, MaxVIPs: 2 * n})
	var groups []*Group
	for n := range n {
		s := goldenSpec(fmt.Sprintf("10.0.%d.%d", n/250, n%250+1), fmt.Sprintf("10.1.%d.%d", n/250, n%250+1))
		s.IfIndex, s.VHID = loIndex+n/250, uint8(n%250+1)
		g, err := d.AddGroup(s)
		if err != nil {
			t.Fatal(err)
		}
		groups = append(groups, g)
		cpus := make([]bpfGroupStats, ebpf.MustPossibleCPU())
		for i := range cpus {
			cpus[i].Received, cpus[i].Contexts[0] = uint64(n), uint64(n)
			cpus[i].Rejected[1], cpus[i].Dropped[0] = uint64(n+1), uint64(n+2)
		}
		vips := make([]bpfVipStats, len(cpus))
		vips[0].ArpRequests, vips[len(vips)-1].UnseenAt = uint64(n+3), uint64(n)
		errs := []error{
			d.objs.GroupStats.Put(g.slot, cpus),
			d.objs.Seen.Put(g.slot, bpfSeen{Count: uint64(n), At: uint64(n), Vhid: s.VHID, YieldedGen: uint64(n % 5)}),
		}
		for _, slot := range g.vips {
			errs = append(errs, d.objs.VipStats.Put(slot, vips))
		}
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		g.SetRole(Role{State: RoleMaster, Generation: 3, Lease: bootNow() + int64(n%2)*60e9})
	}
	gone := groups[1]
	if err := gone.Remove(); err != nil {
		t.Fatal(err)
	}
	groups = append(groups[:1], groups[2:]...)
	now := bootNow()
	all, err := d.Readings(now)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(groups) || all[gone] != nil {
		t.Errorf("%d groups and the removed one's %v, want %d", len(all), all[gone], len(groups))
	}
	answering := 0
	for _, g := range groups {
		want := &Reading{Stats: must(g.Stats()), VIPs: must(g.VIPStats()), Seen: must(g.Seen()), Answering: must(g.Answering(now))}
		if diff := cmp.Diff(want, all[g], cmp.Comparer(func(a, b Seen) bool { return a == b }), cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Fatalf("%s (-one by one +at once):\n%s", g.name, diff)
		}
		if want.Answering {
			answering++
		}
	}
	if answering == 0 || answering == len(groups) {
		t.Errorf("%d of %d answer", answering, len(groups))
	}
}
