// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// TestConstantTime: how long a digest takes says nothing about it. As compiled, the block
// function branches on its loop counters alone, and from the last block on nothing branches
// before all of both digests has been compared: forged ones would else be found byte by byte.
func TestConstantTime(t *testing.T) {
	for name, p := range allPrograms(t) {
		var compares, blocks int
		for _, f := range functions(p.Instructions) {
			switch f[0].Symbol() {
			case "sha1_block":
				blocks++
				for i := range f {
					if branches(&f[i]) && f[i].OpCode.Source() != asm.ImmSource {
						t.Errorf("%s: sha1_block branches on what it hashes: %v", name, f[i])
					}
				}
			case "digest_matches":
				compares++
				compared, early := comparison(f)
				if compared != 5 {
					t.Errorf("%s: %d words of a digest are read after the last block, want 5 of the advert's:\n%v", name, compared, f)
				}
				if early {
					t.Errorf("%s: a branch before all of both digests is compared:\n%v", name, f)
				}
			}
		}
		if want := map[bool]int{true: 1}[name != bpfProgVipdEgress]; compares != want || blocks != want {
			t.Errorf("%s: %d comparisons of digests, %d block functions, want %d of each", name, compares, blocks, want)
		}
	}
}

// branches says whether an instruction jumps on a condition.
func branches(i *asm.Instruction) bool {
	op := i.OpCode
	return op.Class().IsJump() && op.JumpOp() != asm.Ja && op.JumpOp() != asm.Call && op.JumpOp() != asm.Exit
}

// comparison looks at what follows the last call: how many words it reads from memory that is
// no stack (h is there, md is not), and whether a branch comes before the last of all reads.
func comparison(f asm.Instructions) (words int, early bool) {
	last, read := 0, 0
	for i := range f {
		if f[i].IsFunctionCall() {
			last = i
		}
		if f[i].OpCode.Class() == asm.LdXClass {
			read = i
		}
	}
	for i := last + 1; i < len(f); i++ {
		if f[i].OpCode.Class() == asm.LdXClass && f[i].Src != asm.RFP {
			words++
		}
		early = early || branches(&f[i]) && i < read
	}
	return words, early
}
