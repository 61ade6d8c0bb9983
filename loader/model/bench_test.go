// SPDX-License-Identifier: Apache-2.0

package model

import (
	"net/netip"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/tables"
)

// BenchmarkXDP measures each path in the kernel, beside an empty program. Run it with
// -count: a single number on a shared machine says little.
func BenchmarkXDP(b *testing.B) {
	h := NewHarness(b)
	h.Master(1)
	h.Group.SetSentPriority(tables.Priority{AdvBase: 1})
	good := FrameOf(Advert(2, 0, 0, 7)) // worse than ours: the lease stays
	h.Run(good)
	for _, bm := range []struct {
		name  string
		prog  *ebpf.Program
		frame []byte
	}{
		{"empty", emptyXDP(b, XDPPass), good},
		{"empty-tx", emptyXDP(b, XDPTX), good},
		{
			"not-ours-udp",
			h.Plane.Objects.VipdXdp,
			Packet{Dst: netip.MustParseAddr("192.0.2.77"), DstMAC: NICMAC, Proto: 17, Payload: make([]byte, 26)}.Bytes(),
		},
		{"not-ours-ipv6", h.Plane.Objects.VipdXdp, append(eth(NICMAC, PeerMAC, 0x86dd), make([]byte, 50)...)},
		{"not-ours-arp", h.Plane.Objects.VipdXdp, ARPFor("192.0.2.77").Bytes()},
		{"bad-ttl", h.Plane.Objects.VipdXdp, Packet{TTL: 1, Payload: Advert(2, 0, 0, 7).bytes()}.Bytes()},
	} {
		b.Run(bm.name, func(b *testing.B) { benchmark(b, bm.prog, bm.frame, 1_000_000) })
	}
	b.Run("advert", func(b *testing.B) { h.benchmarkAdvert(b, GoldenSpec("192.0.2.1"), good) })
	b.Run("advert-no-trailer", func(b *testing.B) { h.benchmarkAdvert(b, ProvenSpec("192.0.2.1"), good) })
	strict := GoldenSpec("192.0.2.1")
	strict.StrictReplay = true
	b.Run("advert-strict", func(b *testing.B) { h.benchmarkAdvert(b, strict, good) })
	b.Run("advert-proven", func(b *testing.B) {
		frames := provenFrames(batch)
		with, without := sending(b, h.Plane.Objects.VipdXdp, frames), sending(b, emptyXDP(b, XDPPass), frames)
		reportBest(b, func() float64 { return h.nsProven(with) - without.ns(b) })
	})
	good6 := frame6(DualAdvert(2, 0, 0, 7))
	b.Run("advert6", func(b *testing.B) { h.benchmarkAdvert(b, GoldenSpec(DualVIPs()...), good6) })
	h.Fresh(GoldenSpec(DualVIPs()...))
	h.Master(1)
	b.Run("nd", func(b *testing.B) { h.benchmarkRewritten(b, NDFor(VIP6).Bytes()) })
	b.Run("arp", func(b *testing.B) { h.benchmarkRewritten(b, ARPFor("192.0.2.1").Bytes()) })
	b.Run("virtual-mac", func(b *testing.B) {
		h.benchmarkRewritten(b, Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 26)}.Bytes())
	})
}

func benchmark(b *testing.B, p *ebpf.Program, frame []byte, n int) {
	b.Helper()
	reportBest(b, func() float64 { return nsPerFrame(b, p, frame, n) })
}

func (h *Harness) benchmarkAdvert(b *testing.B, s tables.GroupSpec, frame []byte) {
	b.Helper()
	reportBest(b, func() float64 { return h.nsAdvert(s, frame) })
}

// reportBest reports the quickest of the rounds, in ns a frame.
func reportBest(b *testing.B, round func() float64) {
	b.Helper()
	best := 0.0
	for b.Loop() {
		if ns := round(); best == 0 || ns < best {
			best = ns
		}
	}
	b.ReportMetric(best, "ns/frame")
	b.ReportMetric(0, "ns/op")
}

// benchmarkRewritten: a test run repeats on what the run before left, so that only the
// first one sees the request. The frame is therefore built anew by a program in front
// that costs little, see rewriting.
func (h *Harness) benchmarkRewritten(b *testing.B, frame []byte) {
	with := rewriting(b, h.Plane.Objects.VipdXdp, frame)
	without := rewriting(b, nil, frame)
	var sum [2]float64
	rounds := 0.0
	for b.Loop() {
		for i, p := range []*ebpf.Program{with, without} {
			_, d, err := p.Benchmark(frame, 500_000, nil)
			if err != nil {
				b.Fatal(err)
			}
			sum[i] += float64(d.Nanoseconds())
		}
		rounds++
	}
	b.ReportMetric(sum[0]/rounds, "ns/frame+rewrite")
	b.ReportMetric((sum[0]-sum[1])/rounds, "ns/frame-over-empty")
	b.ReportMetric(0, "ns/op")
}

