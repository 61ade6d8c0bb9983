// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/object"
)

// Undone is what [Undo] found and removed.
type Undone struct {
	Interfaces []int // that had something attached
	Filters    int   // that were removed
}

// Undo undoes what a dead vipd recorded about its interfaces in the pins below dir, except links.
func Undo(dir string) (Undone, error) {
	var u Undone
	m, err := ebpf.LoadPinnedMap(filepath.Join(object.PinDir(dir), object.BPFMapIfaces), nil)
	if errors.Is(err, fs.ErrNotExist) {
		return u, nil
	}
	if err != nil {
		return u, fmt.Errorf("open the pinned list of interfaces: %w", err)
	}
	defer m.Close()
	var key uint32
	var val object.BPFIface
	var errs []error
	it := m.Iterate()
	for it.Next(&key, &val) {
		u.Interfaces = append(u.Interfaces, int(key))
		if val.Flags&ifaceClsactFilter != 0 {
			u.Filters++
		}
		if val.Flags&ifaceIngress != 0 {
			u.Filters++
		}
		errs = append(errs, undo(int(key), val.Flags, filterOf(dir)))
	}
	return u, errors.Join(append(errs, it.Err())...)
}

// RemovePinnedLink detaches a link and removes its pin.
func RemovePinnedLink(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		// A kind of link that the library cannot open: remove at least the pin.
		return errors.Join(fmt.Errorf("open the pinned link %s: %w", path, err), os.Remove(path))
	}
	return dropLink(l)
}

// SweepFilters removes filters whose pins are gone: their names contain the directory. Those of another directory stay,
// since another vipd may be running there.
func SweepFilters(dir string) (int, error) {
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
		k, err := filterOf(dir).sweep(l.Attrs().Index)
		n += k
		if err != nil {
			return n, err
		}
	}
	return n, nil
}

func pinned(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}
