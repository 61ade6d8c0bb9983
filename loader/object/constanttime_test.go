// SPDX-License-Identifier: Apache-2.0

package object

import (
	"strings"
	"testing"

	"github.com/cilium/ebpf/asm"
)

// TestConstantTime: how long a digest takes says nothing about it. As compiled, the function that makes and compares
// digests branches on pointers, on the shape of the message and on its own counter, and on the result when all words
// have been compared: forged digests would else be found byte by byte. Where a branch comes from is told by the line
// that it was compiled from.
func TestConstantTime(t *testing.T) {
	harmless := map[string]bool{
		"if (!c || !md || !s)":    true, // global functions check their pointers
		"if (!second) {":          true, // which block
		"if (i == 15) {":          true, // where the counter is in it
		"} else if (i == 14) {":   true,
		"if (block < c->nblocks)": true,
		"}":                       true, // the end of the loop over the blocks
	}
	const result = "return diff == 0;"
	for name, p := range allPrograms(t) {
		found := false
		for _, f := range functions(p.Instructions) {
			if f[0].Symbol() != "digest_matches" {
				continue
			}
			found = true
			line, compared, decided := "", 0, 0
			for i := range f {
				if s := f[i].Source(); s != nil {
					line = strings.TrimSpace(s.String())
				}
				if strings.HasPrefix(line, "diff") && f[i].OpCode.Class() == asm.LdXClass && f[i].Src != asm.RFP {
					compared++ // h is on the stack, md is not
				}
				switch {
				case !branches(&f[i]) || harmless[line]:
				case line == result:
					decided++
				default:
					t.Errorf("%s: digest_matches branches at %q: %v", name, line, f[i])
				}
			}
			if compared != 5 || decided > 1 {
				t.Errorf(
					"%s: %d words of the advert's digest are compared, want 5; %d branches on the result, want at most 1",
					name,
					compared,
					decided,
				)
			}
		}
		if want := name != BPFProgVipdEgress; found != want {
			t.Errorf("%s: compares digests: %v, want %v", name, found, want)
		}
	}
}

// branches says whether an instruction jumps on a condition.
func branches(i *asm.Instruction) bool {
	op := i.OpCode
	return op.Class().IsJump() && op.JumpOp() != asm.Ja && op.JumpOp() != asm.Call && op.JumpOp() != asm.Exit
}
