// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"

	"golang.org/x/sys/unix"
)

// CPUs returns the CPUs that this process may run on.
func CPUs() ([]int, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, fmt.Errorf("ask for the CPUs: %w", err)
	}
	cpus := make([]int, 0, set.Count())
	for cpu := 0; len(cpus) < set.Count(); cpu++ {
		if set.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	return cpus, nil
}

// OnCPU runs f on one CPU alone.
func OnCPU(cpu int, f func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var before, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &before); err != nil {
		return fmt.Errorf("ask for the CPUs: %w", err)
	}
	one.Set(cpu)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		return fmt.Errorf("go to CPU %d: %w", cpu, err)
	}
	err := f()
	return errors.Join(err, unix.SchedSetaffinity(0, &before))
}

// Pin has the process run on one CPU alone.
func (p *Proc) Pin(cpu int) {
	p.lab.Helper()
	var one unix.CPUSet
	one.Set(cpu)
	for range 2 { // a thread that was started meanwhile, by one that was not pinned yet
		tasks, err := os.ReadDir(fmt.Sprintf("/proc/%d/task", p.PID()))
		p.lab.check(err, "threads of %s", p.Name)
		for _, task := range tasks {
			tid, err := strconv.Atoi(task.Name())
			p.lab.check(err, "threads of %s", p.Name)
			if err := unix.SchedSetaffinity(tid, &one); !errors.Is(err, unix.ESRCH) { // it may have ended meanwhile
				p.lab.check(err, "pin %s to CPU %d", p.Name, cpu)
			}
		}
	}
}
