// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"

	"github.com/cilium/ebpf"
)

// TestVerifierBudget prints how far each program is from the verifier's million
// instructions, and holds a tenth of it: older kernels prune less.
func TestVerifierBudget(t *testing.T) {
	d := openTest(t, Options{})
	const budget = 100_000
	for name, p := range map[string]*ebpf.Program{bpfProgVipdXdp: d.objs.VipdXdp, bpfProgVipdEgress: d.objs.VipdEgress} {
		info, err := p.Info()
		if err != nil {
			t.Fatal(err)
		}
		n, ok := info.VerifiedInstructions()
		if !ok {
			t.Skip("this kernel does not tell (before 5.16)")
		}
		size, err := info.TranslatedSize()
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%s: %d instructions, %d verified", name, size/8, n)
		if n > budget {
			t.Errorf("%s: the verifier went through %d instructions, more than %d", name, n, budget)
		}
	}
}
