// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // CARP
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"
)

// Frames as they travel, built here and not by the code under test.

var (
	carpGroup    = netip.MustParseAddr("224.0.0.18")
	carpGroupMAC = [6]byte{1, 0, 0x5e, 0, 0, 0x12}
	broadcastMAC = [6]byte{255, 255, 255, 255, 255, 255}

	carpGroup6    = netip.MustParseAddr("ff02::12")
	carpGroup6MAC = [6]byte{0x33, 0x33, 0, 0, 0, 0x12}
	ownAddr6      = netip.MustParseAddr("fe80::9")
	peerAddr6     = netip.MustParseAddr("fe80::2")
	vip6          = netip.MustParseAddr("2001:db8::100")
)

func vmac(vhid uint8) [6]byte { return [6]byte{0, 0, 0x5e, 0, 1, vhid} }

// prefix is the constant part of the hashed message.
func prefix(vhid uint8, addrs []netip.Addr) []byte {
	sorted := slices.Clone(addrs)
	slices.SortFunc(sorted, netip.Addr.Compare)
	b := []byte{2, 1, vhid}
	for _, a := range sorted {
		b = append(b, a.AsSlice()...)
	}
	return b
}

func sum16(parts ...[]byte) uint16 {
	var s uint32
	for _, p := range parts {
		for i := 0; i < len(p); i += 2 {
			w := uint32(p[i]) << 8
			if i+1 < len(p) {
				w |= uint32(p[i+1])
			}
			s += w
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

func mustHex(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func eth(dst, src [6]byte, proto uint16) []byte {
	return binary.BigEndian.AppendUint16(append(dst[:], src[:]...), proto)
}

// packet is an IPv4 packet in its frame. Its zero fields get sensible values.
type packet struct {
	srcMAC, dstMAC [6]byte
	src, dst       netip.Addr
	ttl, proto     uint8
	frag           uint16
	options        []byte
	payload        []byte
	totalDelta     int  // lies about the total length
	badSum         bool // of the IP header
}

func (p packet) bytes() []byte {
	if p.srcMAC == ([6]byte{}) {
		p.srcMAC = vmac(1)
	}
	if p.dstMAC == ([6]byte{}) {
		p.dstMAC = carpGroupMAC
	}
	if !p.src.IsValid() {
		p.src = peerAddr
	}
	if !p.dst.IsValid() {
		p.dst = carpGroup
	}
	if p.ttl == 0 {
		p.ttl = 255
	}
	if p.proto == 0 {
		p.proto = 112
	}
	ip := []byte{byte(0x45 + len(p.options)/4), 0xe0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(20+len(p.options)+len(p.payload)+p.totalDelta))
	ip = binary.BigEndian.AppendUint16(ip, 0)
	ip = binary.BigEndian.AppendUint16(ip, 0x4000|p.frag)
	ip = append(ip, p.ttl, p.proto, 0, 0)
	ip = append(append(append(ip, p.src.AsSlice()...), p.dst.AsSlice()...), p.options...)
	s := sum16(ip)
	if p.badSum {
		s ^= 0x0100
	}
	binary.BigEndian.PutUint16(ip[10:], s)
	return append(append(eth(p.dstMAC, p.srcMAC, 0x0800), ip...), p.payload...)
}

// packet6 is an IPv6 packet in its frame. Its zero fields get sensible values.
type packet6 struct {
	srcMAC, dstMAC [6]byte
	src, dst       netip.Addr
	hops, next     uint8
	payload        []byte
	lengthDelta    int // lies about the payload length
}

func (p packet6) bytes() []byte {
	if p.srcMAC == ([6]byte{}) {
		p.srcMAC = vmac(1)
	}
	if p.dstMAC == ([6]byte{}) {
		p.dstMAC = carpGroup6MAC
	}
	if !p.src.IsValid() {
		p.src = peerAddr6
	}
	if !p.dst.IsValid() {
		p.dst = carpGroup6
	}
	if p.hops == 0 {
		p.hops = 255
	}
	if p.next == 0 {
		p.next = 112
	}
	ip := []byte{0x6e, 0, 0, 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(len(p.payload)+p.lengthDelta))
	ip = append(ip, p.next, p.hops)
	ip = append(append(ip, p.src.AsSlice()...), p.dst.AsSlice()...)
	return append(append(eth(p.dstMAC, p.srcMAC, 0x86dd), ip...), p.payload...)
}

// pseudo6 is the pseudo-header of a payload over IPv6.
func pseudo6(src, dst netip.Addr, next uint8, n int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, next)
}

// carp is the 36-byte header.
type carp struct {
	version, vhid, skew, authlen, demote, base uint8
	counter                                    uint64
	digest                                     [20]byte
}

func (c carp) bytes() []byte {
	if c.version == 0 {
		c.version = 0x21
	}
	if c.authlen == 0 {
		c.authlen = 7
	}
	b := []byte{c.version, c.vhid, c.skew, c.authlen, c.demote, c.base, 0, 0}
	b = binary.BigEndian.AppendUint64(b, c.counter)
	b = append(b, c.digest[:]...)
	binary.BigEndian.PutUint16(b[6:], sum16(b))
	return b
}

func digest(key, prefix []byte, counter uint64) (d [20]byte) {
	m := hmac.New(sha1.New, key)
	m.Write(prefix)
	m.Write(binary.BigEndian.AppendUint64(nil, counter))
	copy(d[:], m.Sum(nil))
	return d
}

// advert is a right one of the golden group, over 192.0.2.1.
func advert(base, skew, demote uint8, counter uint64) carp {
	return carp{
		vhid: 1, base: base, skew: skew, demote: demote, counter: counter,
		digest: digest(goldenKey, prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}), counter),
	}
}

// dualVIPs are the addresses of a dual-stack group, dualAdvert a right one of it.
func dualVIPs() []string { return []string{"192.0.2.1", vip6.String()} }

func dualAdvert(base, skew, demote uint8, counter uint64) carp {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), vip6}
	return carp{
		vhid: 1, base: base, skew: skew, demote: demote, counter: counter,
		digest: digest(goldenKey, prefix(1, addrs), counter),
	}
}

