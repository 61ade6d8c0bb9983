// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"testing"
)

func TestARP(t *testing.T) {
	h := newHarness(t)
	ask := arpFor("192.0.2.1")
	probe := ask
	probe.sip = "0.0.0.0"
	answer := func(a arp) []byte {
		return arp{dstMAC: a.sha, srcMAC: vmac(1), op: 2, sha: vmac(1), sip: a.tip, tha: a.sha, tip: a.sip}.bytes()
	}
	with := func(change func(*arp)) arp {
		a := ask
		change(&a)
		return a
	}
	toNIC := with(func(a *arp) { a.dstMAC = nicMAC })
	toVirtual := with(func(a *arp) { a.dstMAC = vmac(1) })
	toOther := with(func(a *arp) { a.dstMAC = peerMAC }).bytes()
	gratuitous := with(func(a *arp) { a.sip = a.tip }).bytes()
	reply := with(func(a *arp) { a.op = 2 }).bytes()
	groupSender := with(func(a *arp) { a.sha = broadcastMAC }).bytes()
	otherAddr := arpFor("192.0.2.7").bytes()

	suppressed := want{verdict: xdpDrop, counts: count("arp_requests", "arp_suppressed", "drop_not_answering_arp")}
	always := func(state string) {
		t.Helper()
		h.expect(state+": gratuitous", gratuitous, want{verdict: xdpPass, counts: count("arp_gratuitous")})
		h.expect(state+": reply", reply, want{verdict: xdpPass})
		h.expect(state+": other address", otherAddr, want{verdict: xdpPass})
		h.expect(state+": other NIC", toOther, want{verdict: xdpPass})
	}

	for _, state := range []uint8{RoleInit, RoleBackup} {
		h.g.SetRole(Role{State: state, Generation: 1})
		h.expect("silent: request", ask.bytes(), suppressed)
		h.expect("silent: probe", probe.bytes(), suppressed)
		h.expect("silent: unicast", toNIC.bytes(), suppressed)
		h.expect("silent: to the virtual MAC", toVirtual.bytes(), suppressed)
		always("silent")
	}

	h.master(2)
	for name, a := range map[string]arp{"request": ask, "probe": probe, "unicast": toNIC, "to the virtual MAC": toVirtual} {
		h.expect("master: "+name, a.bytes(), want{verdict: xdpTX, counts: count("arp_requests", "arp_replies"), frame: answer(a)})
	}
	padded := append(ask.bytes(), make([]byte, 18)...)
	h.expect("master: padded", padded, want{
		verdict: xdpTX, counts: count("arp_requests", "arp_replies"), frame: append(answer(ask), make([]byte, 18)...),
	})
	h.expect("master: group sender", groupSender, want{verdict: xdpPass, counts: count("arp_requests")})
	always("master")

	h.g.SetRole(Role{State: RoleMaster, Generation: 2, Lease: bootNow() - 1, SendUntil: bootNow() + 60e9})
	h.expect("lease over", ask.bytes(), suppressed)
	h.g.SetRole(Role{State: RoleMaster, Generation: 2, Lease: bootNow() + 60e9})
	h.expect("lease renewed", ask.bytes(), want{verdict: xdpTX, counts: count("arp_requests", "arp_replies"), frame: answer(ask)})
	h.g.SetRole(Role{State: RoleMaster, Generation: 3, SendUntil: bootNow() + 60e9})
	h.expect("promoted, not yet leased", ask.bytes(), suppressed)
}

// TestARPMalformed holds that anything but ARP for IPv4 over Ethernet passes.
func TestARPMalformed(t *testing.T) {
	h := newHarness(t)
	h.master(1)
	good := arpFor("192.0.2.1").bytes()
	for _, off := range []int{14, 15, 16, 17, 18, 19, 20} { // hardware, protocol, lengths, operation
		bad := append([]byte(nil), good...)
		bad[off] ^= 0x10
		h.expect("malformed", bad, want{verdict: xdpPass})
	}
	for n := 14; n < len(good); n++ {
		h.expect("truncated", good[:n], want{verdict: xdpPass})
	}
	for _, tag := range []string{"81000065", "88a80064"} {
		tagged := append(append(append([]byte(nil), good[:12]...), mustHex(tag)...), good[12:]...)
		h.expect("another VLAN", tagged, want{verdict: xdpPass})
	}
}
