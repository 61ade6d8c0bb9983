// SPDX-License-Identifier: Apache-2.0

package model

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// TestTags: a group on a VLAN hears that VLAN's frames on the parent, answers with the
// tags it was asked with, and hears no other network's.
func TestTags(t *testing.T) {
	const vlanIndex, qinqIndex = 77, 78
	for _, tc := range []struct {
		name    string
		ifindex int
		tags    []uint32
		same    [][]uint32 // other ways to say the same VLAN
		other   [][]uint32
	}{
		{
			"802.1Q", vlanIndex,
			[]uint32{0x8100<<16 | 42},
			[][]uint32{{0x8100<<16 | 0xe000 | 42}, {0x8100 << 16, 0x8100<<16 | 42}},
			[][]uint32{
				nil,
				{0x8100<<16 | 43},
				{0x88a8<<16 | 42},
				{0x8100 << 16},
				{0x8100<<16 | 42, 0x8100<<16 | 42},
				{0x88a8<<16 | 200, 0x8100<<16 | 42},
			},
		},
		{
			"802.1ad", qinqIndex,
			[]uint32{0x88a8<<16 | 3000, 0x8100<<16 | 42},
			[][]uint32{{0x88a8<<16 | 0x2000 | 3000, 0x8100<<16 | 0x4000 | 42}},
			[][]uint32{
				nil,
				{0x88a8<<16 | 3000},
				{0x8100<<16 | 3000, 0x8100<<16 | 42},
				{0x8100<<16 | 42},
				{0x8100<<16 | 42, 0x88a8<<16 | 3000},
				{0x8100<<16 | 3000, 0x88a8<<16 | 3000, 0x8100<<16 | 42},
			},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := NewHarness(t, DualVIPs()...)
			s := GoldenSpec(DualVIPs()...)
			s.IfIndex = tc.ifindex
			h.Fresh(s)
			if err := h.Plane.Objects.Vlans.Put(VLANKey(LoIndex, tc.tags), uint32(tc.ifindex)); err != nil {
				t.Fatal(err)
			}
			request, advertised := ARPFor("192.0.2.1").Bytes(), FrameOf(DualAdvert(1, 200, 0, 7))
			data := Packet{DstMAC: VMAC(1), SrcMAC: PeerMAC, TTL: 64, Proto: 1, Payload: make([]byte, 64)}.Bytes()
			reply := arpReply(request)
			for _, tags := range append(tc.same, tc.tags) {
				h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
				h.Expect(
					"backup",
					withTags(request, tags...),
					Want{Verdict: xdpDrop, Counts: count("arp_requests", "arp_suppressed", "drop_not_answering_arp")},
				)
				h.Expect("backup, data", withTags(data, tags...), Want{Verdict: xdpDrop, Counts: count("drop_not_answering_mac")})
				h.Master(2)
				h.Group.SetSentPriority(tables.Priority{}) // the best: nobody makes us yield
				h.Expect(
					"arp",
					withTags(request, tags...),
					Want{Verdict: XDPTX, Frame: withTags(reply, tags...), Counts: count("arp_requests", "arp_replies")},
				)
				h.Expect("nd", withTags(NDFor(VIP6).Bytes(), tags...), Want{
					Verdict: XDPTX,
					Frame:   withTags(NAFor(VIP6, PeerAddr6, PeerMAC, false), tags...),
					Counts:  count("nd_solicitations", "nd_advertisements"),
				})
				short := withTags(append(eth(VMAC(1), PeerMAC, 0x0806), 0, 1, 8), tags...)
				h.Expect("too short for an arp packet", short, Want{
					Verdict: XDPPass,
					Frame:   slices.Concat(NICMAC[:], short[6:]),
					Counts:  map[string]uint64{"packets": 1, "bytes": uint64(len(short))},
				})
				tagged := withTags(data, tags...)
				h.Expect("data", tagged, Want{
					Verdict: XDPPass,
					Frame:   slices.Concat(NICMAC[:], tagged[6:]),
					Counts:  map[string]uint64{"packets": 1, "bytes": uint64(len(tagged))},
				})
			}
			h.Expect("advert", withTags(advertised, tc.tags...), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
			if h.Expect(
				"forged",
				withTags(FrameOf(damaged(DualAdvert(1, 0, 0, 8))), tc.tags...),
				Want{Verdict: xdpDrop, Counts: count("bad_hmac")},
			); t.Failed() {
				return
			}
			for _, tags := range tc.other {
				for _, f := range [][]byte{request, NDFor(VIP6).Bytes(), data} {
					h.Expect("another network's", withTags(f, tags...), Want{Verdict: XDPPass})
				}
			}
			for _, whole := range [][]byte{request, data, advertised, NDFor(VIP6).Bytes()} {
				whole = withTags(whole, tc.tags...)
				for n := 14; n < 14+4*len(tc.tags); n++ { // the rest is as it is without tags, see TestTwin
					h.Expect("truncated", whole[:n], Want{Verdict: XDPPass})
				}
			}
		})
	}
}

