// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// vlanKeyOf is the key of a VLAN, given as in testVLANs.
func vlanKeyOf(ifindex int, tags []uint32) bpfVlanKey {
	k := bpfVlanKey{Ifindex: uint32(ifindex)}
	k.Outer, k.OuterProtoBe = uint16(tags[0]), bigEndian(uint16(tags[0]>>16))
	if len(tags) > 1 {
		k.Inner, k.InnerProtoBe = uint16(tags[1]), bigEndian(uint16(tags[1]>>16))
	}
	return k
}

// withTags puts tags (protocol<<16 | priority and id) into a frame, the outer one first.
func withTags(f []byte, tags ...uint32) []byte {
	var b []byte
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return slices.Concat(f[:12], b, f[12:])
}

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
			[][]uint32{nil, {0x8100<<16 | 43}, {0x88a8<<16 | 42}, {0x8100 << 16}, {0x8100<<16 | 42, 0x8100<<16 | 42}, {0x88a8<<16 | 200, 0x8100<<16 | 42}},
		},
		{
			"802.1ad", qinqIndex,
			[]uint32{0x88a8<<16 | 3000, 0x8100<<16 | 42},
			[][]uint32{{0x88a8<<16 | 0x2000 | 3000, 0x8100<<16 | 0x4000 | 42}},
			[][]uint32{nil, {0x88a8<<16 | 3000}, {0x8100<<16 | 3000, 0x8100<<16 | 42}, {0x8100<<16 | 42}, {0x8100<<16 | 42, 0x88a8<<16 | 3000}, {0x8100<<16 | 3000, 0x88a8<<16 | 3000, 0x8100<<16 | 42}},
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newHarness(t, dualVIPs()...)
			s := goldenSpec(dualVIPs()...)
			s.IfIndex = tc.ifindex
			h.fresh(s)
			if err := h.d.objs.Vlans.Put(vlanKeyOf(loIndex, tc.tags), uint32(tc.ifindex)); err != nil {
				t.Fatal(err)
			}
			request, advertised := arpFor("192.0.2.1").bytes(), frameOf(dualAdvert(1, 200, 0, 7))
			data := packet{dstMAC: vmac(1), srcMAC: peerMAC, ttl: 64, proto: 1, payload: make([]byte, 64)}.bytes()
			reply := arpReply(request)
			for _, tags := range append(tc.same, tc.tags) {
				h.g.SetRole(Role{State: RoleBackup, Generation: 1})
				h.expect("backup", withTags(request, tags...), want{verdict: xdpDrop, counts: count("arp_requests", "arp_suppressed", "drop_not_answering_arp")})
				h.expect("backup, data", withTags(data, tags...), want{verdict: xdpDrop, counts: count("drop_not_answering_mac")})
				h.master(2)
				h.g.SetSentPriority(Priority{}) // the best: nobody makes us yield
				h.expect("arp", withTags(request, tags...), want{verdict: xdpTX, frame: withTags(reply, tags...), counts: count("arp_requests", "arp_replies")})
				h.expect("nd", withTags(ndFor(vip6).bytes(), tags...), want{
					verdict: xdpTX, frame: withTags(naFor(vip6, peerAddr6, peerMAC, false), tags...), counts: count("nd_solicitations", "nd_advertisements"),
				})
				short := withTags(append(eth(vmac(1), peerMAC, 0x0806), 0, 1, 8), tags...)
				h.expect("too short for an arp packet", short, want{
					verdict: xdpPass, frame: slices.Concat(nicMAC[:], short[6:]), counts: map[string]uint64{"packets": 1, "bytes": uint64(len(short))},
				})
				tagged := withTags(data, tags...)
				h.expect("data", tagged, want{
					verdict: xdpPass, frame: slices.Concat(nicMAC[:], tagged[6:]), counts: map[string]uint64{"packets": 1, "bytes": uint64(len(tagged))},
				})
			}
			h.expect("advert", withTags(advertised, tc.tags...), want{verdict: xdpPass, counts: count("received"), events: 1})
			if h.expect("forged", withTags(frameOf(damaged(dualAdvert(1, 0, 0, 8))), tc.tags...), want{verdict: xdpDrop, counts: count("bad_hmac")}); t.Failed() {
				return
			}
			for _, tags := range tc.other {
				for _, f := range [][]byte{request, ndFor(vip6).bytes(), data} {
					h.expect("another network's", withTags(f, tags...), want{verdict: xdpPass})
				}
			}
			for _, whole := range [][]byte{request, data, advertised, ndFor(vip6).bytes()} {
				whole = withTags(whole, tc.tags...)
				for n := 14; n < 14+4*len(tc.tags); n++ { // the rest is as it is without tags, see TestTwin
					h.expect("truncated", whole[:n], want{verdict: xdpPass})
				}
			}
		})
	}
}

