// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// Heard is the last advert that the kernel withheld in a family of a group.
type Heard struct {
	// At is when the kernel received it, CLOCK_BOOTTIME ns; 0 if there was none.
	At int64
	// Counter may be that of a later advert than At's.
	Counter uint64
}

// Withhold permits the kernel to withhold, by family (IPv4, IPv6), adverts that repeat the [Event] with this At: those
// from the same source with the same priority, flags and context, while the role is BACKUP. 0 permits none. An advert
// that the kernel is processing meanwhile may still be withheld.
func (g *Group) Withhold(repeatsOf [2]int64) { g.t.roles.permit(g.slot, repeatsOf) }

// Heard returns the adverts withheld last, by family. It makes no system call. It knows of nothing after Close or
// Remove.
func (g *Group) Heard() [2]Heard { return g.t.heard.read(g.slot) }

// heardTable is the map heard, mapped into this process.
type heardTable struct {
	mem []byte
}

func mapHeard(m *ebpf.Map) (t *heardTable, err error) {
	t = &heardTable{}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(object.BPFHeard{}), "adverts that were withheld")
	return t, err
}

// at returns the entries of a group, by family.
func (t *heardTable) at(slot uint32) *[2]object.BPFHeard {
	return (*[2]object.BPFHeard)(unsafe.Pointer(&t.mem[int(slot)*int(unsafe.Sizeof([2]object.BPFHeard{}))]))
}

func (t *heardTable) read(slot uint32) (out [2]Heard) {
	for family := range out {
		h := &t.at(slot)[family]
		out[family].At = int64(atomic.LoadUint64(&h.At))
		out[family].Counter = atomic.LoadUint64(&h.Counter)
	}
	runtime.KeepAlive(t)
	return out
}

func (t *heardTable) clear(slot uint32) {
	for family := range t.at(slot) {
		h := &t.at(slot)[family]
		atomic.StoreUint64(&h.ToldAt, 0)
		atomic.StoreUint64(&h.At, 0)
		atomic.StoreUint64(&h.Counter, 0)
		h.Src, h.Said, h.Beat = [16]uint8{}, 0, 0
	}
	runtime.KeepAlive(t)
}
