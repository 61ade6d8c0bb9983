// SPDX-License-Identifier: Apache-2.0

package object

import (
	"errors"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// layoutVersion names the directory of the pins: LAYOUT_VERSION of bpf/vipd_types.h.
const layoutVersion = 9

const (
	bssName = ".bss"
	// LayoutDir is the directory of the pins.
	LayoutDir = "v9"
	// TmpSuffix marks the directory while it is filled.
	TmpSuffix = "-new" // bpffs refuses names with a dot
)

// PinDir returns where the maps and links of this layout are pinned, below the directory of a vipd.
func PinDir(dir string) string { return filepath.Join(dir, LayoutDir) }

// Spec returns the collection as this host can load it.
func (o Options) Spec() (*ebpf.CollectionSpec, error) {
	s, err := o.mapSpec()
	if err != nil {
		return nil, err
	}
	if !o.SeveralBuffers() {
		DropFrags(s)
		if err := s.Variables[BPFVarCfgBuffLen].Set(uint32(0)); err != nil {
			return nil, fmt.Errorf("set %s: %w", BPFVarCfgBuffLen, err)
		}
	}
	return s, nil
}

// mapSpec is like Spec, for the maps alone: it asks the kernel nothing.
func (o Options) mapSpec() (*ebpf.CollectionSpec, error) {
	s, err := LoadBPF()
	if err != nil {
		return nil, fmt.Errorf("read the embedded programs: %w", err)
	}
	o.resize(s)
	return s, nil
}

// SeveralBuffers reports whether the kernel has XDP for frames in several buffers. The helper that measures them came
// with it, in 5.18.
func (o Options) SeveralBuffers() bool {
	return !o.SingleBuffer && features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil
}

// DropFrags makes the XDP program one for frames in a single buffer.
func DropFrags(s *ebpf.CollectionSpec) {
	const hasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS
	s.Programs[BPFProgVipdXdp].Flags &^= hasFrags
}

// logSingleBuffer logs what the loaded programs lack on this kernel.
func (o Options) logSingleBuffer() {
	if !o.SeveralBuffers() {
		o.Log.Info("this kernel has no xdp for frames in several buffers: where native mode refuses a large MTU, " +
			"use mode = \"tc\" or Linux 5.18 or newer")
	}
}

// aside runs what takes long.
func (o Options) aside(work func() error) error {
	if o.Aside == nil {
		return work()
	}
	return o.Aside(work)
}

// load loads a collection on existing maps. The verifier's output only goes to the log: it is long.
func (o Options) load(to any, s *ebpf.CollectionSpec, there map[string]*ebpf.Map) error {
	err := o.aside(func() error {
		return s.LoadAndAssign(to, &ebpf.CollectionOptions{MapReplacements: there})
	})
	if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
		o.Log.Debug("verifier log", "log", fmt.Sprintf("%+v", ve))
	}
	return err
}
