// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// arp: a request for an address of ours, answered from the virtual MAC or swallowed (RFC 826, RFC 5227).
func (w *twinWorld) arp(f []byte, c twinClock, o *outcome) {
	if len(f) < 42 || !bytes.Equal(f[14:22], []byte{0, 1, 8, 0, 6, 4, 0, 1}) {
		return
	}
	sender, target := netip.AddrFrom4([4]byte(f[28:32])), netip.AddrFrom4([4]byte(f[38:42]))
	g := w.at(target)
	if g == nil || !g.reaches(f) {
		return
	}
	vip := target.String()
	if sender == target { // an announcement is for the stack and the doctor
		o.verdict = xdpPass
		o.count(vip, "arp_gratuitous", 1)
		return
	}
	o.count(vip, "arp_requests", 1)
	switch {
	case !g.answering(c):
		o.verdict = xdpDrop
		o.count(vip, "arp_suppressed", 1)
		o.count(g.named(), "drop_not_answering_arp", 1)
	case f[22]&1 != 0: // nobody is there
		o.verdict = xdpPass
	default:
		mac, asker := vmac(g.VHID), f[22:32]
		o.verdict = xdpTX
		o.frame = slices.Concat(asker[:6], mac[:], f[12:20], []byte{0, 2}, mac[:], target.AsSlice(), asker, f[42:])
		o.count(vip, "arp_replies", 1)
	}
}

// solicitation: the same of IPv6. What RFC 4861, 7.1.1, wants ignored is the stack's.
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
	if !dst.IsMulticast() && dst != target || src.IsMulticast() || src == target ||
		f[21] != 255 || f[55] != 0 || plen < 24 || plen > maxSummed || 54+plen > len(f) || sum16(pseudo6(src, dst, 58, plen), f[54:54+plen]) != 0 {
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
	if mac[0]&1 != 0 { // to a group nobody is answered
		return
	}
	o.verdict, o.frame = xdpTX, advertisement(g, target, src, mac)
	o.count(vip, "nd_advertisements", 1)
}

// maxSummed is the longest payload that is summed, 255 addresses of VRRP or a frame of 1500 bytes full of them.
const maxSummed = 1460

// ndOption is where the first link-layer option of a type begins, -1 if there is none. Not ok: malformed, or
// more options than the eight that are looked through.
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

// advertisement is the answer to a solicitation (RFC 4861, 7.2.4): solicited if somebody asked, always overriding.
func advertisement(g *twinGroup, target, asker netip.Addr, mac [6]byte) []byte {
	n := nd{dstMAC: mac, srcMAC: vmac(g.VHID), src: target, dst: asker, typ: 136, target: target, flags: 0x20000000, options: llOption(2, vmac(g.VHID))}
	if asker.IsUnspecified() {
		n.dstMAC, n.dst = [6]byte{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1")
	} else {
		n.flags |= 0x40000000
	}
	if g.Router {
		n.flags |= 0x80000000
	}
	b := n.bytes()
	copy(b, n.dstMAC[:]) // also the zero one, which nd takes for none
	b[14] = 0x60         // no traffic class
	return b
}