// TestTagsEvent: an advert of a VLAN is told by the VLAN device's index.
func TestTagsEvent(t *testing.T) {
	h := newHarness(t)
	s := goldenSpec("192.0.2.1")
	s.IfIndex = 77
	h.fresh(s)
	if err := h.d.objs.Vlans.Put(vlanKeyOf(loIndex, []uint32{0x8100<<16 | 42}), uint32(77)); err != nil {
		t.Fatal(err)
	}
	h.run(withTags(frameOf(advert(1, 0, 0, 7)), 0x8100<<16|42))
	evs := h.drain()
	if len(evs) != 1 || evs[0].IfIndex != 77 || evs[0].Src != netip.AddrFrom4(peerAddr.As4()) {
		t.Errorf("events %+v", evs)
	}
	if s := h.seen(); s.IfIndex != 77 {
		t.Errorf("record of interface %d", s.IfIndex)
	}
}

// TestTagsLost: a frame whose tags cannot go back is dropped, and counted for its VLAN
// device. No frame that the kernel's own helpers made is like that, since they leave the
// room that they took: the fault is put into a copy of the program.
func TestTagsLost(t *testing.T) {
	const vlanIndex = 77
	h := newHarness(t)
	s := goldenSpec("192.0.2.1")
	s.IfIndex = vlanIndex
	h.fresh(s)
	if err := h.d.objs.IfStats.Put(uint32(vlanIndex), make([]bpfIfStats, must(ebpf.PossibleCPU()))); err != nil {
		t.Fatal(err)
	}
	h.master(2)
	broken := withoutRoom(t, h.d)
	data := packet{dstMAC: vmac(1), srcMAC: peerMAC, ttl: 64, proto: 1, payload: make([]byte, 64)}.bytes()
	for _, tags := range [][]uint32{{0x8100<<16 | 42}, {0x88a8<<16 | 3000, 0x8100<<16 | 42}} {
		if err := h.d.objs.Vlans.Put(vlanKeyOf(loIndex, tags), uint32(vlanIndex)); err != nil {
			t.Fatal(err)
		}
		for _, tc := range []struct {
			name    string
			program *ebpf.Program
			frame   []byte
			verdict uint32
			lost    uint64
		}{
			{"ours", broken, arpFor("192.0.2.1").bytes(), xdpAborted, 1},
			{"somebody else's", broken, arpFor("192.0.2.77").bytes(), xdpAborted, 1},
			{"one that keeps its tags", broken, data, xdpPass, 0},
			{"sound program", h.d.objs.VipdXdp, arpFor("192.0.2.1").bytes(), xdpTX, 0},
		} {
			before := must(h.d.InterfaceStats(vlanIndex))
			if verdict, _ := runProg(t, tc.program, withTags(tc.frame, tags...)); verdict != tc.verdict {
				t.Errorf("%s: verdict %d, want %d", tc.name, verdict, tc.verdict)
			}
			for reason, n := range must(h.d.InterfaceStats(vlanIndex)) {
				want := uint64(0)
				if reason == TagsLost {
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
func withoutRoom(t *testing.T, d *Dataplane) *ebpf.Program {
	t.Helper()
	s := must(spec(d.opts))
	within, replaced := false, 0
	code := s.Programs[bpfProgVipdXdp].Instructions
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
	shared := d.allMaps()
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
