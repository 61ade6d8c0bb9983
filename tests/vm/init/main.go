// SPDX-License-Identifier: Apache-2.0

// Command init is the first and only program of the test machine (tests/vm.sh): it mounts what a host has
// mounted, loads the kernel's modules, runs the steps of /steps one after the other, says how each ended, and switches
// the machine off. The last line it prints is "vm: passed" or "vm: failed"; anything else is a failure.
package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func main() {
	verdict := "vm: failed"
	if err := prepare(); err != nil {
		fmt.Println("vm:", err)
	} else if runSteps("/steps") {
		verdict = "vm: passed"
	}
	fmt.Println(verdict)
	// What the serial line still holds goes out before the machine does.
	_ = os.Stdout.Sync()
	time.Sleep(200 * time.Millisecond)
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_POWER_OFF)
}

func prepare() error {
	for _, m := range []struct{ what, where string }{
		{"proc", "/proc"},
		{"sysfs", "/sys"},
		{"devtmpfs", "/dev"},
		{"tmpfs", "/run"},
		{"tmpfs", "/tmp"},
		{"bpf", "/sys/fs/bpf"},
	} {
		if err := os.MkdirAll(m.where, 0o755); err != nil {
			return err
		}
		if err := unix.Mount(m.what, m.where, m.what, 0, ""); err != nil {
			return fmt.Errorf("mount %s: %w", m.where, err)
		}
	}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		return err
	}
	fmt.Printf("vm: Linux %s, up %v\n", unix.ByteSliceToString(uts.Release[:]), uptime())
	return loadModules("/lib/modules")
}

func uptime() time.Duration {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return 0
	}
	return time.Duration(ts.Nano()).Round(100 * time.Millisecond)
}

// runSteps runs the file's lines: a limit, a directory and a command each.
func runSteps(file string) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		fmt.Println("vm:", err)
		return false
	}
	ok, n := true, 0
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 {
			continue
		}
		n++
		limit, err := time.ParseDuration(f[0])
		if err != nil {
			fmt.Println("vm:", err)
			return false
		}
		fmt.Printf("vm: step %d, at most %v: %s\n", n, limit, strings.Join(f[2:], " "))
		start := time.Now()
		err = step(limit, f[1], "/bin/"+f[2], f[3:])
		fmt.Printf("vm: step %d took %v: ", n, time.Since(start).Round(time.Second/10))
		if err != nil {
			fmt.Println(err)
			ok = false
			continue
		}
		fmt.Println("ok")
	}
	return ok && n > 0
}

func step(limit time.Duration, dir, program string, args []string) error {
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, os.Stdout, os.Stdout
	cmd.WaitDelay = 5 * time.Second
	cmd.Env = append(os.Environ(), "PATH=/bin", "HOME=/tmp", "VIPD_BIN=/bin", "VIPD_TEST_REQUIRE=bpf,netns,vm,bond")
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			return fmt.Errorf("not within %v", limit)
		}
		return err
	}
	return nil
}
