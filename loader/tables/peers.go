// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"vipd/loader/object"
)

// ErrNoRoom is the error for a peer that the kernel has no room to remember.
var ErrNoRoom = errors.New("the kernel has no room for another peer")

// Peer is a source that has proven itself by a trailer to be a vipd node.
type Peer struct {
	Addr netip.Addr
	// Number is that of its last advert or hello.
	Number uint64
	// At is when that was received, CLOCK_BOOTTIME ns.
	At int64
}

// Peers returns the peers of all groups, in no order. A group that is added or removed meanwhile is missing.
func (t *Tables) Peers() (map[*Group][]Peer, error) {
	before, _ := t.owners()
	bySlot := map[uint32][]Peer{}
	// Not under t.mu, for which the agent would wait.
	err := eachSender(t.maps.Peers, func(k object.BPFSourceKey, v object.BPFPeerVal) {
		bySlot[k.Slot] = append(bySlot[k.Slot], peerOf(k, v))
	})
	if err != nil {
		return nil, fmt.Errorf("read the peers: %w", err)
	}
	after, _ := t.owners()
	out := make(map[*Group][]Peer, len(bySlot))
	for slot, peers := range bySlot {
		if i := int(slot); i < min(len(before), len(after)) && before[i] != nil && before[i] == after[i] {
			out[before[i]] = peers
		}
	}
	return out, nil
}

// peerOf goes by whatever proved the peer last: a BACKUP sends hellos alone, for months, with numbers of the same
// sequence.
func peerOf(k object.BPFSourceKey, v object.BPFPeerVal) Peer {
	p := Peer{Addr: netip.AddrFrom16(k.Src).Unmap(), Number: v.Number, At: int64(v.At)}
	if v.Hello > p.Number {
		p.Number, p.At = v.Hello, int64(v.HelloAt)
	}
	return p
}

// PutPeer brings back a peer that an earlier vipd stored, unless it has been heard since. After [ErrNoRoom] the kernel
// believes no unknown source without a trailer, as after a peer for which it had no room itself.
func (g *Group) PutPeer(p Peer) error {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if err := g.usable(); err != nil {
		return err
	}
	val := object.BPFPeerVal{Number: p.Number, Pace: p.Number, At: instant(p.At)}
	key := g.senderKey(p.Addr)
	err := g.t.maps.Peers.Update(key, val, ebpf.UpdateNoExist)
	if errors.Is(err, unix.E2BIG) {
		defer runtime.KeepAlive(g.t.roles)
		r := g.t.roles.at(g.slot)
		atomic.StoreUint64(&r.NoRoomAt, max(atomic.LoadUint64(&r.NoRoomAt), val.At, 1))
		if derr := g.t.maps.Sources.Delete(key); derr != nil && !errors.Is(derr, ebpf.ErrKeyNotExist) {
			err = errors.Join(err, derr)
		}
		return fmt.Errorf("bring back peer %s of %s: %w: %w", p.Addr, g.name, ErrNoRoom, err)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("bring back peer %s of %s: %w", p.Addr, g.name, err)
	}
	return nil
}

// ForgetPeer has the kernel believe adverts of this source without a trailer again. It returns false if there is no
// such peer.
func (g *Group) ForgetPeer(addr netip.Addr) (bool, error) {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if err := g.usable(); err != nil {
		return false, err
	}
	return g.forgetPeer(addr)
}

// ForgetNoRoom has the kernel believe unknown sources without a trailer again, although it had no room up to now for
// vipd nodes that proved themselves. The next proof of one ends that.
func (g *Group) ForgetNoRoom(now int64) error {
	g.t.mu.RLock()
	defer g.t.mu.RUnlock()
	if err := g.usable(); err != nil {
		return err
	}
	defer runtime.KeepAlive(g.t.roles)
	r := g.t.roles.at(g.slot)
	atomic.StoreUint64(&r.NoRoomAt, 0)
	atomic.StoreUint64(&r.ForgottenAt, instant(now))
	return nil
}

func (g *Group) forgetPeer(addr netip.Addr) (bool, error) {
	err := g.t.maps.Peers.Delete(g.senderKey(addr))
	if errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("forget peer %s of %s: %w", addr, g.name, err)
	}
	return true, nil
}

// ExpirePeer is ForgetPeer unless the kernel has heard the peer later than at that time.
func (g *Group) ExpirePeer(addr netip.Addr, at int64) (bool, error) {
	g.t.mu.Lock()
	defer g.t.mu.Unlock()
	if err := g.usable(); err != nil {
		return false, err
	}
	key, val := g.senderKey(addr), object.BPFPeerVal{}
	err := g.t.maps.Peers.Lookup(key, &val)
	if err == nil && max(val.At, val.HelloAt) <= instant(at) {
		return g.forgetPeer(addr)
	}
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return false, fmt.Errorf("read peer %s of %s: %w", addr, g.name, err)
	}
	return false, nil
}

func (g *Group) senderKey(addr netip.Addr) object.BPFSourceKey {
	return object.BPFSourceKey{Slot: g.slot, Src: addr.As16()}
}

// eachSender calls fn for each sender in a map.
func eachSender[V any](m *ebpf.Map, fn func(object.BPFSourceKey, V)) error {
	var key object.BPFSourceKey
	var val V
	it := m.Iterate()
	for it.Next(&key, &val) {
		fn(key, val)
	}
	return it.Err()
}

// forgetRemoved removes what the kernel learnt about senders for slots that no group has, nor, before it is reset, the
// given one. The maps are long, so that it looks only after groups were removed: from then on nothing is learnt for
// them.
func (t *Tables) forgetRemoved(fresh uint32) error {
	if !t.worn {
		return nil
	}
	used := make(map[uint32]bool, len(t.groups)+len(t.pinned))
	for _, g := range t.groups {
		used[g.slot] = true
	}
	for _, p := range t.pinned {
		used[p.slot] = true
	}
	delete(used, fresh)
	if err := errors.Join(
		forgetSenders[object.BPFSourceVal](t.maps.Sources, used),
		forgetSenders[object.BPFPeerVal](t.maps.Peers, used),
	); err != nil {
		return err
	}
	t.worn = false
	return nil
}

// forgetSenders removes the senders of all slots but those used.
func forgetSenders[V any](m *ebpf.Map, used map[uint32]bool) error {
	var gone []object.BPFSourceKey
	errs := []error{eachSender(m, func(k object.BPFSourceKey, _ V) {
		if !used[k.Slot] {
			gone = append(gone, k)
		}
	})}
	for _, k := range gone {
		if err := m.Delete(k); !errors.Is(err, ebpf.ErrKeyNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
