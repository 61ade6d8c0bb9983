// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"fmt"
	"os"
	"runtime"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// mapArray maps an array of entries of this size into the process, for as long as owner is reachable: a late store
// after Close then hits memory that is still ours.
func mapArray[T any](owner *T, m *ebpf.Map, entry uintptr, what string) ([]byte, error) {
	page := os.Getpagesize()
	size := (int(m.MaxEntries())*int(entry) + page - 1) / page * page
	mem, err := unix.Mmap(m.FD(), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("map the %s: %w", what, err)
	}
	runtime.AddCleanup(owner, func(mem []byte) { _ = unix.Munmap(mem) }, mem) // nothing to be done about a failure
	return mem, nil
}