// rewriting is a program that writes the first bytes of the frame and tail calls next.
func rewriting(b testing.TB, next *ebpf.Program, frame []byte) *ebpf.Program {
	b.Helper()
	if next == nil {
		next = emptyXDP(b, XDPTX)
	}
	table, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { table.Close() })
	if err := table.Put(uint32(0), next); err != nil {
		b.Fatal(err)
	}
	n := min(len(frame), 86) &^ 1
	insns := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word), // end
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(n)),
		asm.JGT.Reg(asm.R4, asm.R3, "out"),
	}
	for off := 0; off < n; off += 2 {
		v := int64(frame[off]) | int64(frame[off+1])<<8
		insns = append(insns, asm.StoreImm(asm.R2, int16(off), v, asm.Half))
	}
	insns = append(insns,
		asm.LoadMapPtr(asm.R2, table.FD()),
		asm.Mov.Imm(asm.R3, 0),
		asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
		asm.Return(),
	)
	p, err := ebpf.NewProgram(
		&ebpf.ProgramSpec{Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: insns, Flags: 1 << 5},
	)
	if err != nil {
		b.Fatalf("%+v", err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}

// sender is a program that writes one frame after the other and tail calls another one.
type sender struct {
	prog  *ebpf.Program
	next  *ebpf.Map // which frame
	frame []byte
	n     int
}

// sending returns a sender of frames, which have one length: the same advert a second time is a replay.
func sending(b testing.TB, to *ebpf.Program, frames [][]byte) sender {
	b.Helper()
	const room = 96
	s := sender{frame: frames[0], n: len(frames)}
	size := uint32(len(frames))
	table := kerneltest.Must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.ProgramArray, KeySize: 4, ValueSize: 4, MaxEntries: 1}))
	s.next = kerneltest.Must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}))
	all := kerneltest.Must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: room, MaxEntries: size}))
	b.Cleanup(func() { table.Close(); s.next.Close(); all.Close() })
	if err := table.Put(uint32(0), to); err != nil {
		b.Fatal(err)
	}
	for i, f := range frames {
		if err := all.Put(uint32(i), append(slices.Clone(f), make([]byte, room-len(f))...)); err != nil {
			b.Fatal(err)
		}
	}
	lookup := func(m *ebpf.Map) asm.Instructions {
		return asm.Instructions{
			asm.LoadMapPtr(asm.R1, m.FD()), asm.Mov.Reg(asm.R2, asm.R10), asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(), asm.JEq.Imm(asm.R0, 0, "out"),
		}
	}
	insns := asm.Instructions{asm.Mov.Reg(asm.R6, asm.R1), asm.StoreImm(asm.R10, -4, 0, asm.Word)}
	insns = append(insns, lookup(s.next)...)
	insns = append(insns,
		asm.LoadMem(asm.R7, asm.R0, 0, asm.Word), asm.StoreMem(asm.R10, -4, asm.R7, asm.Word),
		asm.Add.Imm(asm.R7, 1), asm.StoreMem(asm.R0, 0, asm.R7, asm.Word))
	insns = append(insns, lookup(all)...)
	n := len(s.frame)
	insns = append(insns,
		asm.LoadMem(asm.R2, asm.R6, 0, asm.Word), // data
		asm.LoadMem(asm.R3, asm.R6, 4, asm.Word), // end
		asm.Mov.Reg(asm.R4, asm.R2), asm.Add.Imm(asm.R4, int32(n)), asm.JGT.Reg(asm.R4, asm.R3, "out"))
	for off := 0; off < n; off += 2 {
		insns = append(insns,
			asm.LoadMem(asm.R5, asm.R0, int16(off), asm.Half), asm.StoreMem(asm.R2, int16(off), asm.R5, asm.Half))
	}
	insns = append(insns,
		asm.Mov.Reg(asm.R1, asm.R6), asm.LoadMapPtr(asm.R2, table.FD()), asm.Mov.Imm(asm.R3, 0), asm.FnTailCall.Call(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return())
	p, err := ebpf.NewProgram(
		&ebpf.ProgramSpec{Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Instructions: insns, Flags: 1 << 5},
	)
	if err != nil {
		b.Fatalf("%+v", err)
	}
	b.Cleanup(func() { p.Close() })
	s.prog = p
	return s
}

// ns sends all frames and returns what one takes.
func (s sender) ns(b testing.TB) float64 {
	b.Helper()
	if err := s.next.Put(uint32(0), uint32(0)); err != nil {
		b.Fatal(err)
	}
	return nsPerFrame(b, s.prog, s.frame, s.n)
}

func emptyXDP(b testing.TB, verdict int32) *ebpf.Program {
	b.Helper()
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, AttachType: ebpf.AttachXDP, License: "GPL", Flags: 1 << 5,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, verdict), asm.Return()},
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { p.Close() })
	return p
}
