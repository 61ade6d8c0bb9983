// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"
	"time"

	"vipd/loader/tables"
)

// TestClaimAnswersFromItsAdvertOn: the advert of a claim moves the switch port and makes the old owner yield, so
// from then on this node answers, until the claim ends or the lease takes over. Only that claim's own advert counts.
func TestClaimAnswersFromItsAdvertOn(t *testing.T) {
	h := NewHarness(t)
	p := tables.Priority{AdvBase: 1, AdvSkew: 10}
	h.Group.SetSentPriority(p)
	ours := Packet{Src: ownAddr, Payload: Advert(p.AdvBase, p.AdvSkew, 0, 7).bytes()}.Bytes()
	goodbye := Packet{Src: ownAddr, Payload: Advert(255, 255, 0, 7).bytes()}.Bytes()
	window := BootNow() + 60e9
	next := func() int64 { window++; return window } // claims differ in their end
	send := func(frame []byte) {
		t.Helper()
		if v, _ := RunProg(t, h.Plane.Objects.VipdEgress, frame); v != TCUnspec {
			t.Fatalf("egress verdict %d", v)
		}
	}
	answers := func(what string, want bool) {
		t.Helper()
		arp, _ := h.Run(ARPFor("192.0.2.1").Bytes())
		mac, _ := h.Run(Packet{DstMAC: VMAC(1), Proto: 17, Payload: make([]byte, 30)}.Bytes())
		ip, _ := RunProg(
			t,
			h.Plane.Objects.VipdEgress,
			Packet{Src: GoldenSpec("192.0.2.1").VIPs[0], Proto: 17, Payload: make([]byte, 30)}.Bytes(),
		)
		ans, err := h.Group.Answering(BootNow())
		if err != nil {
			t.Fatal(err)
		}
		if (arp == XDPTX) != want || (mac == XDPPass) != want || (ip == TCUnspec) != want || ans != want {
			t.Errorf("%s: arp %d, virtual mac %d, egress %d, Answering %v; want answering %v", what, arp, mac, ip, ans, want)
		}
	}

	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 1})
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: next()})
	answers("promoted, nothing sent", false)
	send(goodbye)
	answers("a goodbye claims nothing", false)
	send(ours)
	answers("claimed", true)
	h.Run(FrameOf(Advert(9, 0, 0, 7)))
	answers("a worse advert against the claim", true)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: window, Lease: BootNow() + 60e9})
	answers("leased", true)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: BootNow() - 1, Lease: BootNow() - 1})
	answers("lease and claim over", false)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, SendUntil: next(), Lease: BootNow() - 1})
	answers("claims again in the same generation", false)
	send(ours)
	answers("and has said so", true)
	h.Run(FrameOf(Advert(0, 1, 0, 8)))
	answers("superior advert against the claim", false)
	if v, _ := RunProg(t, h.Plane.Objects.VipdEgress, ours); v != tcShot {
		t.Errorf("an advert left after the yield: verdict %d", v)
	}
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 3, SendUntil: next()})
	answers("new generation, nothing sent", false)
	send(ours)
	answers("new generation, claimed", true)
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 3})
	answers("backup", false)

	end := BootNow() + int64(20*time.Millisecond)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 4, SendUntil: end})
	send(ours)
	for BootNow() <= end { // a claim that the agent never follows up
		time.Sleep(time.Millisecond)
	}
	answers("the claim ran out", false)
}
