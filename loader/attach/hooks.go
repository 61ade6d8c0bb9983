// SPDX-License-Identifier: Apache-2.0

// Package attach manages what is attached where: programs on their hooks, parents that serve VLAN devices, and XDP
// slots. It repairs what other processes detach and keeps NICs from hiding VLAN tags.
package attach

import (
	"errors"
	"log/slog"
	"sync"
	"time"

	"vipd/loader/internal/ethtool"
	"vipd/loader/object"
)

// Options say how programs are attached.
type Options struct {
	// Dir is the directory for pins, on a bpf file system.
	Dir string
	Log *slog.Logger
	// ForceClsact uses clsact for egress, as on kernels before 6.6.
	ForceClsact bool
	// SlotRest is how long an XDP slot that another program used must be free before vipd takes it. 0 means the default.
	SlotRest time.Duration
}

// Hooks record what is attached where. Calls to the kernel under their lock may take long, so the tables have a lock of
// their own.
type Hooks struct {
	opts    Options
	filters filterName
	set     *object.Set
	nic     nicFeatures
	drivers drivers
	masters func(ifindexes []int) bool
	resets  resets

	foundAtOpen map[int]uint32 // inherited as Inherit found it; never changes

	mu        sync.Mutex // guards what follows, and the programs of set
	closed    bool
	inherited map[int]uint32 // flags of the interfaces that [Hooks.Adopt] has not adopted yet
	parents   map[int]int    // parents of the VLAN devices among them
	attached  map[int]*attachment
	series    series
}

// New returns hooks for the programs of a set, which the caller keeps and closes.
func New(set *object.Set, o Options) *Hooks {
	if o.SlotRest <= 0 {
		o.SlotRest = slotRest
	}
	return &Hooks{
		opts: o, filters: filterOf(o.Dir), set: set, nic: ethtool.NIC{}, drivers: kernelDrivers{},
		masters: func([]int) bool { return false }, resets: resets{until: make(map[int]time.Duration)},
		attached: make(map[int]*attachment),
	}
}

// Close closes all handles and leaves the programs attached.
func (h *Hooks) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	errs := []error{h.series.end()}
	for _, a := range h.attached {
		errs = append(errs, a.close())
	}
	return errors.Join(errs...)
}

// Remove detaches from every interface.
func (h *Hooks) Remove() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return nil
	}
	h.closed = true
	errs := []error{h.dropInherited()}
	for len(h.attached) > 0 { // a parent may have to wait for its VLAN devices
		for ifindex := range h.attached {
			errs = append(errs, h.detach(ifindex))
		}
	}
	return errors.Join(append(errs, h.series.end())...)
}

// DropUnclaimed detaches from adopted interfaces that no Attach claimed.
func (h *Hooks) DropUnclaimed() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return object.ErrClosed
	}
	var errs []error
	for ifindex, a := range h.attached {
		if !a.claimed && !a.carrier { // a carrier is detached with its last VLAN device
			errs = append(errs, h.detach(ifindex))
		}
	}
	for ifindex := range h.attached {
		errs = append(errs, h.dropCarrier(ifindex))
	}
	return errors.Join(errs...)
}
