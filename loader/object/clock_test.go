// SPDX-License-Identifier: Apache-2.0

package object

import (
	"testing"

	"github.com/cilium/ebpf/asm"
)

// The kernel's side has one clock as well, CLOCK_BOOTTIME: it steps with nobody and counts a suspend, as the agent's
// leases do. Jiffies are no time here: they tell how long a reading of it is good for (bpf/clock.h). Every instruction
// of the compiled objects is looked at.
func TestProgramsReadNoOtherClock(t *testing.T) {
	t.Parallel()
	spec, err := LoadBPF()
	if err != nil {
		t.Fatal(err)
	}
	others := map[asm.BuiltinFunc]string{
		asm.FnKtimeGetNs: "CLOCK_MONOTONIC", asm.FnKtimeGetCoarseNs: "CLOCK_MONOTONIC_COARSE",
		asm.FnKtimeGetTaiNs: "CLOCK_TAI", asm.FnTimerInit: "a timer",
	}
	boot := 0
	for name, prog := range spec.Programs {
		for i, ins := range prog.Instructions {
			if !ins.IsBuiltinCall() {
				continue
			}
			called := asm.BuiltinFunc(ins.Constant)
			if clock, bad := others[called]; bad {
				t.Errorf("%s, instruction %d: %s reads %s", name, i, called, clock)
			}
			if called == asm.FnKtimeGetBootNs {
				boot++
			}
		}
	}
	if len(spec.Programs) < 2 || boot < 2 {
		t.Errorf("%d programs with %d readings of CLOCK_BOOTTIME: was anything looked at?", len(spec.Programs), boot)
	}
}
