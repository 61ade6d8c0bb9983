// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"net/netip"
	"testing"

	"vipd/loader/object"
)

// What the tests of package tables_test see of this one: they have the frames of package model, which imports it.

// MaxPlaces is the size of the places map.
const MaxPlaces = maxPlaces

// RoleShift is where the generation begins in a role.
const RoleShift = roleShift

// VIPIndex is the place of an address.
func VIPIndex(key object.BPFVipKey) uint32 { return vipIndex(key) }

// PlaceKey is the key of a group as an entry has it.
func PlaceKey(key object.BPFGroupKey) uint64 { return placeKey(key) }

// Key is the group's in the maps.
func (g *Group) Key() object.BPFGroupKey { return g.key }

// Entry is the entry of the group among the places.
func (t *Tables) Entry(key object.BPFGroupKey) *[3]uint64 { return t.place.words(key) }

// PutPlaces writes places alone, as a vipd that died may have left them.
func (t *Tables) PutPlaces(
	group object.BPFGroupKey,
	val object.BPFGroupVal,
	vip object.BPFVipKey,
	vipVal object.BPFVipVal,
) {
	t.place.put(group, val)
	t.vipPlace.put(vip, vipVal)
}

// HasVIP reports whether an address is in its place.
func (t *Tables) HasVIP(key object.BPFVipKey) bool {
	return t.vipPlace.has(t.vipPlace.entry(vipIndex(key)), placeKeyWords(key))
}

// RoleAt is what the kernel sees of a slot.
func (t *Tables) RoleAt(slot uint32) *object.BPFRole { return t.roles.at(slot) }

// Store is one word for the kernel.
type Store struct {
	Word  *uint64
	Value uint64
}

// Stores are those of SetRole, in their order.
func (g *Group) Stores(r Role) (out []Store) {
	for _, s := range g.stores(r) {
		out = append(out, Store{s.word, s.value})
	}
	return out
}

// CloseTap shuts the tap alone.
func (t *Tables) CloseTap() error { return t.tap.close() }

// Sharing is n addresses that have one entry of the table on an interface.
func Sharing(t *testing.T, n int, ifindex uint32) []netip.Addr {
	t.Helper()
	var found []netip.Addr
	want := uint32(0)
	for i := uint32(1); i < 1<<24 && len(found) < n; i++ {
		a := netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
		at := vipIndex(object.BPFVipKey{Addr: a.As16(), Ifindex: ifindex})
		if len(found) == 0 {
			want = at
		}
		if at == want {
			found = append(found, a)
		}
	}
	if len(found) < n {
		t.Fatalf("%d of %d addresses share an entry", len(found), n)
	}
	return found
}
