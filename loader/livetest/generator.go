// SPDX-License-Identifier: Apache-2.0

// Package livetest sends frames from within the kernel, by BPF_PROG_TEST_RUN with live frames: more than ten times as
// many as a packet socket, and at hardly any cost of its own. It is for tests and benchmarks only and needs Linux 5.18.
package livetest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"testing"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"golang.org/x/sys/unix"
)

// MaxBatch is how many frames a run may have in flight; the ring of a veth holds as many.
const MaxBatch = 256

const xdpTX = 3

// ErrInterrupted means that a signal ended the run before all frames were sent; Sent returns how many were.
var ErrInterrupted = errors.New("the run was interrupted by a signal")

// Generator sends frames of one size, one after the other, then from the start again.
type Generator struct {
	prog   *ebpf.Program
	frames *ebpf.Map
	size   int // of a frame
	stride int // from one frame to the next
	n      int // frames, a power of two
}

// sentSize: the map begins with the number of frames sent so far.
const sentSize = 8

// New prepares a generator of these frames, which must be of one size.
func New(t testing.TB, frames ...[]byte) *Generator {
	t.Helper()
	g := &Generator{size: len(frames[0]), n: 1}
	for g.n < len(frames) {
		g.n *= 2 // so that a mask selects the frame, not a division
	}
	g.stride = (g.size + 7) &^ 7
	var err error
	if g.frames, err = ebpf.NewMap(&ebpf.MapSpec{
		Type: ebpf.Array, KeySize: 4, ValueSize: uint32(sentSize + g.n*g.stride), MaxEntries: 1,
	}); err != nil {
		t.Fatalf("generator: %v", err)
	}
	t.Cleanup(func() { g.frames.Close() })
	if err := g.Load(frames...); err != nil {
		t.Fatalf("generator: %v", err)
	}
	if g.prog, err = ebpf.NewProgram(
		&ebpf.ProgramSpec{Type: ebpf.XDP, License: "GPL", Instructions: g.write()},
	); err != nil {
		t.Fatalf("generator: %+v", err)
	}
	t.Cleanup(func() { g.prog.Close() })
	return g
}

// Load replaces the frames by others: no more of them, and of the same size.
func (g *Generator) Load(frames ...[]byte) error {
	value := make([]byte, g.frames.ValueSize())
	if len(frames) == 0 || len(frames) > g.n {
		return fmt.Errorf("%d frames, room for %d", len(frames), g.n)
	}
	for i := range g.n {
		frame := frames[i%len(frames)]
		if len(frame) != g.size {
			return fmt.Errorf("a frame of %d bytes and not %d", len(frame), g.size)
		}
		copy(value[sentSize+i*g.stride:], frame)
	}
	sent, err := g.Sent()
	if err != nil {
		return err
	}
	binary.NativeEndian.PutUint64(value, sent)
	if err := g.frames.Put(uint32(0), value); err != nil {
		return fmt.Errorf("store the frames: %w", err)
	}
	return nil
}

// write returns the program. It writes a whole frame each time, since the pages come back as their last user left them.
func (g *Generator) write() asm.Instructions {
	insns := asm.Instructions{
		asm.LoadMem(asm.R2, asm.R1, 0, asm.Word),
		asm.LoadMem(asm.R3, asm.R1, 4, asm.Word),
		asm.Mov.Reg(asm.R4, asm.R2),
		asm.Add.Imm(asm.R4, int32(g.size)),
		asm.JGT.Reg(asm.R4, asm.R3, "out"),
		asm.LoadMapValue(asm.R1, g.frames.FD(), 0),
		asm.LoadMem(asm.R3, asm.R1, 0, asm.DWord),
		asm.Mov.Reg(asm.R4, asm.R3),
		asm.Add.Imm(asm.R4, 1),
		asm.StoreMem(asm.R1, 0, asm.R4, asm.DWord),
		asm.And.Imm(asm.R3, int32(g.n-1)),
		asm.Mul.Imm(asm.R3, int32(g.stride)),
		asm.Add.Reg(asm.R1, asm.R3),
	}
	off := 0
	for _, unit := range []asm.Size{asm.DWord, asm.Word, asm.Half, asm.Byte} {
		for ; g.size-off >= unit.Sizeof(); off += unit.Sizeof() {
			insns = append(insns,
				asm.LoadMem(asm.R4, asm.R1, int16(sentSize+off), unit),
				asm.StoreMem(asm.R2, int16(off), asm.R4, unit))
		}
	}
	return append(insns, asm.Mov.Imm(asm.R0, xdpTX), asm.Return(),
		asm.Mov.Imm(asm.R0, 0).WithSymbol("out"), asm.Return())
}

// testRun is bpf_attr of BPF_PROG_TEST_RUN: the library does not return the duration of such a run.
type testRun struct {
	prog, retval, sizeIn, sizeOut uint32
	dataIn, dataOut               uint64
	repeat, duration              uint32
	ctxSizeIn, ctxSizeOut         uint32
	ctxIn, ctxOut                 uint64
	flags, cpu, batch, pad        uint32
}

// Send sends n frames out of an interface of this thread's network namespace, at most batch (1 to MaxBatch) at once. It
// returns the time per frame by the kernel's own clock, including all softirq work of this CPU. Frames for which the
// driver had no room are lost silently: count what arrives.
func (g *Generator) Send(ifindex, n, batch int) (time.Duration, error) {
	data, md := make([]byte, g.size), [6]uint32{0, uint32(g.size), 0, uint32(ifindex)} // struct xdp_md
	var pinner runtime.Pinner
	defer pinner.Unpin()
	pinner.Pin(&data[0])
	pinner.Pin(&md)
	attr := testRun{
		prog: uint32(g.prog.FD()), sizeIn: uint32(g.size), dataIn: uint64(uintptr(unsafe.Pointer(&data[0]))),
		repeat: uint32(n), ctxSizeIn: uint32(unsafe.Sizeof(md)), ctxIn: uint64(uintptr(unsafe.Pointer(&md))),
		flags: unix.BPF_F_TEST_XDP_LIVE_FRAMES, batch: uint32(batch),
	}
	_, _, errno := unix.Syscall(unix.SYS_BPF, unix.BPF_PROG_TEST_RUN, uintptr(unsafe.Pointer(&attr)), unsafe.Sizeof(attr))
	runtime.KeepAlive(g)
	switch errno {
	case 0:
		return time.Duration(attr.duration), nil
	case unix.EINTR: // Go's scheduler sends signals
		return 0, ErrInterrupted
	default:
		return 0, fmt.Errorf("send %d live frames out of interface %d: %w", n, ifindex, errno)
	}
}

// Sent returns how many frames were written since the generator was made.
func (g *Generator) Sent() (uint64, error) {
	value := make([]byte, g.frames.ValueSize())
	if err := g.frames.Lookup(uint32(0), value); err != nil {
		return 0, fmt.Errorf("read the generator's count: %w", err)
	}
	return binary.NativeEndian.Uint64(value), nil
}