// TestTagsEvent: an advert of a VLAN is told by the VLAN device's index.
func TestTagsEvent(t *testing.T) {
	h := NewHarness(t)
	s := GoldenSpec("192.0.2.1")
	s.IfIndex = 77
	h.Fresh(s)
	if err := h.Plane.Objects.Vlans.Put(VLANKey(LoIndex, []uint32{0x8100<<16 | 42}), uint32(77)); err != nil {
		t.Fatal(err)
	}
	h.Run(withTags(FrameOf(Advert(1, 0, 0, 7)), 0x8100<<16|42))
	evs := h.drain()
	if len(evs) != 1 || evs[0].IfIndex != 77 || evs[0].Src != netip.AddrFrom4(PeerAddr.As4()) {
		t.Errorf("events %+v", evs)
	}
	if s := h.Seen(); s.IfIndex != 77 {
		t.Errorf("record of interface %d", s.IfIndex)
	}
}

// TestTagsLost: a frame whose tags cannot go back is dropped, and counted for its VLAN
// device. No frame that the kernel's own helpers made is like that, since they leave the
// room that they took: the fault is put into a copy of the program.
func TestTagsLost(t *testing.T) {
	const vlanIndex = 77
	h := NewHarness(t)
	s := GoldenSpec("192.0.2.1")
	s.IfIndex = vlanIndex
	h.Fresh(s)
	if err := h.Plane.Objects.IfStats.Put(
		uint32(vlanIndex),
		make([]object.BPFIfStats, kerneltest.Must(ebpf.PossibleCPU())),
	); err != nil {
		t.Fatal(err)
	}
	h.Master(2)
	broken := withoutRoom(t, h.Plane)
	data := Packet{DstMAC: VMAC(1), SrcMAC: PeerMAC, TTL: 64, Proto: 1, Payload: make([]byte, 64)}.Bytes()
	for _, tags := range [][]uint32{{0x8100<<16 | 42}, {0x88a8<<16 | 3000, 0x8100<<16 | 42}} {
		if err := h.Plane.Objects.Vlans.Put(VLANKey(LoIndex, tags), uint32(vlanIndex)); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name    string
			program *ebpf.Program
			frame   []byte
			verdict uint32
			lost    uint64
		}{
			{"ours", broken, ARPFor("192.0.2.1").Bytes(), xdpAborted, 1},
			{"somebody else's", broken, ARPFor("192.0.2.77").Bytes(), xdpAborted, 1},
			{"one that keeps its tags", broken, data, XDPPass, 0},
			{"sound program", h.Plane.Objects.VipdXdp, ARPFor("192.0.2.1").Bytes(), XDPTX, 0},
		} {
			before := kerneltest.Must(h.Plane.InterfaceStats(vlanIndex))
			if verdict, _ := RunProg(t, tc.program, withTags(tc.frame, tags...)); verdict != tc.verdict {
				t.Errorf("%s: verdict %d, want %d", tc.name, verdict, tc.verdict)
			}
			for reason, n := range kerneltest.Must(h.Plane.InterfaceStats(vlanIndex)) {
				want := uint64(0)
				if reason == tables.TagsLost {
					want = tc.lost
				}
				if n-before[reason] != want {
					t.Errorf("%s: %s rose by %d, want %d", tc.name, reason, n-before[reason], want)
				}
			}
		}
	}
}

// withoutRoom is the XDP program on the maps of d, in which nothing can be put before a
// frame's beginning.
func withoutRoom(t *testing.T, d *plane) *ebpf.Program {
	t.Helper()
	s := kerneltest.Must(object.Options{MaxGroups: 16, MaxVIPs: 64}.Spec())
	within, replaced := false, 0
	code := s.Programs[object.BPFProgVipdXdp].Instructions
	for i := range code {
		if name := code[i].Symbol(); name != "" {
			within = name == "put_tags_back"
		}
		if within && code[i].IsBuiltinCall() && code[i].Constant == int64(asm.FnXdpAdjustHead) {
			code[i] = asm.Mov.Imm(asm.R0, -int32(unix.EINVAL)).WithMetadata(code[i].Metadata)
			replaced++
		}
	}
	if replaced == 0 {
		t.Fatal("put_tags_back calls no bpf_xdp_adjust_head")
	}
	shared := d.Objects.AllMaps()
	maps.DeleteFunc(shared, func(name string, _ *ebpf.Map) bool { return s.Maps[name] == nil })
	var objs struct {
		P *ebpf.Program `ebpf:"vipd_xdp"`
	}
	if err := s.LoadAndAssign(&objs, &ebpf.CollectionOptions{MapReplacements: shared}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = objs.P.Close() })
	return objs.P
}
