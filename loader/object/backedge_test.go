// SPDX-License-Identifier: Apache-2.0

package object

import (
	"maps"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"

	"vipd/loader/internal/kerneltest"
)

// TestBackEdges walks the programs as verifiers before Linux 6.7 do (check_cfg in
// kernel/bpf/verifier.c): they allow a loop only where a jump closes it, and refuse one
// whose last instruction falls through to its first, whatever its bound.
func TestBackEdges(t *testing.T) {
	for name, p := range allPrograms(t) {
		loops := 0
		for _, f := range functions(p.Instructions) {
			n, bad := backEdges(f)
			loops += n
			for _, at := range bad {
				t.Errorf("%s: %s: instruction %d falls back to the beginning of a loop", name, f[0].Symbol(), at)
			}
		}
		if name == BPFProgVipdXdp && loops == 0 {
			t.Errorf("%s: found no loop at all", name)
		}
	}
	looping := asm.Instructions{
		asm.Ja.Label("head").WithSymbol("looping"),
		asm.Add.Imm(asm.R1, 1).WithSymbol("tail"),
		asm.JGT.Imm(asm.R1, 9, "out").WithSymbol("head"),
		asm.Ja.Label("tail"),
		asm.Return().WithSymbol("out"),
	}
	if n, bad := backEdges(looping); n != 1 || len(bad) != 1 || bad[0] != 1 {
		t.Errorf("a loop that falls through: %d loops, bad at %v", n, bad)
	}
}

// allPrograms are those of both objects.
func allPrograms(t *testing.T) map[string]*ebpf.ProgramSpec {
	t.Helper()
	all := make(map[string]*ebpf.ProgramSpec)
	for _, s := range []*ebpf.CollectionSpec{kerneltest.Must(LoadBPF()), kerneltest.Must(LoadIngress())} {
		maps.Copy(all, s.Programs)
	}
	return all
}

// functions splits a program at the functions it consists of.
func functions(ins asm.Instructions) []asm.Instructions {
	called := make(map[string]bool)
	for i := range ins {
		if ins[i].IsFunctionCall() {
			called[ins[i].Reference()] = true
		}
	}
	var out []asm.Instructions
	start := 0
	for i := 1; i < len(ins); i++ {
		if called[ins[i].Symbol()] {
			out, start = append(out, ins[start:i]), i
		}
	}
	return append(out, ins[start:])
}

// backEdges counts the loops of a function, depth first and the next instruction before
// a jump's target, and lists the ordinary instructions that close one.
func backEdges(ins asm.Instructions) (loops int, bad []int) {
	at := make([]asm.RawInstructionOffset, 0, len(ins))
	index := make(map[asm.RawInstructionOffset]int)
	for it := ins.Iterate(); it.Next(); {
		index[it.Offset] = it.Index
		at = append(at, it.Offset)
	}
	symbols := make(map[string]int)
	for i := range ins {
		if s := ins[i].Symbol(); s != "" {
			symbols[s] = i
		}
	}
	next := func(i int) []int {
		op := ins[i].OpCode
		jump := op.Class().IsJump() && op.JumpOp() != asm.Call
		switch {
		case jump && op.JumpOp() == asm.Exit:
			return nil
		case !jump:
			return []int{i + 1}
		}
		to, ok := symbols[ins[i].Reference()]
		if ins[i].Reference() == "" || !ok {
			to = index[asm.RawInstructionOffset(int(at[i])+1+int(ins[i].Offset))]
		}
		if op.JumpOp() == asm.Ja {
			return []int{to}
		}
		return []int{i + 1, to}
	}
	const under, done = 1, 2
	state := make([]int, len(ins)+1)
	var visit func(i int)
	visit = func(i int) {
		state[i] = under
		defer func() { state[i] = done }()
		for _, n := range next(i) {
			switch {
			case n >= len(ins):
			case state[n] == 0:
				visit(n)
			case state[n] == under:
				loops++
				if op := ins[i].OpCode; !op.Class().IsJump() || op.JumpOp() == asm.Call {
					bad = append(bad, i)
				}
			}
		}
	}
	visit(0)
	return loops, bad
}
