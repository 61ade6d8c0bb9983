// SPDX-License-Identifier: Apache-2.0

// Package object holds the compiled programs and maps of bpf/ with the Go types of their shared structs. It loads them,
// pins the maps, and opens pinned maps.
package object

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
)

// ErrClosed means that the data plane was closed or removed.
var ErrClosed = errors.New("data plane closed")

// Options say how the collection is loaded.
type Options struct {
	Log *slog.Logger
	// MaxGroups and MaxVIPs are the sizes of new maps.
	MaxGroups, MaxVIPs int
	// Groups and VIPs are what pinned maps must have room for.
	Groups, VIPs int
	// SingleBuffer loads programs as on a kernel before 5.18, for tests.
	SingleBuffer bool
	// Aside is as in the Options of package loader; nil: on the calling thread.
	Aside func(work func() error) error
}

// Set is the collection in the kernel: the maps, and the programs that work on them. Only one goroutine at a time may
// use the programs; package attach ensures this.
type Set struct {
	BPFObjects
	Bss  *ebpf.Map // the programs' variables
	opts Options

	ingress *ebpf.Program // loaded on demand, like the next
	generic *ebpf.Program
}

// Load loads the programs on new maps.
func Load(o Options) (*Set, error) {
	spec, err := o.Spec()
	if err != nil {
		return nil, err
	}
	s := &Set{opts: o}
	all := struct {
		*BPFObjects
		Bss *ebpf.Map `ebpf:".bss"`
	}{BPFObjects: &s.BPFObjects}
	if err := o.load(&all, spec, nil); err != nil {
		return nil, fmt.Errorf("load the bpf programs: %w", err)
	}
	s.Bss = all.Bss
	o.logSingleBuffer()
	return s, nil
}

// OpenPinned opens the maps that an earlier vipd of the same layout pinned below dir. [Set.LoadPrograms] loads the
// programs.
func OpenPinned(dir string, o Options) (_ *Set, err error) {
	dir = PinDir(dir)
	if _, err := os.Lstat(dir); err != nil { // the usual first start
		return nil, fmt.Errorf("open the pinned maps in %s: %w", dir, fs.ErrNotExist)
	}
	if o, err = o.sizedAsPinned(dir); err != nil {
		return nil, err
	}
	spec, err := o.mapSpec()
	if err != nil {
		return nil, err
	}
	s := &Set{opts: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for name, field := range s.mapFields() {
		m, err := ebpf.LoadPinnedMap(filepath.Join(dir, name), nil)
		if err != nil {
			return nil, fmt.Errorf("open the pinned map %s: %w", name, err)
		}
		*field = m
		if err := spec.Maps[name].Compatible(m); err != nil {
			return nil, fmt.Errorf("pinned map %s: %w", name, err)
		}
	}
	var meta BPFMeta
	if err := s.Meta.Lookup(uint32(0), &meta); err != nil {
		return nil, fmt.Errorf("read the layout version of the pinned maps: %w", err)
	}
	if meta.Layout != layoutVersion {
		return nil, fmt.Errorf("the pinned maps have layout version %d, and this vipd needs %d", meta.Layout, layoutVersion)
	}
	return s, nil
}

// Pin makes all maps visible below dir at once: a crash leaves either all of them or none that could be taken for a
// complete set.
func (s *Set) Pin(dir string) error {
	if err := s.Meta.Put(uint32(0), BPFMeta{Layout: layoutVersion}); err != nil {
		return fmt.Errorf("note the layout version: %w", err)
	}
	tmp := PinDir(dir) + TmpSuffix
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fmt.Errorf("make the directory for pins: %w", err)
	}
	for name, m := range s.All() {
		if err := m.Pin(filepath.Join(tmp, name)); err != nil {
			return fmt.Errorf("pin map %s in %s: %w", name, tmp, err)
		}
	}
	if err := os.Rename(tmp, PinDir(dir)); err != nil {
		return fmt.Errorf("put the pins in place: %w", err)
	}
	return nil
}

// Programs are the parts of a collection that are not pinned maps.
type Programs struct {
	BPFPrograms
	BPFVariables
	Scratch *ebpf.Map `ebpf:"scratch"`
	Clock   *ebpf.Map `ebpf:"clock"`
	Bss     *ebpf.Map `ebpf:".bss"`
}

// Close closes programs that were not installed.
func (p *Programs) Close() error {
	return errors.Join(p.BPFPrograms.Close(), p.Scratch.Close(), p.Clock.Close(), p.Bss.Close())
}

// LoadPrograms loads programs on the maps of the set.
func (s *Set) LoadPrograms() (*Programs, error) {
	spec, err := s.opts.Spec()
	if err != nil {
		return nil, err
	}
	p := &Programs{}
	if err := s.opts.load(p, spec, s.All()); err != nil {
		return nil, fmt.Errorf("load the bpf programs: %w", err)
	}
	s.opts.logSingleBuffer()
	return p, nil
}

// Install makes loaded programs those of the set.
func (s *Set) Install(p *Programs) {
	s.BPFPrograms, s.BPFVariables = p.BPFPrograms, p.BPFVariables
	s.Scratch, s.Clock, s.Bss = p.Scratch, p.Clock, p.Bss
}

