// SPDX-License-Identifier: Apache-2.0

package loader

import "errors"

// Reasons why the data plane cannot do what it is asked for. Each is wrapped in a sentence that says what to do about
// it.
var (
	// ErrNoBTF means that the running kernel has no type information.
	ErrNoBTF = errors.New("the kernel has no BTF")
	// ErrNoProc means that proc is not mounted; loading BPF programs reads it.
	ErrNoProc = errors.New("no proc file system")
	// ErrNoCapability means that the process may not load or attach BPF programs.
	ErrNoCapability = errors.New("missing capability")
	// ErrKernelTooOld means that the programs do not load, on a kernel before 5.15.
	ErrKernelTooOld = errors.New("the kernel is too old")
	// ErrNoBPFFS means that the directory for pins is not on a bpf file system.
	ErrNoBPFFS = errors.New("no bpf file system")
	// ErrBusy means that another process holds the directory for pins.
	ErrBusy = errors.New("data plane in use")
)
