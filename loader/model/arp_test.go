// SPDX-License-Identifier: Apache-2.0

package model

import (
	"testing"

	"vipd/loader/tables"
)

func TestARP(t *testing.T) {
	h := NewHarness(t)
	ask := ARPFor("192.0.2.1")
	probe := ask
	probe.SIP = "0.0.0.0"
	answer := func(a ARP) []byte {
		return ARP{DstMAC: a.SHA, SrcMAC: VMAC(1), Op: 2, SHA: VMAC(1), SIP: a.TIP, THA: a.SHA, TIP: a.SIP}.Bytes()
	}
	with := func(change func(*ARP)) ARP {
		a := ask
		change(&a)
		return a
	}
	toNIC := with(func(a *ARP) { a.DstMAC = NICMAC })
	toVirtual := with(func(a *ARP) { a.DstMAC = VMAC(1) })
	toOther := with(func(a *ARP) { a.DstMAC = PeerMAC }).Bytes()
	gratuitous := with(func(a *ARP) { a.SIP = a.TIP }).Bytes()
	reply := with(func(a *ARP) { a.Op = 2 }).Bytes()
	groupSender := with(func(a *ARP) { a.SHA = BroadcastMAC }).Bytes()
	otherAddr := ARPFor("192.0.2.7").Bytes()

	suppressed := Want{Verdict: xdpDrop, Counts: count("arp_requests", "arp_suppressed", "drop_not_answering_arp")}
	always := func(state string) {
		t.Helper()
		h.Expect(state+": gratuitous", gratuitous, Want{Verdict: XDPPass, Counts: count("arp_gratuitous")})
		h.Expect(state+": reply", reply, Want{Verdict: XDPPass})
		h.Expect(state+": other address", otherAddr, Want{Verdict: XDPPass})
		h.Expect(state+": other NIC", toOther, Want{Verdict: XDPPass})
	}

	for _, state := range []uint8{tables.RoleInit, tables.RoleBackup} {
		h.Group.SetRole(tables.Role{State: state, Generation: 1})
		h.Expect("silent: request", ask.Bytes(), suppressed)
		h.Expect("silent: probe", probe.Bytes(), suppressed)
		h.Expect("silent: unicast", toNIC.Bytes(), suppressed)
		h.Expect("silent: to the virtual MAC", toVirtual.Bytes(), suppressed)
		always("silent")
	}

	h.Master(2)
	for name, a := range map[string]ARP{
		"request":            ask,
		"probe":              probe,
		"unicast":            toNIC,
		"to the virtual MAC": toVirtual,
	} {
		h.Expect(
			"master: "+name,
			a.Bytes(),
			Want{Verdict: XDPTX, Counts: count("arp_requests", "arp_replies"), Frame: answer(a)},
		)
	}
	padded := append(ask.Bytes(), make([]byte, 18)...)
	h.Expect("master: padded", padded, Want{
		Verdict: XDPTX, Counts: count("arp_requests", "arp_replies"), Frame: append(answer(ask), make([]byte, 18)...),
	})
	h.Expect("master: group sender", groupSender, Want{Verdict: XDPPass, Counts: count("arp_requests")})
	always("master")

	h.Group.SetRole(
		tables.Role{State: tables.RoleMaster, Generation: 2, Lease: BootNow() - 1, SendUntil: BootNow() + 60e9},
	)
	h.Expect("lease over", ask.Bytes(), suppressed)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 2, Lease: BootNow() + 60e9})
	h.Expect(
		"lease renewed",
		ask.Bytes(),
		Want{Verdict: XDPTX, Counts: count("arp_requests", "arp_replies"), Frame: answer(ask)},
	)
	h.Group.SetRole(tables.Role{State: tables.RoleMaster, Generation: 3, SendUntil: BootNow() + 60e9})
	h.Expect("promoted, not yet leased", ask.Bytes(), suppressed)
}

// TestARPMalformed holds that anything but ARP for IPv4 over Ethernet passes.
func TestARPMalformed(t *testing.T) {
	h := NewHarness(t)
	h.Master(1)
	good := ARPFor("192.0.2.1").Bytes()
	sixth := append([]byte(nil), good...)
	sixth[15] = 6 // IEEE 802, which Linux answers as well
	answer := ARP{
		DstMAC: PeerMAC,
		SrcMAC: VMAC(1),
		Op:     2,
		SHA:    VMAC(1),
		SIP:    "192.0.2.1",
		THA:    PeerMAC,
		TIP:    "192.0.2.2",
	}.Bytes()
	answer[15] = 6
	h.Expect("hardware type 6", sixth, Want{Verdict: XDPTX, Counts: count("arp_requests", "arp_replies"), Frame: answer})
	h.Group.SetRole(tables.Role{State: tables.RoleBackup, Generation: 2})
	h.Expect(
		"hardware type 6, silent",
		sixth,
		Want{Verdict: xdpDrop, Counts: count("arp_requests", "arp_suppressed", "drop_not_answering_arp")},
	)
	h.Master(3)
	for _, off := range []int{14, 15, 16, 17, 18, 19, 20} { // hardware, protocol, lengths, operation
		bad := append([]byte(nil), good...)
		bad[off] ^= 0x10
		h.Expect("malformed", bad, Want{Verdict: XDPPass})
	}
	for n := 14; n < len(good); n++ {
		h.Expect("truncated", good[:n], Want{Verdict: XDPPass})
	}
	for _, tag := range []string{"81000065", "88a80064"} {
		tagged := append(append(append([]byte(nil), good[:12]...), mustHex(tag)...), good[12:]...)
		h.Expect("another VLAN", tagged, Want{Verdict: XDPPass})
	}
}
