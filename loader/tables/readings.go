// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"net/netip"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// Reading is what the kernel reports about one group.
type Reading struct {
	Stats     GroupStats
	VIPs      Addresses
	Seen      Seen
	Answering bool
}

// batchBytes bounds what one system call reads: it also bounds how long the lock that the election needs is held.
const batchBytes = 256 << 10

// Readings reads all groups at now (CLOCK_BOOTTIME ns) with a few system calls, where [Group.Stats] and the like take
// one per slot. A group that is added or removed meanwhile is missing. Answering is as of the moment that Seen was
// read.
func (t *Tables) Readings(now int64) (map[*Group]*Reading, error) {
	cpus, err := ebpf.PossibleCPU()
	if err != nil {
		return nil, fmt.Errorf("count the cpus: %w", err)
	}
	groups, vips := t.owners()
	out := make(map[*Group]*Reading, len(groups))
	err = readArray(t, t.maps.GroupStats, cpus, groups, 0, func(g *Group, _ uint32, v []object.BPFGroupStats) {
		if g != nil && !g.removed {
			out[g] = &Reading{Stats: sumGroup(v), VIPs: make(Addresses, 0, len(g.vips))}
			out[g].Stats.Contexts = g.contexts.counts(sumContexts(v))
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of all groups: %w", err)
	}
	err = readArray(t, t.maps.VipStats, cpus, vips, 0, func(o vipOwner, slot uint32, v []object.BPFVipStats) {
		if r := out[o.group]; r != nil && !o.group.removed {
			if now, ok := o.group.vips[o.addr]; ok && now == slot {
				r.VIPs = append(r.VIPs, sumVIP(o.addr, v))
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the counters of all addresses: %w", err)
	}
	err = readArray(t, t.maps.Seen, 1, groups, ebpf.LookupLock, func(g *Group, slot uint32, v []object.BPFSeen) {
		if r := out[g]; r != nil && g.removed {
			delete(out, g)
		} else if r != nil {
			r.Seen = g.t.seenOf(&v[0], slot)
			r.Answering = g.right().holds(r.Seen, now)
		}
	})
	if err != nil {
		return nil, fmt.Errorf("read the last adverts of all groups: %w", err)
	}
	for _, r := range out {
		r.VIPs.sort()
	}
	return out, nil
}

type vipOwner struct {
	group *Group
	addr  netip.Addr
}

// owners returns the owner of each slot of a group and of an address; the zero value for a free slot.
func (t *Tables) owners() ([]*Group, []vipOwner) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	groups, vips := make([]*Group, t.slots.next), make([]vipOwner, t.vipSlots.next)
	for _, g := range t.groups {
		groups[g.slot] = g
		for addr, slot := range g.vips {
			vips[slot] = vipOwner{g, addr}
		}
	}
	return groups, vips
}

// readArray passes the first elements of an array to use, one per owner. An owner may have lost its slot meanwhile: use
// runs under t.mu.
func readArray[O, V any](
	t *Tables,
	m *ebpf.Map,
	cpus int,
	owners []O,
	flags ebpf.MapLookupFlags,
	use func(owner O, slot uint32, values []V),
) error {
	var zero V
	n := min(len(owners), max(1, batchBytes/(cpus*int(unsafe.Sizeof(zero)))))
	keys, values := make([]uint32, n), make([]V, n*cpus)
	var at ebpf.MapBatchCursor
	batch := func(left int) (int, error) {
		t.mu.RLock()
		defer t.mu.RUnlock()
		if t.closed {
			return 0, object.ErrClosed
		}
		n, err := m.BatchLookup(
			&at,
			keys[:min(n, left)],
			values[:min(n, left)*cpus],
			&ebpf.BatchOptions{ElemFlags: uint64(flags)},
		)
		if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) { // the end of the array
			return 0, err
		}
		if n == 0 {
			return 0, fmt.Errorf("the map ends %d elements early", left)
		}
		for i, slot := range keys[:n] {
			use(owners[slot], slot, values[i*cpus:(i+1)*cpus])
		}
		return n, nil
	}
	for left := len(owners); left > 0; {
		n, err := batch(left)
		if err != nil {
			return err
		}
		left -= n
	}
	return nil
}
