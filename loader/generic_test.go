// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"
)

// TestIngressBehindGeneric: somebody's tc program on ingress finds the Ethernet header where it belongs in every frame
// that our generic XDP program has passed, before and after a restart.
func TestIngressBehindGeneric(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, _ Mode) {
		name := "loader-behind-" + fence(clsact)
		ours, peer := pair(t, name)
		o := Options{Dir: testDir(), MaxGroups: 4, MaxVIPs: 4, ForceClsact: clsact, Adopt: true}
		d := openTest(t, o)
		index := ours.Attrs().Index
		attach := func() {
			t.Helper()
			if a, err := d.Attach(index, "ours", ModeGeneric); err != nil || a.Mode != ModeGeneric {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		attach()
		counts := headerCounter(t, index)
		far := packetSocket(t, peer)
		frame := packet{dst: netip.MustParseAddr("192.0.2.77"), dstMAC: nicMAC, ttl: 64, proto: 17, payload: udp(18)}.bytes()
		looks := func(when string) {
			t.Helper()
			before := counts(t)
			for range 10 {
				far.send(frame)
			}
			waitFor(t, func() bool { now := counts(t); return now[0]+now[1] >= before[0]+before[1]+10 })
			if now := counts(t); now[1]-before[1] < 10 {
				t.Errorf("%s: of ten frames %d had their header", when, now[1]-before[1])
			}
		}
		looks("attached")
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		looks("without an agent")
		d = openTest(t, o)
		attach()
		looks("adopted")
	})
}

// headerCounter puts somebody's program on ingress. It counts UDP of the test: by 1 where
// the type is that of IPv4 where it belongs, by 0 where the frame begins otherwise.
func headerCounter(t *testing.T, ifindex int) func(*testing.T) [2]uint64 {
	t.Helper()
	m := must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 2}))
	t.Cleanup(func() { _ = m.Close() })
	p := must(ebpf.NewProgram(&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Name: "somebody", License: "GPL", Instructions: asm.Instructions{
		asm.Mov.Reg(asm.R6, asm.R1),
		asm.LoadMem(asm.R2, asm.R1, 16, asm.Word), // protocol: not what the host says by itself, such as IPv6
		asm.JNE.Imm(asm.R2, 0x0008, "out"),
		asm.StoreImm(asm.R10, -4, 0, asm.Word),
		asm.LoadAbs(12, asm.Half), // in host order
		asm.JNE.Imm(asm.R0, 0x0800, "count"),
		asm.StoreImm(asm.R10, -4, 1, asm.Word),
		asm.LoadMapPtr(asm.R1, m.FD()).WithSymbol("count"),
		asm.Mov.Reg(asm.R2, asm.R10),
		asm.Add.Imm(asm.R2, -4),
		asm.FnMapLookupElem.Call(),
		asm.JEq.Imm(asm.R0, 0, "out"),
		asm.Mov.Imm(asm.R1, 1),
		asm.StoreXAdd(asm.R0, asm.R1, asm.DWord),
		asm.Mov.Imm(asm.R0, -1).WithSymbol("out"), // TC_ACT_UNSPEC
		asm.Return(),
	}}))
	t.Cleanup(func() { _ = p.Close() })
	if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}); err != nil {
		t.Log("clsact is there:", err)
	}
	if err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{LinkIndex: ifindex, Parent: netlink.HANDLE_MIN_INGRESS, Handle: 7, Protocol: 3, Priority: 7},
		Fd:          p.FD(), Name: "somebody", DirectAction: true,
	}); err != nil {
		t.Fatal(err)
	}
	return func(t *testing.T) (n [2]uint64) {
		t.Helper()
		for i := range n {
			if err := m.Lookup(uint32(i), &n[i]); err != nil {
				t.Fatal(err)
			}
		}
		return n
	}
}
