// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// LeftVIP is a fenced address that a dead daemon left in the data plane.
type LeftVIP struct {
	IfIndex int
	Addr    netip.Addr
	VHID    uint8
}

// Left lists the addresses in the pinned maps below dir, sorted. It also reads maps of other layout versions if their
// entries look the same.
func Left(dir string) ([]LeftVIP, error) {
	paths, err := filepath.Glob(filepath.Join(dir, "v*", object.BPFMapVips))
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
	var key object.BPFVipKey
	var val object.BPFVipVal
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

// Silence revokes the right to speak of all groups of a dead daemon.
func Silence(dir string) error {
	m, err := ebpf.LoadPinnedMap(filepath.Join(dir, object.BPFMapRoles), nil)
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
