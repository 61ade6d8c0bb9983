// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
)

// TestStackDepth adds up the stack along every chain of calls as kernels before 6.8 do:
// each function's rounded up to 32 bytes, 512 in all. Newer ones round to 16.
func TestStackDepth(t *testing.T) {
	const limit, frames = 512, 8
	for name, p := range allPrograms(t) {
		own, calls := make(map[string]int), make(map[string][]string)
		var entry string
		for i, f := range functions(p.Instructions) {
			fn := f[0].Symbol()
			if i == 0 {
				entry = fn
			}
			own[fn] = (max(stackOf(f), 1) + 31) / 32 * 32
			for i := range f {
				if f[i].IsFunctionCall() {
					calls[fn] = append(calls[fn], f[i].Reference())
				}
			}
		}
		deepest, chain := 0, []string(nil)
		var walk func(path []string, sum int)
		walk = func(path []string, sum int) {
			fn := path[len(path)-1]
			if sum += own[fn]; sum > deepest {
				deepest, chain = sum, append([]string(nil), path...)
			}
			if len(path) > frames {
				t.Fatalf("%s: more than %d calls: %v", name, frames, path)
			}
			for _, c := range calls[fn] {
				walk(append(path, c), sum)
			}
		}
		walk([]string{entry}, 0)
		t.Logf("%s: %d bytes of stack in %s; of each %v", name, deepest, strings.Join(chain, " > "), own)
		if deepest > limit {
			t.Errorf("%s: more than %d", name, limit)
		}
	}
}

// stackOf is how far below the frame pointer a function's instructions reach.
func stackOf(ins asm.Instructions) int {
	lowest := 0
	copies := make(map[asm.Register]bool) // of the frame pointer, until it is moved
	for i := range ins {
		in := &ins[i]
		class := in.OpCode.Class()
		switch {
		case class.IsLoad() && in.Src == asm.R10, class.IsStore() && in.Dst == asm.R10:
			lowest = min(lowest, int(in.Offset))
		}
		if !class.IsALU() {
			continue
		}
		op := in.OpCode.ALUOp()
		switch {
		case op == asm.Mov && in.OpCode.Source() == asm.RegSource:
			copies[in.Dst] = in.Src == asm.R10
		case op == asm.Add && in.OpCode.Source() == asm.ImmSource && copies[in.Dst]:
			lowest, copies[in.Dst] = min(lowest, int(in.Constant)), false
		default:
			copies[in.Dst] = false
		}
	}
	return -lowest
}
