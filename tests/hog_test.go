// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"vipd/tests/lab"
)

// hogVar makes this test binary a hog of one kind. It has a process of its own so that it can be killed by its ID.
const (
	hogVar = "VIPD_HOG"
	// hogForVar is after what time a hog ends by itself, and hogShareVar is its share of hogMemory or hogDisk in bytes.
	hogForVar, hogShareVar = "VIPD_HOG_FOR", "VIPD_HOG_SHARE"

	hogMemory = 1 << 30 // of all hogs together
	hogDisk   = 256 << 20
	hogBlock  = 1 << 20
	hogChild  = "child" // the kind that a fork hog starts, which ends at once
)

// hogKinds are the kinds that load a machine, each in another part of the kernel.
var hogKinds = []string{"cpu", "memory", "fork", "io"}

// startHogs starts two hogs of each kind per CPU, as ordinary processes. They end by themselves after that time.
func startHogs(h *lab.Host, kinds []string, lasting time.Duration) (procs []*lab.Proc, err error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	number := 2 * runtime.NumCPU()
	for _, kind := range kinds {
		share := hogMemory / number
		if kind == "io" {
			share = hogDisk / number
		}
		env := []string{
			hogVar + "=" + kind, hogForVar + "=" + lasting.String(), fmt.Sprintf("%s=%d", hogShareVar, share),
		}
		for range number {
			procs = append(procs, h.SpawnEnv(env, "hog-"+kind, program))
		}
	}
	return procs, nil
}

// hog loads the machine until its time is over and returns the exit code.
func hog(kind string) int {
	if kind == hogChild {
		return 0
	}
	lasting, err := time.ParseDuration(os.Getenv(hogForVar))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", hogForVar, err)
		return 1
	}
	share, err := strconv.Atoi(os.Getenv(hogShareVar))
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", hogShareVar, err)
		return 1
	}
	loads := map[string]func() error{
		"cpu":    func() error { return nil },
		"memory": func() error { return hogPages(share) },
		"fork":   hogFork,
		"io":     func() error { return hogFile(share) },
	}
	load, ok := loads[kind]
	if !ok {
		fmt.Fprintf(os.Stderr, "%s=%s: no such kind\n", hogVar, kind)
		return 1
	}
	for began := time.Now(); time.Since(began) < lasting; {
		if err := load(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return 0
}

// hogPages takes pages from the kernel, writes to each and gives them back.
func hogPages(size int) error {
	pages, err := unix.Mmap(-1, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		return fmt.Errorf("map %d bytes: %w", size, err)
	}
	for i := 0; i < size; i += os.Getpagesize() {
		pages[i] = 1
	}
	return unix.Munmap(pages)
}

// hogFork starts a process that ends at once.
func hogFork() error {
	program, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command(program)
	cmd.Env = append(os.Environ(), hogVar+"="+hogChild)
	return cmd.Run()
}

// hogFile writes a file in the working directory, which is the lab's, to the disk and reads it.
func hogFile(size int) error {
	file, err := os.CreateTemp(".", "hog-")
	if err != nil {
		return err
	}
	defer file.Close()
	if err := os.Remove(file.Name()); err != nil { // now: a killed hog removes nothing
		return err
	}
	for block := make([]byte, hogBlock); size > 0; size -= len(block) {
		if _, err := file.Write(block); err != nil {
			return err
		}
	}
	if err := file.Sync(); err != nil {
		return err
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, file)
	return err
}
