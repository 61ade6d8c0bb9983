// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
)

// vipPlaceTable is the vip_places map, mapped into this process: where the programs look for an address before they
// ask the vips map (bpf/place.h), which they do only where an entry says that more than one address belongs there. An
// address that is missing here is therefore nobody's to them: whoever writes the one map writes the other.
type vipPlaceTable struct {
	mem  []byte
	more map[uint32]map[bpfVipKey]bool // by entry: the addresses that do without it
}

func mapVIPPlaces(m *ebpf.Map) (t *vipPlaceTable, err error) {
	t = &vipPlaceTable{more: make(map[uint32]map[bpfVipKey]bool)}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(bpfVipPlace{}), "places of the addresses")
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

// placeKeyWords are those of the key as the programs load it.
func placeKeyWords(key bpfVipKey) [3]uint64 { return *(*[3]uint64)(unsafe.Pointer(&key)) }

// vipVal is the value as the programs load it.
func vipVal(val bpfVipVal) [2]uint64 { return *(*[2]uint64)(unsafe.Pointer(&val)) }

// vipIndex is the same as in bpf/place.h.
func vipIndex(key bpfVipKey) uint32 {
	w := placeKeyWords(key)
	return uint32((w[0] ^ w[1] ^ w[2]) * 0x9e3779b97f4a7c15 >> (64 - vipPlaceBits))
}

func (t *vipPlaceTable) entry(i uint32) *[placeWords]uint64 {
	return (*[placeWords]uint64)(unsafe.Pointer(&t.mem[uintptr(i)*unsafe.Sizeof(bpfVipPlace{})]))
}

func (t *vipPlaceTable) has(e *[placeWords]uint64, w [3]uint64) bool {
	return atomic.LoadUint64(&e[placeWhere]) == w[2] && e[placeAddr] == w[0] && e[placeAddr+1] == w[1]
}

// put stores an address that is in the vips map by now. The programs read first where the address is, then whether
// there are more: an address that is there must never be missing to who reads the one word before we write it and the
// other after. So an entry is emptied only after its address has been counted among those that do without, and
// one that was counted once stays so until it is dropped.
func (t *vipPlaceTable) put(key bpfVipKey, val bpfVipVal) {
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
	default: // another's, or another group's from now on: its two words cannot change at once
		if t.more[i] == nil {
			t.more[i] = make(map[bpfVipKey]bool)
		}
		t.more[i][key] = true
		t.tell(i)
		if t.has(e, w) {
			atomic.StoreUint64(&e[placeWhere], 0)
		}
	}
	runtime.KeepAlive(t)
}

// drop forgets an address.
func (t *vipPlaceTable) drop(key bpfVipKey) {
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
