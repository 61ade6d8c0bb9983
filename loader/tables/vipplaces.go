// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// vipPlaceTable is the vip_places map, mapped into this process. The programs look there for an address before they ask
// the vips map (bpf/place.h), which they do only if the entry says that it has more than one address. To the programs
// an address that is missing here belongs to no group: any write to one map needs a write to the other.
type vipPlaceTable struct {
	mem  []byte
	more map[uint32]map[object.BPFVipKey]bool // by entry: the addresses that use only the vips map
}

func mapVIPPlaces(m *ebpf.Map) (t *vipPlaceTable, err error) {
	t = &vipPlaceTable{more: make(map[uint32]map[object.BPFVipKey]bool)}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(object.BPFVipPlace{}), "places of the addresses")
	return t, err
}

// vipPlaceBits is VIP_PLACE_BITS of bpf/vipd_types.h.
const vipPlaceBits = 15

// Words of an entry, as in struct vip_place.
const (
	placeWhere = 0
	placeAddr  = 1
	placeVal   = 3
	placeMore  = 5
	placeWords = 8
)

// placeKeyWords returns the words of the key as the programs load it.
func placeKeyWords(key object.BPFVipKey) [3]uint64 { return *(*[3]uint64)(unsafe.Pointer(&key)) }

// vipVal returns the value as the programs load it.
func vipVal(val object.BPFVipVal) [2]uint64 { return *(*[2]uint64)(unsafe.Pointer(&val)) }

// vipIndex is the same function as in bpf/place.h.
func vipIndex(key object.BPFVipKey) uint32 {
	w := placeKeyWords(key)
	return uint32((w[0] ^ w[1] ^ w[2]) * 0x9e3779b97f4a7c15 >> (64 - vipPlaceBits))
}

func (t *vipPlaceTable) entry(i uint32) *[placeWords]uint64 {
	return (*[placeWords]uint64)(unsafe.Pointer(&t.mem[uintptr(i)*unsafe.Sizeof(object.BPFVipPlace{})]))
}

func (t *vipPlaceTable) has(e *[placeWords]uint64, w [3]uint64) bool {
	return atomic.LoadUint64(&e[placeWhere]) == w[2] && e[placeAddr] == w[0] && e[placeAddr+1] == w[1]
}

// put stores an address that is already in the vips map. The programs read first where the address is, then whether
// there are more: a reader that reads the one word before this write and the other after it must still find the
// address. So an entry is emptied only after its address has been counted among those that use only the vips map, and a
// counted address stays counted until it is dropped.
func (t *vipPlaceTable) put(key object.BPFVipKey, val object.BPFVipVal) {
	i, w, v := vipIndex(key), placeKeyWords(key), vipVal(val)
	e := t.entry(i)
	switch {
	case t.has(e, w) && e[placeVal] == v[0]:
		atomic.StoreUint64(&e[placeVal+1], v[1])
	case atomic.LoadUint64(&e[placeWhere]) == 0:
		atomic.StoreUint64(&e[placeAddr], w[0])
		atomic.StoreUint64(&e[placeAddr+1], w[1])
		atomic.StoreUint64(&e[placeVal], v[0])
		atomic.StoreUint64(&e[placeVal+1], v[1])
		atomic.StoreUint64(&e[placeWhere], w[2])
	default: // of another address, or now of another group: its two words cannot change at once
		if t.more[i] == nil {
			t.more[i] = make(map[object.BPFVipKey]bool)
		}
		t.more[i][key] = true
		t.tell(i)
		if t.has(e, w) {
			atomic.StoreUint64(&e[placeWhere], 0)
		}
	}
	runtime.KeepAlive(t)
}

// drop removes an address.
func (t *vipPlaceTable) drop(key object.BPFVipKey) {
	i, w := vipIndex(key), placeKeyWords(key)
	if e := t.entry(i); t.has(e, w) {
		atomic.StoreUint64(&e[placeWhere], 0)
	}
	if delete(t.more[i], key); len(t.more[i]) == 0 {
		delete(t.more, i)
	}
	t.tell(i)
}

func (t *vipPlaceTable) tell(i uint32) {
	atomic.StoreUint64(&t.entry(i)[placeMore], uint64(len(t.more[i])))
	runtime.KeepAlive(t)
}

// keep empties the entries of addresses that do not exist, and of those that an earlier vipd gave to another group.
func (t *vipPlaceTable) keep(there map[uint32][]object.BPFVipKey) {
	for i := range uint32(1 << vipPlaceBits) {
		e := t.entry(i)
		if atomic.LoadUint64(&e[placeWhere]) == 0 {
			continue
		}
		if !slices.ContainsFunc(there[i], func(key object.BPFVipKey) bool { return t.has(e, placeKeyWords(key)) }) {
			atomic.StoreUint64(&e[placeWhere], 0)
		}
	}
	runtime.KeepAlive(t)
}
