// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
)

// ErrClock means that the agent's clock is not the kernel's.
var ErrClock = errors.New("this process does not see the clock of the kernel")

const (
	// clockSlack tolerates a clock that is being set.
	clockSlack = 5 * time.Millisecond
	clockTries = 3
)

// CheckClock compares the caller's CLOCK_BOOTTIME, in nanoseconds, with that of BPF programs. They differ in a time
// namespace: leases written by the agent would then never end, or already be over.
func CheckClock(now func() int64) error {
	kernel, done, err := kernelClock()
	if err != nil {
		return err
	}
	defer done()
	var off time.Duration
	for range clockTries {
		before := now()
		at, err := kernel()
		if err != nil {
			return err
		}
		if off = apart(before, at, now()); off.Abs() <= clockSlack {
			return nil
		}
	}
	return fmt.Errorf(
		"%w: its CLOCK_BOOTTIME is %s off, since it runs in a time namespace with an offset (/proc/self/timens_offsets), "+
			"and leases could not be compared; run vipd in the host's time namespace: `nsenter --time=/proc/1/ns/time vipd`, "+
			"or give the container no time offset (runc: linux.timeOffsets, LXC: lxc.time.offset.boot)",
		ErrClock,
		off.Round(time.Millisecond),
	)
}

// apart returns how far the caller's clock is ahead of a reading made between two of its own.
func apart(before, kernel, after int64) time.Duration {
	switch {
	case kernel < before:
		return time.Duration(before - kernel)
	case kernel > after:
		return time.Duration(after - kernel)
	default:
		return 0
	}
}

// kernelClock loads a program that puts bpf_ktime_get_boot_ns into a map.
func kernelClock() (read func() (int64, error), done func(), err error) {
	m, err := ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	if err != nil {
		return nil, nil, fmt.Errorf("create a map to read the kernel's clock: %w", err)
	}
	p, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.XDP, License: "GPL",
		Instructions: asm.Instructions{
			asm.FnKtimeGetBootNs.Call(),
			asm.Mov.Reg(asm.R6, asm.R0),
			asm.StoreImm(asm.RFP, -4, 0, asm.Word),
			asm.LoadMapPtr(asm.R1, m.FD()),
			asm.Mov.Reg(asm.R2, asm.RFP),
			asm.Add.Imm(asm.R2, -4),
			asm.FnMapLookupElem.Call(),
			asm.JEq.Imm(asm.R0, 0, "out"),
			asm.StoreMem(asm.R0, 0, asm.R6, asm.DWord),
			asm.Mov.Imm(asm.R0, 0).WithSymbol("out"),
			asm.Return(),
		},
	})
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("load a program to read the kernel's clock: %w", err), m.Close())
	}
	done = func() { _ = errors.Join(p.Close(), m.Close()) } // nothing depends on it
	read = func() (int64, error) {
		if _, err := p.Run(&ebpf.RunOptions{Data: make([]byte, 64)}); err != nil {
			return 0, fmt.Errorf("run a program to read the kernel's clock: %w", err)
		}
		var at uint64
		err := m.Lookup(uint32(0), &at)
		return int64(at), err
	}
	return read, done, nil
}
