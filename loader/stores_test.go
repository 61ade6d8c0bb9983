// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"testing"
)

// TestAdvertBetweenStores forces every race between what an advert does in the kernel and
// the words of a role that the agent stores: the advert comes before the first, between any
// two, or after the last. Whoever is MASTER at that moment yields to a better one, for good;
// a worse one ends only a lease that is over; and nothing is said too early or too late.
func TestAdvertBetweenStores(t *testing.T) {
	h := newHarness(t)
	const long = 60_000_000_000
	now := bootNow()
	// Different, so that a stored word tells which it is.
	fresh, window, over := now+long, now+2*long, now-1
	better, worse := frameOf(advert(0, 1, 0, 7)), frameOf(advert(9, 0, 0, 7))
	for _, change := range []struct {
		name     string
		from, to Role
	}{
		{"claim", Role{State: RoleBackup, Generation: 1}, Role{State: RoleMaster, Generation: 2, SendUntil: window}},
		{"claim out of init", Role{State: RoleInit, Generation: 1}, Role{State: RoleMaster, Generation: 2, SendUntil: window}},
		{"first lease", Role{State: RoleMaster, Generation: 2, SendUntil: window}, Role{State: RoleMaster, Generation: 2, Lease: fresh, SendUntil: window}},
		{"renewal", Role{State: RoleMaster, Generation: 2, Lease: fresh, SendUntil: over}, Role{State: RoleMaster, Generation: 2, Lease: fresh + 1, SendUntil: over}},
		{"renewal that shortens the claim", Role{State: RoleMaster, Generation: 2, Lease: fresh, SendUntil: window}, Role{State: RoleMaster, Generation: 2, Lease: fresh, SendUntil: over}},
		{"claim once more after the lease", Role{State: RoleMaster, Generation: 2, Lease: over, SendUntil: over}, Role{State: RoleMaster, Generation: 2, Lease: over, SendUntil: window}},
		{"stepping down", Role{State: RoleMaster, Generation: 2, Lease: fresh, SendUntil: window}, Role{State: RoleBackup, Generation: 2}},
		{"stepping down in a claim", Role{State: RoleMaster, Generation: 2, SendUntil: window}, Role{State: RoleInit, Generation: 2}},
	} {
		for _, ad := range []struct {
			name  string
			frame []byte
		}{{"none", nil}, {"better", better}, {"worse", worse}} {
			for at := range len(storesOf(h, change.from, change.to)) + 1 {
				name := fmt.Sprintf("%s, advert: %s, after %d stores", change.name, ad.name, at)
				h.fresh(goldenSpec("192.0.2.1"))
				h.g.SetSentPriority(Priority{AdvBase: 1, AdvSkew: 10})
				h.g.SetRole(change.from)
				leased := change.from.Lease == fresh
				yielded := uint64(0)
				for i, s := range append(h.g.stores(change.to), store{}) {
					if i == at && ad.frame != nil {
						k := h.d.roles.at(h.g.Slot())
						role := atomic.LoadUint64(&k.RoleGen)
						h.run(ad.frame)
						outlived := change.from.Lease == over && k.SendUntil == uint64(over)
						if role&3 == uint64(RoleMaster) && (ad.name == "better" || outlived) {
							yielded = role >> roleShift
						}
					}
					h.speaks(name, i, leased, yielded)
					if s.word != nil {
						atomic.StoreUint64(s.word, s.value)
						leased = leased || s.value == uint64(fresh) || s.value == uint64(fresh+1)
					}
				}
				if got := h.seen().YieldedGeneration; got != yielded {
					t.Errorf("%s: generation %d has yielded, want %d", name, got, yielded)
				}
				ans, err := h.g.Answering(bootNow())
				want := change.to.State == RoleMaster && change.to.Lease > now && yielded < change.to.Generation
				if err != nil || ans != want {
					t.Errorf("%s: answering %v in the end, want %v (%v)", name, ans, want, err)
				}
			}
		}
	}
}

// storesOf are the words of a change, from the state before it.
func storesOf(h *harness, from, to Role) []store {
	h.g.SetRole(from)
	return h.g.stores(to)
}

// speaks holds what is said between two stores: by ARP and at the virtual MAC as on the way
// out, nothing without a lease that was given, and nothing by a generation that has yielded.
func (h *harness) speaks(name string, i int, leased bool, yielded uint64) {
	h.t.Helper()
	arp, _ := h.run(arpFor("192.0.2.1").bytes())
	mac, _ := h.run(packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes())
	out, _ := runProg(h.t, h.d.objs.VipdEgress, packet{src: netip.MustParseAddr("192.0.2.1"), proto: 17, payload: make([]byte, 30)}.bytes())
	said := arp == xdpTX
	if said != (mac == xdpPass) || said != (out == tcUnspec) {
		h.t.Errorf("%s: before store %d: arp %d, virtual mac %d, egress %d are of several minds", name, i, arp, mac, out)
	}
	k := h.d.roles.at(h.g.Slot())
	if role := atomic.LoadUint64(&k.RoleGen); said && (!leased || role&3 != uint64(RoleMaster) || yielded >= role>>roleShift) {
		h.t.Errorf("%s: before store %d: it speaks, leased %v, role %d of generation %d, yielded %d", name, i, leased, role&3, role>>roleShift, yielded)
	}
}
