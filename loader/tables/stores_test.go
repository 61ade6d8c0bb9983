// SPDX-License-Identifier: Apache-2.0

package tables_test

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"

	"vipd/loader/model"
	"vipd/loader/tables"
)

// TestAdvertBetweenStores forces every race between what an advert does in the kernel and
// the words of a role that the agent stores: the advert comes before the first, between any
// two, or after the last. Whoever is MASTER at that moment yields to a better one, for good;
// a worse one ends only a lease that is over; and nothing is said too early or too late.
func TestAdvertBetweenStores(t *testing.T) {
	h := model.NewHarness(t)
	const long = 60_000_000_000
	now := model.BootNow()
	// Different, so that a stored word tells which it is.
	fresh, window, over := now+long, now+2*long, now-1
	better, worse := model.FrameOf(model.Advert(0, 1, 0, 7)), model.FrameOf(model.Advert(9, 0, 0, 7))
	for _, change := range []struct {
		name     string
		from, to tables.Role
	}{
		{
			"claim",
			tables.Role{State: tables.RoleBackup, Generation: 1},
			tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: window},
		},
		{
			"claim out of init",
			tables.Role{State: tables.RoleInit, Generation: 1},
			tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: window},
		},
		{
			"first lease",
			tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: window},
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh, SendUntil: window},
		},
		{
			"renewal",
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh, SendUntil: over},
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh + 1, SendUntil: over},
		},
		{
			"renewal that shortens the claim",
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh, SendUntil: window},
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh, SendUntil: over},
		},
		{
			"claim once more after the lease",
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: over, SendUntil: over},
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: over, SendUntil: window},
		},
		{
			"stepping down",
			tables.Role{State: tables.RoleMaster, Generation: 2, Lease: fresh, SendUntil: window},
			tables.Role{State: tables.RoleBackup, Generation: 2},
		},
		{
			"stepping down in a claim",
			tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: window},
			tables.Role{State: tables.RoleInit, Generation: 2},
		},
	} {
		for _, ad := range []struct {
			name  string
			frame []byte
		}{{"none", nil}, {"better", better}, {"worse", worse}} {
			for at := range len(storesOf(h, change.from, change.to)) + 1 {
				name := fmt.Sprintf("%s, advert: %s, after %d stores", change.name, ad.name, at)
				h.Fresh(model.GoldenSpec("192.0.2.1"))
				h.Group.SetSentPriority(tables.Priority{AdvBase: 1, AdvSkew: 10})
				h.Group.SetRole(change.from)
				leased := change.from.Lease == fresh
				yielded := uint64(0)
				for i, s := range append(h.Group.Stores(change.to), tables.Store{}) {
					if i == at && ad.frame != nil {
						k := h.Plane.RoleAt(h.Group.Slot())
						role := atomic.LoadUint64(&k.RoleGen)
						h.Run(ad.frame)
						outlived := change.from.Lease == over && k.SendUntil == uint64(over)
						if role&3 == uint64(tables.RoleMaster) && (ad.name == "better" || outlived) {
							yielded = role >> tables.RoleShift
						}
					}
					speaks(h, name, i, leased, yielded)
					if s.Word != nil {
						atomic.StoreUint64(s.Word, s.Value)
						leased = leased || s.Value == uint64(fresh) || s.Value == uint64(fresh+1)
					}
				}
				if got := h.Seen().YieldedGeneration; got != yielded {
					t.Errorf("%s: generation %d has yielded, want %d", name, got, yielded)
				}
				ans, err := h.Group.Answering(model.BootNow())
				want := change.to.State == tables.RoleMaster && change.to.Lease > now && yielded < change.to.Generation
				if err != nil || ans != want {
					t.Errorf("%s: answering %v in the end, want %v (%v)", name, ans, want, err)
				}
			}
		}
	}
}

// storesOf are the words of a change, from the state before it.
func storesOf(h *model.Harness, from, to tables.Role) []tables.Store {
	h.Group.SetRole(from)
	return h.Group.Stores(to)
}

// speaks holds what is said between two stores: by ARP and at the virtual MAC as on the way
// out, nothing without a lease that was given, and nothing by a generation that has yielded.
func speaks(h *model.Harness, name string, i int, leased bool, yielded uint64) {
	h.T.Helper()
	arp, _ := h.Run(model.ARPFor("192.0.2.1").Bytes())
	mac, _ := h.Run(model.Packet{DstMAC: model.VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes())
	out, _ := model.RunProg(
		h.T,
		h.Plane.Objects.VipdEgress,
		model.Packet{Src: netip.MustParseAddr("192.0.2.1"), Proto: 17, Payload: make([]byte, 30)}.Bytes(),
	)
	said := arp == model.XDPTX
	if said != (mac == model.XDPPass) || said != (out == model.TCUnspec) {
		h.T.Errorf("%s: before store %d: arp %d, virtual mac %d, egress %d are of several minds", name, i, arp, mac, out)
	}
	k := h.Plane.RoleAt(h.Group.Slot())
	if role := atomic.LoadUint64(&k.RoleGen); said &&
		(!leased || role&3 != uint64(tables.RoleMaster) || yielded >= role>>tables.RoleShift) {
		h.T.Errorf(
			"%s: before store %d: it speaks, leased %v, role %d of generation %d, yielded %d",
			name,
			i,
			leased,
			role&3,
			role>>tables.RoleShift,
			yielded,
		)
	}
}
