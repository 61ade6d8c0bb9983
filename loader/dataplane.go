// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/features"
)

// layoutVersion names the directory of the pins: LAYOUT_VERSION of bpf/vipd_types.h.
const layoutVersion = 5

const (
	bssName   = ".bss"
	layoutDir = "v5"
	tmpSuffix = "-new" // bpffs refuses names with a dot
)

// Dataplane is the loaded data plane of one daemon.
type Dataplane struct {
	opts     Options
	objs     bpfObjects
	roles    *roleTable
	place    *placeTable
	vipPlace *vipPlaceTable
	ring     *ring
	tap      *tap
	lock     *os.File
	bss      *ebpf.Map // the variables of the programs
	nic      nicFeatures

	// hooks guards these two. What the kernel is asked for under it may take its time: the
	// election takes mu alone. Both are taken in this order.
	hooks       sync.Mutex
	attached    map[int]*attachment
	ingressProg *ebpf.Program // loaded when it is needed, as the next
	genericProg *ebpf.Program

	mu       sync.Mutex // guards what follows
	closed   bool       // written under both, read under either
	groups   map[bpfGroupKey]*Group
	slots    slots // of groups
	vipSlots slots
	pinned   map[bpfGroupKey]*pinnedGroup // adopted and not claimed
}

// Open loads the programs and pins the maps below Options.Dir. It mounts the bpf
// file system where it is missing from its usual place. What a dead daemon left in
// the directory is adopted, if Options.Adopt says so and it fits; else it is removed
// first, after Options.Evacuate. The error is one sentence that says what to do, wrapping one of the package's
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
		nic:      nic{},
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
	if o.Adopt {
		err := d.adopt()
		if err == nil {
			return d, nil
		}
		// Nothing there is the first start, or one after a reboot.
		if others := d.otherLayouts(); !errors.Is(err, fs.ErrNotExist) || exists(d.pinDir()) || len(others) > 0 {
			if !exists(d.pinDir()) {
				err = fmt.Errorf("only another layout is there: %s", strings.Join(others, ", "))
			}
			o.Log.Warn("cannot adopt what an earlier vipd left, starting clean", "dir", d.pinDir(), "err", err)
		}
		if err := d.forget(); err != nil {
			o.Log.Warn("cannot close what was to be adopted", "err", err)
		}
	}
	// Before anything is removed: what runs is better than nothing.
	if err := d.load(nil); err != nil {
		return nil, errors.Join(h.explain(err), removeDir(o.Dir))
	}
	defer func() {
		if err != nil { // with the lock still held
			err = errors.Join(err, os.RemoveAll(d.pinDir()+tmpSuffix), os.RemoveAll(d.pinDir()), removeDir(o.Dir))
		}
	}()
	if err := d.clear(); err != nil {
		return nil, err
	}
	if err := d.objs.Meta.Put(uint32(0), bpfMeta{Layout: layoutVersion}); err != nil {
		return nil, fmt.Errorf("note the layout version: %w", err)
	}
	if err := d.pinMaps(); err != nil {
		return nil, err
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// open gets what works on the loaded maps.
func (d *Dataplane) open() (err error) {
	if d.roles, err = mapRoles(d.objs.Roles); err != nil {
		return err
	}
	if d.place, err = mapPlaces(d.objs.Places); err != nil {
		return err
	}
	if d.vipPlace, err = mapVIPPlaces(d.objs.VipPlaces); err != nil {
		return err
	}
	if d.ring, err = openRing(d.objs.Events); err != nil {
		return err
	}
	d.tap, err = openTap(&d.objs)
	return err
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// clear removes what an earlier vipd left. Pins that make no sense are no reason to
// fail: that would be so at every start.
func (d *Dataplane) clear() error {
	if left, err := leftBehind(d.opts.Dir); err != nil {
		d.opts.Log.Warn("addresses of an earlier vipd unknown", "err", err)
	} else if len(left) > 0 {
		d.opts.Evacuate(left)
	}
	layouts, _ := filepath.Glob(filepath.Join(d.opts.Dir, "v*"))
	report, err := cleanup(d.opts)
	if err != nil {
		d.opts.Log.Warn("not all of what an earlier vipd left could be undone", "err", err)
	}
	// A filter has no pin to go by, and what an earlier layout's maps say of it cannot be read, or the maps are gone.
	if len(layouts) > 0 {
		n, err := sweepFilters()
		report.Filters += n
		if err != nil {
			d.opts.Log.Warn("egress filters of an earlier vipd may be left", "err", err)
		}
	}
	if exists(d.pinDir()) {
		return fmt.Errorf("remove what an earlier vipd left in %s: it is still there", d.pinDir())
	}
	if !report.Empty() {
		d.opts.Log.Info("removed what an earlier vipd left", "dir", d.opts.Dir, "interfaces", report.Interfaces)
	}
	return nil
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
		bpfMapBudget: groups, bpfMapTapUsed: groups, bpfMapTapCapture: groups, bpfMapAuth: 2 * groups, bpfMapVips: vips, bpfMapVipStats: vips,
	} {
		s.Maps[name].MaxEntries = n
	}
	if !severalBuffers(o) {
		dropFrags(s)
		if err := s.Variables[bpfVarCfgBuffLen].Set(uint32(0)); err != nil {
			return nil, fmt.Errorf("set %s: %w", bpfVarCfgBuffLen, err)
		}
	}
	return s, nil
}

// severalBuffers: such frames, and the helper that measures them, came together in 5.18.
func severalBuffers(o Options) bool {
	return !o.singleBuffer && features.HaveProgramHelper(ebpf.XDP, asm.FnXdpGetBuffLen) == nil
}

// dropFrags makes the XDP program one for frames of a single buffer.
func dropFrags(s *ebpf.CollectionSpec) {
	const hasFrags = 1 << 5 // BPF_F_XDP_HAS_FRAGS
	s.Programs[bpfProgVipdXdp].Flags &^= hasFrags
}

// load makes new maps but for those that are given.
func (d *Dataplane) load(pinned map[string]*ebpf.Map) error {
	s, err := spec(d.opts)
	if err != nil {
		return err
	}
	all := struct {
		*bpfObjects
		Bss *ebpf.Map `ebpf:".bss"`
	}{bpfObjects: &d.objs}
	if err := d.loadInto(&all, s, pinned); err != nil {
		return fmt.Errorf("load the bpf programs: %w", err)
	}
	d.bss = all.Bss
	if !severalBuffers(d.opts) {
		d.opts.Log.Info("this kernel has no xdp for frames in several buffers: where native mode refuses a large MTU, use mode = \"generic\" or Linux 5.18 or newer")
	}
	return nil
}

// loadInto loads a collection with those of its maps that are there already. What the verifier
// has to say is for the log: it is long.
func (d *Dataplane) loadInto(to any, s *ebpf.CollectionSpec, there map[string]*ebpf.Map) error {
	err := s.LoadAndAssign(to, &ebpf.CollectionOptions{MapReplacements: there})
	if ve, ok := errors.AsType[*ebpf.VerifierError](err); ok {
		d.opts.Log.Debug("verifier log", "log", fmt.Sprintf("%+v", ve))
	}
	return err
}

// maps by the name under which they are pinned: all but scratch, clock, places and
// those of the tap, which are no state.
func (d *Dataplane) maps() map[string]*ebpf.Map {
	o := &d.objs
	return map[string]*ebpf.Map{
		bpfMapAuth: o.Auth, bpfMapBudget: o.Budget, bpfMapEvents: o.Events,
		bpfMapGroupStats: o.GroupStats, bpfMapGroups: o.Groups, bpfMapIfStats: o.IfStats,
		bpfMapIfaces: o.Ifaces, bpfMapMeta: o.Meta, bpfMapRoles: o.Roles, bpfMapSeen: o.Seen,
		bpfMapSources: o.Sources, bpfMapVipStats: o.VipStats, bpfMapVips: o.Vips, bpfMapVlans: o.Vlans,
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
	defer d.lockAll()()
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
	defer d.lockAll()()
	if d.closed {
		return nil
	}
	d.roles.silence()
	d.closed = true
	var errs []error
	for len(d.attached) > 0 { // a parent may have to wait for its VLAN devices
		for ifindex := range d.attached {
			errs = append(errs, d.detach(ifindex))
		}
	}
	errs = append(errs, os.RemoveAll(d.pinDir()), removeDir(d.opts.Dir))
	return errors.Join(append(errs, d.release())...)
}

// lockAll returns what unlocks again.
func (d *Dataplane) lockAll() func() {
	d.hooks.Lock()
	d.mu.Lock()
	return func() {
		d.mu.Unlock()
		d.hooks.Unlock()
	}
}

// release closes what Open got, however far it came.
func (d *Dataplane) release() error {
	return errors.Join(d.releaseObjects(), closeIf(d.lock != nil, d.lock))
}

// releaseObjects closes all but the lock.
func (d *Dataplane) releaseObjects() error {
	var errs []error
	if d.ring != nil {
		errs = append(errs, d.ring.close())
	}
	if d.tap != nil {
		errs = append(errs, d.tap.close())
	}
	for _, m := range d.maps() {
		errs = append(errs, closeIf(m != nil, m))
	}
	for _, m := range []*ebpf.Map{d.objs.Scratch, d.objs.Clock, d.objs.Places, d.objs.VipPlaces, d.objs.Tap, d.objs.TapUsed, d.objs.TapLost, d.objs.TapCapture} {
		errs = append(errs, closeIf(m != nil, m))
	}
	errs = append(errs,
		closeIf(d.objs.VipdXdp != nil, d.objs.VipdXdp),
		closeIf(d.objs.VipdEgress != nil, d.objs.VipdEgress),
		closeIf(d.ingressProg != nil, d.ingressProg), closeIf(d.genericProg != nil, d.genericProg), closeIf(d.bss != nil, d.bss))
	d.ingressProg, d.genericProg, d.bss = nil, nil, nil
	return errors.Join(errs...)
}

func closeIf(ok bool, c io.Closer) error {
	if !ok {
		return nil
	}
	return c.Close()
}
