// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
)

// placeTable is the places map, mapped into this process: where the program looks before
// it asks the groups map (bpf/place.h). Whoever comes second to an entry does without.
type placeTable struct {
	mem []byte
}

func mapPlaces(m *ebpf.Map) (t *placeTable, err error) {
	t = &placeTable{}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(bpfPlace{}), "places")
	return t, err
}

// words of an entry: its key, and the two of its value.
func (t *placeTable) words(key bpfGroupKey) *[3]uint64 {
	i := (key.Ifindex<<8 + uint32(key.Vlan)<<4 + uint32(key.Vhid)) & (maxPlaces - 1)
	return (*[3]uint64)(unsafe.Pointer(&t.mem[int(i)*int(unsafe.Sizeof(bpfPlace{}))]))
}

// placeKey is the key as the program loads it, in one word. 0 is no group's: interfaces count from 1.
func placeKey(key bpfGroupKey) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], key.Ifindex)
	binary.NativeEndian.PutUint16(b[4:], key.Vlan)
	b[6] = key.Vhid
	return binary.NativeEndian.Uint64(b[:])
}

// put stores the group, unless another has the entry. The key goes first and comes last, so that nobody takes
// one group's value for another's.
func (t *placeTable) put(key bpfGroupKey, val bpfGroupVal) {
	w, k := t.words(key), placeKey(key)
	if old := atomic.LoadUint64(&w[0]); old != 0 && old != k {
		return
	}
	v := *(*[2]uint64)(unsafe.Pointer(&val))
	atomic.StoreUint64(&w[0], 0)
	atomic.StoreUint64(&w[1], v[0])
	atomic.StoreUint64(&w[2], v[1])
	atomic.StoreUint64(&w[0], k)
	runtime.KeepAlive(t)
}

// drop forgets the group, if it has the entry.
func (t *placeTable) drop(key bpfGroupKey) {
	if w := t.words(key); atomic.LoadUint64(&w[0]) == placeKey(key) {
		atomic.StoreUint64(&w[0], 0)
	}
	runtime.KeepAlive(t)
}

// maxPlaces is MAX_PLACES of bpf/vipd_types.h.
const maxPlaces = 8192
