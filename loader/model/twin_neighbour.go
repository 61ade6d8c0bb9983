// SPDX-License-Identifier: Apache-2.0

package model

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"

	"vipd/loader/tables"
)

// arp judges a request for an address of ours: it is answered from the virtual MAC or dropped (RFC 826, RFC 5227).
func (w *twinWorld) arp(f []byte, c twinClock, o *outcome) {
	if len(f) < 42 || !bytes.Equal(f[16:20], []byte{8, 0, 6, 4}) {
		return
	}
	hardware, op := binary.BigEndian.Uint16(f[14:]), binary.BigEndian.Uint16(f[20:])
	if op == 1 || op == 2 { // whatever the hardware type: not every receiver checks it
		w.claim(netip.AddrFrom4([4]byte(f[28:32])), [6]byte(f[22:28]), f, o)
	}
	if hardware != 1 && hardware != 6 || op != 1 { // RFC 826 and IEEE 802, RFC 1042
		return
	}
	sender, target := netip.AddrFrom4([4]byte(f[28:32])), netip.AddrFrom4([4]byte(f[38:42]))
	g := w.at(target)
	if g == nil || !g.reaches(f) {
		return
	}
	vip := target.String()
	if sender == target { // an announcement is for the stack and the doctor
		o.verdict = XDPPass
		o.count(vip, "arp_gratuitous", 1)
		return
	}
	o.count(vip, "arp_requests", 1)
	switch {
	case !g.answering(c):
		o.verdict = xdpDrop
		o.count(vip, "arp_suppressed", 1)
		o.count(g.named(), "drop_not_answering_arp", 1)
	case f[22]&1 != 0: // no host has that address
		o.verdict = XDPPass
	default:
		mac, asker := VMAC(g.VHID), f[22:32]
		o.verdict = XDPTX
		o.frame = slices.Concat(asker[:6], mac[:], f[12:20], []byte{0, 2}, mac[:], target.AsSlice(), asker, f[42:])
		o.count(vip, "arp_replies", 1)
	}
}

// claim handles a message that gives an address of ours to another MAC.
func (w *twinWorld) claim(a netip.Addr, mac [6]byte, f []byte, o *outcome) {
	g := w.at(a)
	if g == nil || g.role.State == tables.RoleInit || mac == VMAC(g.VHID) {
		return
	}
	o.count(a.Unmap().String(), "claims", 1)
	o.claim = &tables.Claim{
		IfIndex: LoIndex,
		VHID:    g.VHID,
		Slot:    g.slot,
		Addr:    a.Unmap(),
		MAC:     mac,
		Source:  [6]byte(f[6:12]),
	}
}

// discovery judges neighbour discovery: a valid advertisement speaks for its target, any other message for its source
// (RFC 4861, 6.1 and 7.1).
func (w *twinWorld) discovery(f []byte, c twinClock, o *outcome) {
	if len(f) < 62 || f[54] < 133 || f[54] > 136 {
		return
	}
	from := map[byte]int{133: 62, 134: 70, 135: 78, 136: 78}[f[54]]
	typ, of := byte(1), netip.AddrFrom16([16]byte(f[22:38]))
	if f[54] == 136 && len(f) >= 78 {
		typ, of = 2, netip.AddrFrom16([16]byte(f[62:78]))
	}
	src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
	end := 54 + int(binary.BigEndian.Uint16(f[18:]))
	if f[54] != 136 || typ == 2 {
		if f[21] == 255 && f[55] == 0 && end >= from && end <= len(f) && end-54 <= maxSummed &&
			sum16(pseudo6(src, dst, 58, end-54), f[54:end]) == 0 {
			mac := [6]byte(f[6:12])
			at, ok := ndOption(f[from:end], typ)
			if at >= 0 {
				mac = [6]byte(f[from+at+2:])
			}
			if ok {
				w.claim(of, mac, f, o)
			}
		}
	}
	w.solicitation(f, c, o)
}

// solicitation does the same for IPv6. What RFC 4861, 7.1.1, ignores is left to the stack.
func (w *twinWorld) solicitation(f []byte, c twinClock, o *outcome) {
	if len(f) < 78 || f[14]>>4 != 6 || f[54] != 135 {
		return
	}
	target := netip.AddrFrom16([16]byte(f[62:78]))
	g := w.at(target)
	if g == nil || !g.reaches(f) {
		return
	}
	src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
	plen := int(binary.BigEndian.Uint16(f[18:]))
	if !isMulticast6(dst) && dst != target || isMulticast6(src) || src == target ||
		f[21] != 255 || f[55] != 0 || plen < 24 || plen > maxSummed || 54+plen > len(f) || sum16(
		pseudo6(src, dst, 58, plen),
		f[54:54+plen],
	) != 0 {
		return
	}
	option, ok := ndOption(f[78:54+plen], 1)
	if group, _ := solicitedNode(target); !ok || src.IsUnspecified() && (option >= 0 || dst != group) {
		return
	}
	vip := target.Unmap().String()
	o.count(vip, "nd_solicitations", 1)
	if !g.answering(c) {
		o.verdict = xdpDrop
		o.count(vip, "nd_suppressed", 1)
		o.count(g.named(), "drop_not_answering_nd", 1)
		return
	}
	mac := [6]byte(f[6:12])
	if option >= 0 {
		mac = [6]byte(f[78+option+2:])
	}
	if mac[0]&1 != 0 { // no answer goes to a group address
		return
	}
	o.verdict, o.frame = XDPTX, advertisement(g, target, src, mac)
	o.count(vip, "nd_advertisements", 1)
}

// maxSummed is the longest payload whose checksum is checked: 255 addresses of VRRP or a full frame of 1500 bytes.
const maxSummed = 1460

// ndOption returns where the first link-layer option of a type begins, -1 if there is none. ok is false if the options
// are malformed or more than eight.
func ndOption(opts []byte, typ byte) (at int, ok bool) {
	at = -1
	for i, n := 0, 0; i < len(opts); n++ {
		if n == 8 || i+2 > len(opts) || opts[i+1] == 0 || i+8*int(opts[i+1]) > len(opts) {
			return -1, false
		}
		if opts[i] == typ && opts[i+1] == 1 && at < 0 {
			at = i
		}
		i += 8 * int(opts[i+1])
	}
	return at, true
}

// advertisement returns the answer to a solicitation (RFC 4861, 7.2.4): solicited if it has an asker, always
// overriding.
func advertisement(g *twinGroup, target, asker netip.Addr, mac [6]byte) []byte {
	n := ND{
		DstMAC:  mac,
		SrcMAC:  VMAC(g.VHID),
		Src:     target,
		Dst:     asker,
		Type:    136,
		Target:  target,
		flags:   0x20000000,
		Options: LLOption(2, VMAC(g.VHID)),
	}
	if asker.IsUnspecified() {
		n.DstMAC, n.Dst = [6]byte{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1")
	} else {
		n.flags |= 0x40000000
	}
	if g.Router {
		n.flags |= 0x80000000
	}
	b := n.Bytes()
	copy(b, n.DstMAC[:]) // also the zero one, which nd takes for none
	b[14] = 0x60         // no traffic class
	return b
}

// isMulticast6 reports whether it is ff00::/8. Go also takes a mapped IPv4 address for multicast, which no host sends.
func isMulticast6(a netip.Addr) bool { return a.Is6() && a.As16()[0] == 0xff }
