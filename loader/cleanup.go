// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"vipd/loader/attach"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// CleanupReport counts what [Cleanup] removed.
type CleanupReport struct {
	Links, Filters, Maps int
	// Interfaces are the indices of interfaces that had something attached, ascending.
	Interfaces []int
}

// Empty reports whether nothing was removed.
func (r CleanupReport) Empty() bool { return r.Links+r.Filters+r.Maps == 0 }

// LeftBehind lists the addresses that the data plane of a dead daemon in dir still fences, sorted. Remove them from
// their interfaces before [Cleanup] removes the fence. It is not an error if there is nothing.
func LeftBehind(dir string) ([]tables.LeftVIP, error) {
	if dir == "" {
		dir = DefaultDir
	}
	return tables.Left(dir)
}

// Cleanup removes everything that a dead daemon left in the kernel: first the right to speak, then links, filters (in
// the calling thread's network namespace), pins and the directory. It fails with [ErrBusy] if the daemon is alive.
func Cleanup(o Options) (CleanupReport, error) {
	o = o.withDefaults()
	if _, err := os.Stat(o.Dir); errors.Is(err, fs.ErrNotExist) {
		n, err := attach.SweepFilters(o.Dir)
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
	n, sweepErr := attach.SweepFilters(o.Dir)
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

// remove undoes everything that it can interpret, and removes the pins, and with them links and maps, in any case.
func (r *CleanupReport) remove(dir string) error {
	var errs []error
	if info, err := os.Lstat(dir); err == nil && !info.IsDir() {
		r.Maps++ // not ours, but it must not keep vipd from starting
		return os.Remove(dir)
	}
	if dir == object.PinDir(filepath.Dir(dir)) { // maps of another version would be misread
		errs = append(errs, tables.Silence(dir))
		undone, err := attach.Undo(filepath.Dir(dir))
		r.Interfaces = append(r.Interfaces, undone.Interfaces...)
		r.Filters += undone.Filters
		errs = append(errs, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return errors.Join(append(errs, err)...)
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		var ifindex int
		if n, _ := fmt.Sscanf(e.Name(), "link-%d-", &ifindex); n == 1 {
			errs = append(errs, attach.RemovePinnedLink(path))
			r.Links++
			r.Interfaces = append(r.Interfaces, ifindex)
			continue
		}
		errs = append(errs, os.Remove(path))
		r.Maps++
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}