// XDP returns the XDP program for native or for generic mode.
func (s *Set) XDP(native bool) (*ebpf.Program, error) {
	if native || !s.opts.SeveralBuffers() { // then VipdXdp is for frames in one piece
		return s.VipdXdp, nil
	}
	return s.genericXDP()
}

// genericXDP returns the XDP program for generic mode: it takes frames in one piece, and the kernel linearises all
// others. To a program that takes several buffers, Linux 6.9 and newer pass a copy of nearly every frame, which has
// lost the length of its Ethernet header: tc programs of others on ingress would find the IP packet in its place
// (skb_pp_cow_data in net/core/skbuff.c). Native mode has no such copy. The program is loaded once, on the maps of the
// set.
func (s *Set) genericXDP() (*ebpf.Program, error) {
	if s.generic != nil {
		return s.generic, nil
	}
	spec, err := s.opts.Spec()
	if err != nil {
		return nil, err
	}
	DropFrags(spec)
	shared, err := s.shared(spec)
	if err != nil {
		return nil, fmt.Errorf("load the xdp program for generic mode: %w", err)
	}
	var objs struct {
		VipdXdp *ebpf.Program `ebpf:"vipd_xdp"`
	}
	if err := s.opts.load(&objs, spec, shared); err != nil {
		return nil, fmt.Errorf("load the xdp program for generic mode: %w", err)
	}
	s.generic = objs.VipdXdp
	return s.generic, nil
}

// Ingress returns the program that does on tc ingress what the XDP program does. It is loaded once, on demand.
func (s *Set) Ingress() (*ebpf.Program, error) {
	if s.ingress != nil {
		return s.ingress, nil
	}
	spec, err := LoadIngress()
	if err != nil {
		return nil, fmt.Errorf("read the embedded ingress program: %w", err)
	}
	shared, err := s.shared(spec)
	if err != nil {
		return nil, fmt.Errorf("load the ingress program: %w", err)
	}
	var objs IngressPrograms
	if err := s.opts.load(&objs, spec, shared); err != nil {
		return nil, fmt.Errorf("load the ingress program: %w", err)
	}
	s.ingress = objs.VipdIngress
	return s.ingress, nil
}

// shared returns our maps under the names that another collection has for them. Its constants are its own.
func (s *Set) shared(spec *ebpf.CollectionSpec) (map[string]*ebpf.Map, error) {
	const constants = ".rodata"
	all, shared := s.AllMaps(), make(map[string]*ebpf.Map)
	for name := range spec.Maps {
		m, ok := all[name]
		switch {
		case ok:
			spec.Maps[name].MaxEntries = m.MaxEntries()
			shared[name] = m
		case name != constants:
			return nil, fmt.Errorf("it has a map %s of its own", name)
		}
	}
	return shared, nil
}

// mapFields returns the pinned maps by name: all maps that the agent uses, so that two vipds and the programs of both
// work on the same ones. Only the programs use the others.
func (s *Set) mapFields() map[string]**ebpf.Map {
	return map[string]**ebpf.Map{
		BPFMapAuth:       &s.Auth,
		BPFMapBudget:     &s.Budget,
		BPFMapEvents:     &s.Events,
		BPFMapGroupStats: &s.GroupStats,
		BPFMapGroups:     &s.Groups,
		BPFMapHeard:      &s.Heard,
		BPFMapIfStats:    &s.IfStats,
		BPFMapIfaces:     &s.Ifaces,
		BPFMapMeta:       &s.Meta,
		BPFMapPeers:      &s.Peers,
		BPFMapPlaces:     &s.Places,
		BPFMapRoles:      &s.Roles,
		BPFMapSeen:       &s.Seen,
		BPFMapSources:    &s.Sources,
		BPFMapTap:        &s.Tap,
		BPFMapTapCapture: &s.TapCapture,
		BPFMapTapLost:    &s.TapLost,
		BPFMapTapUsed:    &s.TapUsed,
		BPFMapVipPlaces:  &s.VipPlaces,
		BPFMapVipStats:   &s.VipStats,
		BPFMapVips:       &s.Vips,
		BPFMapVlans:      &s.Vlans,
	}
}

// All returns the pinned maps by name.
func (s *Set) All() map[string]*ebpf.Map {
	fields := s.mapFields()
	all := make(map[string]*ebpf.Map, len(fields))
	for name, field := range fields {
		all[name] = *field
	}
	return all
}

// AllMaps returns the pinned maps and the others.
func (s *Set) AllMaps() map[string]*ebpf.Map {
	all := s.All()
	maps.Copy(all, map[string]*ebpf.Map{BPFMapScratch: s.Scratch, BPFMapClock: s.Clock, bssName: s.Bss})
	return all
}

// Close closes all handles that are open.
func (s *Set) Close() error {
	var errs []error
	for _, m := range s.AllMaps() {
		errs = append(errs, closeIf(m != nil, m))
	}
	for _, p := range []*ebpf.Program{s.VipdXdp, s.VipdEgress, s.ingress, s.generic} {
		errs = append(errs, closeIf(p != nil, p))
	}
	s.ingress, s.generic, s.Bss = nil, nil, nil
	return errors.Join(errs...)
}

func closeIf(ok bool, c io.Closer) error {
	if !ok {
		return nil
	}
	return c.Close()
}
