// SPDX-License-Identifier: Apache-2.0

package model

import (
	"encoding/binary"
	"net/netip"
	"slices"
)

// egress judges an outgoing frame: only an answering node speaks for a VIP, and with the virtual MAC.
func (w *twinWorld) egress(f []byte, c twinClock) outcome {
	o := outcome{verdict: TCUnspec, frame: f}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		w.egress4(f, c, &o)
	case 0x86dd:
		w.egress6(f, c, &o)
	case 0x0806:
		w.egressARP(f, c, &o)
	}
	return o
}

// egressARP judges ARP. From a VIP, it may not leave if it is truncated or has no room for the virtual MAC.
func (w *twinWorld) egressARP(f []byte, c twinClock, o *outcome) {
	if len(f) < 22 || f[16] != 8 || f[17] != 0 {
		return
	}
	if len(f) >= 42 && f[18] == 6 && f[19] == 4 {
		if g := w.fenced(netip.AddrFrom4([4]byte(f[28:32])), "arp", c, o); g != nil {
			mac := VMAC(g.VHID)
			o.frame = slices.Concat(f[:6], mac[:], f[12:22], mac[:], f[28:])
		}
		return
	}
	for _, at := range []int{22 + int(f[18]), 28} { // where the length says, and where it always is
		if len(f) < at+4 {
			continue
		}
		if g := w.at(netip.AddrFrom4([4]byte(f[at:]))); g != nil {
			o.verdict = tcShot
			o.count(g.named(), "drop_egress_not_answering_arp", 1)
			return
		}
	}
}

// fenced returns the group of src if it may speak. If not, the frame is dropped.
func (w *twinWorld) fenced(src netip.Addr, what string, c twinClock, o *outcome) *twinGroup {
	g := w.at(src)
	if g != nil && !g.answering(c) {
		o.verdict = tcShot
		o.count(g.named(), "drop_egress_not_answering_"+what, 1)
		return nil
	}
	return g
}

// ownAdvert judges what only this host can have sent for a group, by the right to advertise: unlike the right to
// answer, it begins before the lease, within send_until, and a goodbye may leave at any time. ok is false if the frame
// is not such an advert.
func (w *twinWorld) ownAdvert(p []byte, n int, six bool, c twinClock, o *outcome) (ok bool) {
	if n != 36 && n != 56 || len(p) < 36 { // without and with a trailer
		return false
	}
	g := w.groups[p[1]]
	// VRRPv2 with five or ten addresses and its authentication is as long.
	if g == nil || p[0]>>4 != 2 || !six && n == 16+4*int(p[3]) {
		return false
	}
	switch {
	case isGoodbye(p[5], p[2]):
	case g.holds() && c.now < g.role.Lease:
	case g.holds() && c.now < g.role.SendUntil:
		o.group, o.after = g, g.twinMemory
		o.after.claimed = g.role.SendUntil
	default:
		o.verdict = tcShot
		o.count(g.named(), "drop_egress_not_answering_advert", 1)
	}
	return true
}

func (w *twinWorld) egress4(f []byte, c twinClock, o *outcome) {
	if len(f) < 34 {
		return
	}
	hl := 4 * int(f[14]&15)
	whole, n := hl >= 20 && binary.BigEndian.Uint16(f[20:])&0x3fff == 0, int(binary.BigEndian.Uint16(f[16:]))-hl
	if f[23] == 112 && f[22] == 255 && whole && w.ownAdvert(f[min(14+hl, len(f)):], n, false, c, o) {
		return
	}
	w.fenced(netip.AddrFrom4([4]byte(f[26:30])), "ip", c, o)
}

func (w *twinWorld) egress6(f []byte, c twinClock, o *outcome) {
	if len(f) < 54 {
		return
	}
	src := netip.AddrFrom16([16]byte(f[22:38]))
	switch {
	case f[20] == 112 && f[21] == 255 && w.ownAdvert(f[54:], int(binary.BigEndian.Uint16(f[18:])), true, c, o):
		return
	case f[20] == 58 && len(f) >= 62 && f[54] >= 133 && f[54] <= 136: // discovery; a redirect tells no address of ours
		speaker := src
		if f[54] == 136 && len(f) >= 78 && w.at(src) == nil {
			speaker = netip.AddrFrom16([16]byte(f[62:78]))
		}
		if g := w.fenced(speaker, "nd", c, o); g != nil {
			o.frame = speaksAs(f, VMAC(g.VHID))
		}
		return
	}
	w.fenced(src, "ip", c, o)
}

// speaksAs returns neighbour discovery with a virtual MAC as Ethernet source and as the sender's link-layer address, if
// it has a well-formed one. A wrong checksum stays wrong (RFC 1624).
func speaksAs(f []byte, mac [6]byte) []byte {
	f = slices.Concat(f[:6], mac[:], f[12:])
	from := map[byte]int{133: 62, 134: 70, 135: 78, 136: 78}[f[54]]
	typ := byte(1)
	if f[54] == 136 {
		typ = 2
	}
	end := 54 + int(binary.BigEndian.Uint16(f[18:]))
	if end-54 > maxSummed || end > len(f) || from > end {
		return f
	}
	at, ok := ndOption(f[from:end], typ)
	if !ok || at < 0 {
		return f
	}
	was, now := slices.Clone(f[from+at:from+at+8]), LLOption(typ, mac)
	copy(f[from+at:], now)
	sum := uint32(^binary.BigEndian.Uint16(f[56:]))
	for i := 0; i < 8; i += 2 {
		sum += uint32(^binary.BigEndian.Uint16(was[i:])) + uint32(binary.BigEndian.Uint16(now[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	binary.BigEndian.PutUint16(f[56:], ^uint16(sum))
	return f
}
