// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// filterName identifies the clsact filters of one vipd, since a filter has no pin. It contains the directory of the
// pins: another vipd may run beside this one.
type filterName string

const (
	// anyFilter is the prefix of all names. In 0.1.0 it is the whole name.
	anyFilter = "vipd"
	// maxFilterName is the kernel's CLS_BPF_NAME_LEN minus the final zero.
	maxFilterName = 255
)

func filterOf(dir string) filterName {
	name := anyFilter + ":" + filepath.Clean(dir)
	if len(name) > maxFilterName {
		sum := sha256.Sum256([]byte(dir))
		name = anyFilter + ":" + hex.EncodeToString(sum[:])
	}
	return filterName(name)
}

// is reports whether the filter is ours, on an interface that this vipd has recorded.
func (f filterName) is(b *netlink.BpfFilter) bool { return b.Name == string(f) || b.Name == anyFilter }

// alone reports the same without accepting 0.1.0's name, which does not identify the owner.
func (f filterName) alone(b *netlink.BpfFilter) bool { return b.Name == string(f) }

// addFilter attaches a program to one side of clsact, replacing an old filter of ours.
func (h *Hooks) addFilter(ifindex int, side uint32, p *ebpf.Program) error {
	name := h.filters
	if _, err := name.removeFrom(ifindex, side); err != nil {
		return err
	}
	return netlink.FilterAdd(&netlink.BpfFilter{
		FilterAttrs: netlink.FilterAttrs{
			LinkIndex: ifindex, Parent: side, Handle: 1, Protocol: unix.ETH_P_ALL,
			Priority: 0, // the kernel then puts it first
		},
		Fd: p.FD(), Name: string(name), DirectAction: true,
	})
}

// replaceFilter replaces the program of our filter atomically. It returns false if there is no such filter.
func (h *Hooks) replaceFilter(ifindex int, side uint32, p *ebpf.Program) (bool, error) {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if goneDevice(err) || noClsact(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("list its filters: %w", err)
	}
	name := h.filters
	for _, f := range filters {
		b, ok := f.(*netlink.BpfFilter)
		if !ok || !name.is(b) {
			continue
		}
		next := &netlink.BpfFilter{FilterAttrs: b.FilterAttrs, Fd: p.FD(), Name: string(name), DirectAction: true}
		if err := netlink.FilterReplace(next); err != nil {
			return false, fmt.Errorf("replace its filter: %w", err)
		}
		return true, nil
	}
	return false, nil
}

// sweep removes our filters from an interface that may not be recorded.
func (f filterName) sweep(ifindex int) (int, error) {
	in, err := removeFilters(ifindex, netlink.HANDLE_MIN_INGRESS, f.alone)
	if err != nil {
		return in, err
	}
	out, err := removeFilters(ifindex, netlink.HANDLE_MIN_EGRESS, f.alone)
	return in + out, err
}

// removeAll removes our filters from an interface, the answering one first, and counts them.
func (f filterName) removeAll(ifindex int) (int, error) {
	in, err := f.removeFrom(ifindex, netlink.HANDLE_MIN_INGRESS)
	if err != nil {
		return in, err
	}
	out, err := f.removeFrom(ifindex, netlink.HANDLE_MIN_EGRESS)
	return in + out, err
}

func (f filterName) removeFrom(ifindex int, side uint32) (int, error) {
	return removeFilters(ifindex, side, f.is)
}

func removeFilters(ifindex int, side uint32, ours func(*netlink.BpfFilter) bool) (int, error) {
	filters, err := netlink.FilterList(linkIndex(ifindex), side)
	if goneDevice(err) || noClsact(err) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("list the filters of interface %d: %w", ifindex, err)
	}
	n := 0
	for _, there := range filters {
		b, ok := there.(*netlink.BpfFilter)
		if !ok || !ours(b) {
			continue
		}
		if err := netlink.FilterDel(b); err != nil {
			return n, fmt.Errorf("remove the filter %s of interface %d: %w", b.Name, ifindex, err)
		}
		n++
	}
	return n, nil
}
