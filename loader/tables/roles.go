// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"runtime"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"

	"vipd/loader/object"
)

// roleTable is the roles map, mapped into this process: renewing a lease is one store without a system call.
type roleTable struct {
	mem []byte
}

func mapRoles(m *ebpf.Map) (t *roleTable, err error) {
	t = &roleTable{}
	t.mem, err = mapArray(t, m, unsafe.Sizeof(object.BPFRole{}), "roles")
	return t, err
}

func (t *roleTable) at(slot uint32) *object.BPFRole {
	return (*object.BPFRole)(unsafe.Pointer(&t.mem[int(slot)*int(unsafe.Sizeof(object.BPFRole{}))]))
}

// clear makes a slot INIT and forgets everything about it.
func (t *roleTable) clear(slot uint32) {
	r := t.at(slot)
	atomic.StoreUint64(&r.RoleGen, uint64(RoleInit))
	atomic.StoreUint64(&r.Lease, 0)
	atomic.StoreUint64(&r.SendUntil, 0)
	// Nothing was sent: any advert is superior.
	atomic.StoreUint64(&r.SentPrio, uint64(Priority{AdvBase: 255, AdvSkew: 255}.word()))
	atomic.StoreUint64(&r.AuthIndex, 0)
	atomic.StoreUint64(&r.N_src, 0)
	atomic.StoreUint64(&r.OwnNumber, 0)
	atomic.StoreUint64(&r.OwnSent, 0)
	atomic.StoreUint64(&r.NoRoomAt, 0)
	atomic.StoreUint64(&r.ForgottenAt, 0)
	atomic.StoreUint64(&r.Noted, 0)
	atomic.StoreUint64(&r.Doubted, 0)
	t.permit(slot, [2]int64{})
	r.Src = [4][16]uint8{}
	for i := range r.Sent {
		r.Sent[i].Counter, r.Sent[i].Digest, r.Sent[i].Prio = 0, [5]uint32{}, 0
	}
	runtime.KeepAlive(t)
}

// permit stores the adverts whose repetitions are withheld.
func (t *roleTable) permit(slot uint32, of [2]int64) {
	r := t.at(slot)
	for family, at := range of {
		atomic.StoreUint64(&r.Settled[family], instant(at))
	}
	runtime.KeepAlive(t)
}

// noted returns what changes with the seen entry.
func (t *roleTable) noted(slot uint32) noted {
	defer runtime.KeepAlive(t)
	r := t.at(slot)
	return noted{count: atomic.LoadUint64(&r.Noted), doubted: int64(atomic.LoadUint64(&r.Doubted))}
}

// noRoomAt is no_room_at() of bpf/prove.h.
func (t *roleTable) noRoomAt(slot uint32, seen uint64) int64 {
	defer runtime.KeepAlive(t)
	r := t.at(slot)
	if seen <= atomic.LoadUint64(&r.ForgottenAt) {
		seen = 0
	}
	return int64(max(seen, atomic.LoadUint64(&r.NoRoomAt)))
}

// silence revokes the right to speak of every slot and keeps the generations.
func (t *roleTable) silence() {
	n := len(t.mem) / int(unsafe.Sizeof(object.BPFRole{}))
	for slot := range n {
		r := t.at(uint32(slot))
		old := atomic.LoadUint64(&r.RoleGen)
		if old == 0 {
			continue
		}
		atomic.StoreUint64(&r.RoleGen, old&^3|uint64(RoleInit))
		atomic.StoreUint64(&r.Lease, 0)
		atomic.StoreUint64(&r.SendUntil, 0)
	}
	runtime.KeepAlive(t)
}
