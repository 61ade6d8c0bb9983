// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// layoutVersion names the directory of the pins: LAYOUT_VERSION of bpf/vipd_types.h.
const layoutVersion = 2

const (
	layoutDir = "v2"
	tmpSuffix = "-new" // bpffs refuses names with a dot
)

// Dataplane is the loaded data plane of one daemon.
type Dataplane struct {
	opts  Options
	objs  bpfObjects
	roles *roleTable
	ring  *ring
	lock  *os.File

	mu       sync.Mutex // guards what follows
	closed   bool
	attached map[int]*attachment
	groups   map[bpfGroupKey]*Group
	slots    slots // of groups
	vipSlots slots
}

// Open loads the programs and pins the maps below Options.Dir. It mounts the bpf
// file system where it is missing from its usual place. What a dead daemon left in
// the directory is removed first; call [LeftBehind] before to learn what that is.
// The error is one sentence that says what to do, wrapping one of the package's
// sentinels where the host is at fault.
func Open(o Options) (*Dataplane, error) {
	return open(o, realHost())
}

func open(o Options, h host) (_ *Dataplane, err error) {
	o = o.withDefaults()
	if err := h.check(); err != nil {
		return nil, err
	}
	if err := ensureBPFFS(o.Dir, o.Log); err != nil {
		return nil, err
	}
	d := &Dataplane{
		opts:     o,
		attached: make(map[int]*attachment),
		groups:   make(map[bpfGroupKey]*Group),
		slots:    slots{bound: uint32(o.MaxGroups)},
		vipSlots: slots{bound: uint32(o.MaxVIPs)},
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.release())
		}
	}()
	if d.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil { // with the lock still held
			err = errors.Join(err, os.RemoveAll(d.pinDir()+tmpSuffix), os.RemoveAll(d.pinDir()), removeDir(o.Dir))
		}
	}()
	report, err := cleanup(o)
	if err != nil {
		return nil, fmt.Errorf("remove what an earlier vipd left: %w", err)
	}
	if !report.Empty() {
		o.Log.Info("removed what an earlier vipd left", "dir", o.Dir, "interfaces", report.Interfaces)
	}
	if err := d.load(); err != nil {
		return nil, h.explain(err)
	}
	if err := d.pinMaps(); err != nil {
		return nil, err
	}
	if d.roles, err = mapRoles(d.objs.Roles); err != nil {
		return nil, err
	}
	if d.ring, err = openRing(d.objs.Events); err != nil {
		return nil, err
	}
	return d, nil
}

// spec is the collection as this host can load it.
func spec(o Options) (*ebpf.CollectionSpec, error) {
	s, err := loadBpf()
	if err != nil {
		return nil, fmt.Errorf("read the embedded programs: %w", err)
	}
	groups, vips := uint32(o.MaxGroups), uint32(o.MaxVIPs)
	for name, n := range map[string]uint32{
		bpfMapGroups: groups, bpfMapRoles: groups, bpfMapSeen: groups, bpfMapGroupStats: groups,
		bpfMapBudget: groups, bpfMapAuth: 2 * groups, bpfMapVips: vips, bpfMapVipStats: vips,
	} {
		s.Maps[name].MaxEntries = n
	}
	// Frames in several buffers and the helper that measures them came together in 5.18.
	if features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) != nil {
		dropFrags(s)
		if err := s.Variables[bpfVarCfgBuffLen].Set(uint32(0)); err != nil {
			return nil, fmt.Errorf("set %s: %w", bpfVarCfgBuffLen, err)
		}
	}
	return s, nil
}

// dropFrags makes the XDP program one for frames of a single buffer.
func dropFrags(s *ebpf.CollectionSpec) {
	const hasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS
	s.Programs[bpfProgVipdXdp].Flags &^= hasFrags
}

func (d *Dataplane) load() error {
	s, err := spec(d.opts)
	if err != nil {
		return err
	}
	if err := s.LoadAndAssign(&d.objs, nil); err != nil {
		if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
			d.opts.Log.Debug("verifier log", "log", fmt.Sprintf("%+v", ve))
		}
		return fmt.Errorf("load the bpf programs: %w", err)
	}
	if err := d.objs.Meta.Put(uint32(0), bpfMeta{Layout: layoutVersion}); err != nil {
		return fmt.Errorf("note the layout version: %w", err)
	}
	return nil
}

// maps by the name under which they are pinned: all but scratch, which is no state.
func (d *Dataplane) maps() map[string]*ebpf.Map {
	o := &d.objs
	return map[string]*ebpf.Map{
		bpfMapAuth: o.Auth, bpfMapBudget: o.Budget, bpfMapEvents: o.Events,
		bpfMapGroupStats: o.GroupStats, bpfMapGroups: o.Groups, bpfMapIfStats: o.IfStats,
		bpfMapIfaces: o.Ifaces, bpfMapMeta: o.Meta, bpfMapRoles: o.Roles, bpfMapSeen: o.Seen,
		bpfMapSources: o.Sources, bpfMapVipStats: o.VipStats, bpfMapVips: o.Vips,
	}
}

// pinMaps makes all maps visible at once: a crash leaves all of them or none that
// would be taken for a whole set.
func (d *Dataplane) pinMaps() error {
	tmp := filepath.Join(d.opts.Dir, layoutDir+tmpSuffix)
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("make the directory for pins: %w", err)
	}
	for name, m := range d.maps() {
		if err := m.Pin(filepath.Join(tmp, name)); err != nil {
			return fmt.Errorf("pin map %s in %s: %w", name, tmp, err)
		}
	}
	if err := os.Rename(tmp, d.pinDir()); err != nil {
		return fmt.Errorf("put the pins in place: %w", err)
	}
	return nil
}

func (d *Dataplane) pinDir() string { return filepath.Join(d.opts.Dir, layoutDir) }

// Close gives up all handles and leaves what is pinned: the kernel goes on with it
// until the leases end.
func (d *Dataplane) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	var errs []error
	for _, a := range d.attached {
		errs = append(errs, a.close())
	}
	return errors.Join(append(errs, d.release())...)
}

// Remove takes the right to speak from every group, detaches from every interface
// and leaves nothing in the kernel.
func (d *Dataplane) Remove() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.roles.silence()
	d.closed = true
	var errs []error
	for ifindex := range d.attached {
		errs = append(errs, d.detach(ifindex))
	}
	errs = append(errs, os.RemoveAll(d.pinDir()), removeDir(d.opts.Dir))
	return errors.Join(append(errs, d.release())...)
}

// release closes what Open got, however far it came.
func (d *Dataplane) release() error {
	var errs []error
	if d.ring != nil {
		errs = append(errs, d.ring.close())
	}
	for _, m := range d.maps() {
		errs = append(errs, closeIf(m != nil, m))
	}
	errs = append(errs, closeIf(d.objs.Scratch != nil, d.objs.Scratch),
		closeIf(d.objs.VipdXdp != nil, d.objs.VipdXdp),
		closeIf(d.objs.VipdEgress != nil, d.objs.VipdEgress), closeIf(d.lock != nil, d.lock))
	return errors.Join(errs...)
}

func closeIf(ok bool, c io.Closer) error {
	if !ok {
		return nil
	}
	return c.Close()
}
