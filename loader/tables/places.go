// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"encoding/binary"
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// placeTable is the places map, mapped into this process. The program looks there before it asks the groups map
// (bpf/place.h). On a collision the second group uses only the groups map.
type placeTable struct {
	mem []byte
}

func mapPlaces(m *ebpf.Map) (t *placeTable, err error) {
	t = &placeTable{}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(object.BPFPlace{}), "places")
	return t, err
}

// words returns an entry: its key, and the two words of its value.
func (t *placeTable) words(key object.BPFGroupKey) *[3]uint64 {
	i := (key.Ifindex<<8 + uint32(key.Vhid)) & (maxPlaces - 1)
	return (*[3]uint64)(unsafe.Pointer(&t.mem[int(i)*int(unsafe.Sizeof(object.BPFPlace{}))]))
}

// placeKey returns the key as the program loads it, in one word. 0 is never a group's: interfaces count from 1.
func placeKey(key object.BPFGroupKey) uint64 {
	var b [8]byte
	binary.NativeEndian.PutUint32(b[:], key.Ifindex)
	b[4] = key.Vhid
	return binary.NativeEndian.Uint64(b[:])
}

// put stores the group, unless another group has the entry. It clears the key first and writes it last, so that no
// reader takes one group's value for another's.
func (t *placeTable) put(key object.BPFGroupKey, val object.BPFGroupVal) {
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

// drop removes the group, if it has the entry.
func (t *placeTable) drop(key object.BPFGroupKey) {
	if w := t.words(key); atomic.LoadUint64(&w[0]) == placeKey(key) {
		atomic.StoreUint64(&w[0], 0)
	}
	runtime.KeepAlive(t)
}

// keep empties the entries of groups that do not exist: an earlier vipd may have died before it could.
func (t *placeTable) keep(there func(key uint64) bool) {
	for i := 0; i < len(t.mem)/int(unsafe.Sizeof(object.BPFPlace{})); i++ {
		w := (*[3]uint64)(unsafe.Pointer(&t.mem[i*int(unsafe.Sizeof(object.BPFPlace{}))]))
		if k := atomic.LoadUint64(&w[0]); k != 0 && !there(k) {
			atomic.StoreUint64(&w[0], 0)
		}
	}
	runtime.KeepAlive(t)
}

// maxPlaces is MAX_PLACES of bpf/vipd_types.h.
const maxPlaces = 32768