// arp is an ARP packet in its frame.
type arp struct {
	dstMAC, srcMAC [6]byte
	op             uint16
	sha, tha       [6]byte
	sip, tip       string
}

func (a arp) bytes() []byte {
	b := eth(a.dstMAC, a.srcMAC, 0x0806)
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, a.op)
	b = append(append(b, a.sha[:]...), netip.MustParseAddr(a.sip).AsSlice()...)
	return append(append(b, a.tha[:]...), netip.MustParseAddr(a.tip).AsSlice()...)
}

// arpFor asks for a VIP by broadcast.
func arpFor(vip string) arp {
	return arp{dstMAC: broadcastMAC, srcMAC: peerMAC, op: 1, sha: peerMAC, sip: "192.0.2.2", tip: vip}
}

// arpReply is what the virtual router of VHID 1 makes of a request.
func arpReply(f []byte) []byte {
	mac := vmac(1)
	return slices.Concat(f[22:28], mac[:], f[12:20], []byte{0, 2}, mac[:], f[38:42], f[22:32], f[42:])
}

// nd is a neighbour discovery message in its frame.
type nd struct {
	dstMAC, srcMAC [6]byte
	src, dst       netip.Addr
	typ, code      uint8
	hops           uint8
	flags          uint32
	target         netip.Addr
	options        []byte
	badSum         bool
}

func (n nd) bytes() []byte {
	if n.hops == 0 {
		n.hops = 255
	}
	b := binary.BigEndian.AppendUint32([]byte{n.typ, n.code, 0, 0}, n.flags)
	if n.target.IsValid() { // a router solicitation has none
		b = append(b, n.target.AsSlice()...)
	}
	b = append(b, n.options...)
	s := sum16(pseudo6(n.src, n.dst, 58, len(b)), b)
	if n.badSum {
		s ^= 1
	}
	binary.BigEndian.PutUint16(b[2:], s)
	return packet6{srcMAC: n.srcMAC, dstMAC: n.dstMAC, src: n.src, dst: n.dst, hops: n.hops, next: 58, payload: b}.bytes()
}

func llOption(typ uint8, mac [6]byte) []byte { return append([]byte{typ, 1}, mac[:]...) }

// solicitedNode is the group where an address is asked for, and its Ethernet address.
func solicitedNode(a netip.Addr) (netip.Addr, [6]byte) {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}),
		[6]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// ndFor asks for an address by multicast, as hosts do.
func ndFor(a netip.Addr) nd {
	dst, mac := solicitedNode(a)
	return nd{dstMAC: mac, srcMAC: peerMAC, src: peerAddr6, dst: dst, typ: 135, target: a, options: llOption(1, peerMAC)}
}

// naFor is the answer of the virtual router to an asker.
func naFor(target, asker netip.Addr, mac [6]byte, router bool) []byte {
	n := nd{dstMAC: mac, srcMAC: vmac(1), src: target, dst: asker, typ: 136, target: target, flags: 0x60000000, options: llOption(2, vmac(1))}
	if asker.IsUnspecified() {
		n.dstMAC, n.dst, n.flags = [6]byte{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), 0x20000000
	}
	if router {
		n.flags |= 1 << 31
	}
	b := n.bytes()
	b[14] = 0x60 // no traffic class
	return b
}

// vrrp2 and vrrp3 are adverts of a foreign router.
func vrrp2(vrid uint8, n int) []byte {
	b := []byte{0x21, vrid, 100, byte(n), 0, 1, 0, 0}
	for i := range n {
		b = append(b, 192, 0, 2, byte(i))
	}
	b = append(b, make([]byte, 8)...)
	binary.BigEndian.PutUint16(b[6:], sum16(b))
	return b
}

func vrrp3v6(vrid uint8, n int, src, dst netip.Addr) []byte {
	b := []byte{0x31, vrid, 100, byte(n), 0, 100, 0, 0}
	for i := range n {
		b = append(b, netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: byte(i)}).AsSlice()...)
	}
	binary.BigEndian.PutUint16(b[6:], sum16(pseudo6(src, dst, 112, len(b)), b))
	return b
}

func vrrp3(vrid uint8, n int, src, dst netip.Addr) []byte {
	b := []byte{0x31, vrid, 100, byte(n), 0, 100, 0, 0}
	for i := range n {
		b = append(b, 192, 0, 2, byte(i))
	}
	pseudo := append(append(src.AsSlice(), dst.AsSlice()...), 0, 112, byte(len(b)>>8), byte(len(b)))
	binary.BigEndian.PutUint16(b[6:], sum16(pseudo, b))
	return b
}
