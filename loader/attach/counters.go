// SPDX-License-Identifier: Apache-2.0

package attach

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
)

// ifCounters are the counters of interfaces: one entry per attached interface. The map is pinned and outlives daemons,
// so an entry that is never removed stays until the next reboot.
type ifCounters struct{ m *ebpf.Map }

func (h *Hooks) counters() ifCounters { return ifCounters{h.set.IfStats} }

// make creates the entry of an interface; an existing one is kept. If the map is full, it first removes entries that
// are not in use.
func (c ifCounters) make(ifindex int, inUse func(ifindex uint32) bool) error {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return fmt.Errorf("count the cpus: %w", err)
	}
	put := func() error {
		err := c.m.Update(uint32(ifindex), make([]object.BPFIfStats, cpus), ebpf.UpdateNoExist)
		if errors.Is(err, ebpf.ErrKeyExist) {
			return nil
		}
		return err
	}
	err = put()
	if errors.Is(err, unix.E2BIG) || errors.Is(err, unix.ENOMEM) {
		if err := c.keep(inUse); err != nil {
			return err
		}
		err = put()
	}
	return err
}

// keep removes the entries of all interfaces that are not in use.
func (c ifCounters) keep(inUse func(ifindex uint32) bool) error {
	var key uint32
	var val []object.BPFIfStats
	var gone []uint32
	it := c.m.Iterate()
	for it.Next(&key, &val) {
		if !inUse(key) {
			gone = append(gone, key)
		}
	}
	errs := []error{it.Err()}
	for _, k := range gone {
		errs = append(errs, c.drop(k))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("remove the counters of interfaces that are not attached: %w", err)
	}
	return nil
}

// drop removes the entry of an interface, if it exists.
func (c ifCounters) drop(ifindex uint32) error {
	if err := c.m.Delete(ifindex); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove the counters of interface %d: %w", ifindex, err)
	}
	return nil
}
