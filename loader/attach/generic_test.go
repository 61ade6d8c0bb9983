// SPDX-License-Identifier: Apache-2.0

package attach_test

import (
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/vishvananda/netlink"

	"vipd/loader"
	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
)

// TestIngressBehindGeneric: another tc program on ingress finds the Ethernet header in its place in every frame that
// our generic XDP program has passed, before and after a restart.
func TestIngressBehindGeneric(t *testing.T) {
	bothWays(t, func(t *testing.T, clsact bool, _ string) {
		name := "loader-behind-" + kerneltest.Fence(clsact)
		ours, peer := kerneltest.Pair(t, name)
		o := loader.Options{Dir: kerneltest.TestDir(), MaxGroups: 4, MaxVIPs: 4, ForceClsact: clsact, Adopt: true}
		d := openTest(t, o)
		index := ours.Attrs().Index
		on := func() {
			t.Helper()
			if a, err := d.Attach(index, "ours", attach.ModeGeneric); err != nil || a.Mode != attach.ModeGeneric {
				t.Fatalf("%+v, %v", a, err)
			}
		}
		on()
		counts := headerCounter(t, index)
		far := kerneltest.PacketSocket(t, peer)
		frame := model.Packet{
			Dst:     netip.MustParseAddr("192.0.2.77"),
			DstMAC:  model.NICMAC,
			TTL:     64,
			Proto:   17,
			Payload: model.UDP(18),
		}.Bytes()
		looks := func(when string) {
			t.Helper()
			before := counts(t)
			for range 10 {
				far.Send(frame)
			}
			kerneltest.WaitFor(t, func() bool { now := counts(t); return now[0]+now[1] >= before[0]+before[1]+10 })
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
		on()
		looks("adopted")
	})
}

// headerCounter puts another program on ingress. It counts UDP of the test: in entry 1 if the type is that of IPv4 in
// its place, in entry 0 if the frame begins otherwise.
func headerCounter(t *testing.T, ifindex int) func(*testing.T) [2]uint64 {
	t.Helper()
	m := kerneltest.Must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 2}))
	t.Cleanup(func() { _ = m.Close() })
	p := kerneltest.Must(
		ebpf.NewProgram(
			&ebpf.ProgramSpec{Type: ebpf.SchedCLS, Name: "somebody", License: "GPL", Instructions: asm.Instructions{
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
			}},
		),
	)
	t.Cleanup(func() { _ = p.Close() })
	if err := netlink.QdiscAdd(&netlink.Clsact{QdiscAttrs: netlink.QdiscAttrs{
		LinkIndex: ifindex, Handle: netlink.MakeHandle(0xffff, 0), Parent: netlink.HANDLE_CLSACT,
	}}); err != nil {
		t.Log("clsact is there:", err)
	}
	if err := netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex,
			Parent:    netlink.HANDLE_MIN_INGRESS,
			Handle:    7,
			Protocol:  3,
			Priority:  7,
		},
		Fd:           p.FD(),
		Name:         "somebody",
		DirectAction: true,
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
