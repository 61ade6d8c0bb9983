// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unsafe"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"
)

// LeftVIP is an address of a group that a dead daemon left in the data plane.
type LeftVIP struct {
	IfIndex int
	Addr    netip.Addr
	VHID    uint8
}

// CleanupReport says what [Cleanup] removed.
type CleanupReport struct {
	Links, Filters, Maps int
	// Interfaces are the indices that something was attached to, ascending.
	Interfaces []int
}

// Empty says whether there was nothing to remove.
func (r CleanupReport) Empty() bool { return r.Links+r.Filters+r.Maps == 0 }

// LeftBehind lists the addresses that a dead daemon's data plane in dir still
// fences, sorted. They have to come off their interfaces before [Cleanup] removes
// the fence. Nothing there is no error.
func LeftBehind(dir string) ([]LeftVIP, error) {
	if dir == "" {
		dir = DefaultDir
	}
	return leftBehind(dir)
}

// leftBehind also reads other versions' maps, as long as they look the same.
func leftBehind(dir string) ([]LeftVIP, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "v*", bpfMapVips))
	if err != nil {
		return nil, err
	}
	var left []LeftVIP
	for _, path := range paths {
		l, e := pinnedVIPs(path)
		left, err = append(left, l...), errors.Join(err, e)
	}
	sortLeft(left)
	return left, err
}

func pinnedVIPs(path string) ([]LeftVIP, error) {
	m, err := ebpf.LoadPinnedMap(path, &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	defer m.Close()
	var left []LeftVIP
	var key bpfVipKey
	var val bpfVipVal
	if m.KeySize() != uint32(unsafe.Sizeof(key)) || m.ValueSize() != uint32(unsafe.Sizeof(val)) {
		return nil, fmt.Errorf("read %s: another layout", path)
	}
	it := m.Iterate()
	for it.Next(&key, &val) {
		left = append(left, LeftVIP{IfIndex: int(key.Ifindex), Addr: netip.AddrFrom16(key.Addr).Unmap(), VHID: val.Vhid})
	}
	if err := it.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return left, nil
}

func sortLeft(left []LeftVIP) {
	slices.SortFunc(left, func(a, b LeftVIP) int {
		if a.IfIndex != b.IfIndex {
			return a.IfIndex - b.IfIndex
		}
		return a.Addr.Compare(b.Addr)
	})
}

// Cleanup removes everything that a dead daemon left in the kernel: the right to
// speak first, then links, filters (in the calling thread's network namespace),
// pins and the directory. [ErrBusy] means that the daemon is not dead.
func Cleanup(o Options) (CleanupReport, error) {
	o = o.withDefaults()
	if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		n, err := sweepFilters()
		return CleanupReport{Filters: n}, err
	}
	lock, err := lockDir(o.Dir)
	if err != nil {
		return CleanupReport{}, err
	}
	defer lock.Close()
	report, err := cleanup(o)
	if err != nil {
		err = fmt.Errorf("clean up %s: %w", o.Dir, err)
	}
	n, sweepErr := sweepFilters()
	report.Filters += n
	return report, errors.Join(err, sweepErr, removeDir(o.Dir))
}

// cleanup needs the lock on the directory. It removes every layout version.
func cleanup(o Options) (CleanupReport, error) {
	var report CleanupReport
	dirs, err := filepath.Glob(filepath.Join(o.Dir, "v*"))
	if err != nil {
		return report, err
	}
	var errs []error
	for _, dir := range dirs {
		errs = append(errs, report.remove(dir))
	}
	slices.Sort(report.Interfaces)
	report.Interfaces = slices.Compact(report.Interfaces)
	return report, errors.Join(errs...)
}

// remove undoes what it can make sense of; the pins go in any case, and with them
// links and maps.
func (r *CleanupReport) remove(dir string) error {
	var errs []error
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		r.Maps++ // of somebody else; it must not keep us from starting
		return os.Remove(dir)
	}
	if filepath.Base(dir) == layoutDir { // another version's maps would be misread
		errs = append(errs, silencePinned(dir), r.undoInterfaces(dir))
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var ifindex int
		if n, _ := fmt.Sscanf(e.Name(), "link-%d-", &ifindex); n == 1 {
			errs = append(errs, removePinnedLink(path))
			r.Links++
			r.Interfaces = append(r.Interfaces, ifindex)
			continue
		}
		errs = append(errs, os.Remove(path))
		r.Maps++
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// silencePinned takes the right to speak from the groups of a dead daemon.
func silencePinned(dir string) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, bpfMapRoles), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned roles: %w", err)
	}
	defer m.Close()
	t, err := mapRoles(m)
	if err != nil {
		return err
	}
	t.silence()
	return nil
}

func (r *CleanupReport) undoInterfaces(dir string) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, bpfMapIfaces), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open the pinned list of interfaces: %w", err)
	}
	defer m.Close()
	var key uint32
	var val bpfIface
	var errs []error
	it := m.Iterate()
	for it.Next(&key, &val) {
		r.Interfaces = append(r.Interfaces, int(key))
		if val.Flags&ifaceClsactFilter != 0 {
			r.Filters++
		}
		if val.Flags&ifaceIngress != 0 {
			r.Filters++
		}
		errs = append(errs, undo(int(key), val.Flags))
	}
	return errors.Join(append(errs, it.Err())...)
}

func removePinnedLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		// A link of a kind this library cannot open: the pin at least has to go.
		return errors.Join(fmt.Errorf("open the pinned link %s: %w", path, err), os.Remove(path))
	}
	return dropLink(l)
}

// sweepFilters finds filters whose pins are gone: they are ours by their name.
func sweepFilters() (int, error) {
	links, err := netlink.LinkList()
	if err != nil {
		return 0, fmt.Errorf("list the interfaces: %w", err)
	}
	n := 0
	for _, l := range links {
		qdiscs, err := netlink.QdiscList(l)
		if err != nil {
			continue // it vanished meanwhile
		}
		if !slices.ContainsFunc(qdiscs, func(q netlink.Qdisc) bool { return strings.EqualFold(q.Type(), "clsact") }) {
			continue
		}
		k, err := removeFilter(l.Attrs().Index)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}
