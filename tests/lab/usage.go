// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// CPUOfAll returns how much processor time the process and its children have used. Children that have ended do not
// count.
func (p *Proc) CPUOfAll() time.Duration {
	p.lab.Helper()
	sum := p.cpuOf(p.PID())
	lists, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", p.PID()))
	p.lab.check(err, "children of %s", p.Name)
	for _, list := range lists {
		text, err := os.ReadFile(list)
		p.lab.check(err, "children of %s", p.Name)
		for field := range strings.FieldsSeq(string(text)) {
			child, err := strconv.Atoi(field)
			p.lab.check(err, "children of %s", p.Name)
			sum += p.cpuOf(child)
		}
	}
	return sum
}

// CPU returns how much processor time the process has used, with threads that have ended and without children.
func (p *Proc) CPU() time.Duration {
	p.lab.Helper()
	return p.cpuOf(p.PID())
}

// cpuOf reads the clock of a process, which is exact to the nanosecond; its ID is made as in MAKE_PROCESS_CPUCLOCK of
// linux/posix-timers.h.
func (p *Proc) cpuOf(pid int) time.Duration {
	p.lab.Helper()
	const sched = 2 // CPUCLOCK_SCHED
	var ts unix.Timespec
	p.lab.check(unix.ClockGettime(int32(^pid<<3|sched), &ts), "processor time of %s (process %d)", p.Name, pid)
	return time.Duration(ts.Nano())
}

// Resident returns how many bytes of memory the process has now.
func (p *Proc) Resident() int {
	p.lab.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.PID()))
	p.lab.check(err, "memory of %s", p.Name)
	fields := strings.Fields(string(text))
	if len(fields) < 2 {
		p.lab.Fatalf("memory of %s: %s", p.Name, text)
	}
	pages, err := strconv.Atoi(fields[1])
	p.lab.check(err, "memory of %s", p.Name)
	return pages * os.Getpagesize()
}

// MapBytes returns how many bytes the kernel holds for the BPF maps that the process has open.
func (p *Proc) MapBytes() int {
	p.lab.Helper()
	infos, err := filepath.Glob(fmt.Sprintf("/proc/%d/fdinfo/*", p.PID()))
	p.lab.check(err, "maps of %s", p.Name)
	maps := map[string]int{} // by map_id: a map may be open twice
	for _, info := range infos {
		text, err := os.ReadFile(info)
		if err != nil { // closed meanwhile
			continue
		}
		values := map[string]string{}
		for line := range strings.Lines(string(text)) {
			key, value, _ := strings.Cut(line, ":")
			values[key] = strings.TrimSpace(value)
		}
		if id, ok := values["map_id"]; ok {
			maps[id], err = strconv.Atoi(values["memlock"])
			p.lab.check(err, "maps of %s", p.Name)
		}
	}
	sum := 0
	for _, bytes := range maps {
		sum += bytes
	}
	return sum
}
