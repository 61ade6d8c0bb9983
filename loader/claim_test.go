// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"
	"time"
)

// TestClaimAnswersFromItsAdvertOn: the advert of a claim moves the switch port and makes the old owner yield, so
// from then on this node answers, until the claim ends or the lease takes over. Only that claim's own advert counts.
func TestClaimAnswersFromItsAdvertOn(t *testing.T) {
	h := newHarness(t)
	p := Priority{AdvBase: 1, AdvSkew: 10}
	h.g.SetSentPriority(p)
	ours := packet{src: ownAddr, payload: advert(p.AdvBase, p.AdvSkew, 0, 7).bytes()}.bytes()
	goodbye := packet{src: ownAddr, payload: advert(255, 255, 0, 7).bytes()}.bytes()
	window := bootNow() + 60e9
	next := func() int64 { window++; return window } // claims differ in their end
	send := func(frame []byte) {
		t.Helper()
		if v, _ := runProg(t, h.d.objs.VipdEgress, frame); v != tcUnspec {
			t.Fatalf("egress verdict %d", v)
		}
	}
	answers := func(what string, want bool) {
		t.Helper()
		arp, _ := h.run(arpFor("192.0.2.1").bytes())
		mac, _ := h.run(packet{dstMAC: vmac(1), proto: 17, payload: make([]byte, 30)}.bytes())
		ip, _ := runProg(t, h.d.objs.VipdEgress, packet{src: goldenSpec("192.0.2.1").VIPs[0], proto: 17, payload: make([]byte, 30)}.bytes())
		ans, err := h.g.Answering(bootNow())
		if err != nil {
			t.Fatal(err)
		}
		if (arp == xdpTX) != want || (mac == xdpPass) != want || (ip == tcUnspec) != want || ans != want {
			t.Errorf("%s: arp %d, virtual mac %d, egress %d, Answering %v; want answering %v", what, arp, mac, ip, ans, want)
		}
	}

	h.g.SetRole(Role{State: RoleBackup, Generation: 1})
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, SendUntil: next()})
	answers("promoted, nothing sent", false)
	send(goodbye)
	answers("a goodbye claims nothing", false)
	send(ours)
	answers("claimed", true)
	h.run(frameOf(advert(9, 0, 0, 7)))
	answers("a worse advert against the claim", true)
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, SendUntil: window, Lease: bootNow() + 60e9})
	answers("leased", true)
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, SendUntil: bootNow() - 1, Lease: bootNow() - 1})
	answers("lease and claim over", false)
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, SendUntil: next(), Lease: bootNow() - 1})
	answers("claims again in the same generation", false)
	send(ours)
	answers("and has said so", true)
	h.run(frameOf(advert(0, 1, 0, 8)))
	answers("superior advert against the claim", false)
	if v, _ := runProg(t, h.d.objs.VipdEgress, ours); v != tcShot {
		t.Errorf("an advert left after the yield: verdict %d", v)
	}
	h.g.SetRole(Role{State: RoleMaster, Generation: 3, SendUntil: next()})
	answers("new generation, nothing sent", false)
	send(ours)
	answers("new generation, claimed", true)
	h.g.SetRole(Role{State: RoleBackup, Generation: 3})
	answers("backup", false)

	end := bootNow() + int64(20*time.Millisecond)
	h.g.SetRole(Role{State: RoleMaster, Generation: 4, SendUntil: end})
	send(ours)
	for bootNow() <= end { // a claim that the agent never follows up
		time.Sleep(time.Millisecond)
	}
	answers("the claim ran out", false)
}
