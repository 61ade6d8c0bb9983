// SPDX-License-Identifier: Apache-2.0

package model

import (
	"crypto/hmac"
	"crypto/sha1" //nolint:gosec // CARP
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"slices"

	"vipd/loader/object"
)

// Frames in wire format, built here and not by the code under test.

var (
	carpGroup    = netip.MustParseAddr("224.0.0.18")
	carpGroupMAC = [6]byte{1, 0, 0x5e, 0, 0, 0x12}
	// BroadcastMAC is the Ethernet broadcast address.
	BroadcastMAC = [6]byte{255, 255, 255, 255, 255, 255}

	carpGroup6    = netip.MustParseAddr("ff02::12")
	carpGroup6MAC = [6]byte{0x33, 0x33, 0, 0, 0, 0x12}
	ownAddr6      = netip.MustParseAddr("fe80::9")
	// PeerAddr6 is the peer's.
	PeerAddr6 = netip.MustParseAddr("fe80::2")
	// VIP6 is the IPv6 address of the dual-stack group.
	VIP6 = netip.MustParseAddr("2001:db8::100")
)

// VMAC returns the virtual MAC of a group.
func VMAC(vhid uint8) [6]byte { return [6]byte{0, 0, 0x5e, 0, 1, vhid} }

// prefix returns the constant part of the hashed message.
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

// Packet is an IPv4 packet in its frame. Its zero fields get sensible values.
type Packet struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr
	TTL, Proto     uint8
	frag           uint16
	options        []byte
	Payload        []byte
	totalDelta     int  // lies about the total length
	badSum         bool // of the IP header
}

// Bytes returns the frame.
func (p Packet) Bytes() []byte {
	if p.SrcMAC == ([6]byte{}) {
		p.SrcMAC = VMAC(1)
	}
	if p.DstMAC == ([6]byte{}) {
		p.DstMAC = carpGroupMAC
	}
	if !p.Src.IsValid() {
		p.Src = PeerAddr
	}
	if !p.Dst.IsValid() {
		p.Dst = carpGroup
	}
	if p.TTL == 0 {
		p.TTL = 255
	}
	if p.Proto == 0 {
		p.Proto = 112
	}
	ip := []byte{byte(0x45 + len(p.options)/4), 0xe0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(20+len(p.options)+len(p.Payload)+p.totalDelta))
	ip = binary.BigEndian.AppendUint16(ip, 0)
	ip = binary.BigEndian.AppendUint16(ip, 0x4000|p.frag)
	ip = append(ip, p.TTL, p.Proto, 0, 0)
	ip = append(append(append(ip, p.Src.AsSlice()...), p.Dst.AsSlice()...), p.options...)
	s := sum16(ip)
	if p.badSum {
		s ^= 0x0100
	}
	binary.BigEndian.PutUint16(ip[10:], s)
	return append(append(eth(p.DstMAC, p.SrcMAC, 0x0800), ip...), p.Payload...)
}

// Packet6 is an IPv6 packet in its frame. Its zero fields get sensible values.
type Packet6 struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr
	Hops, Next     uint8
	Payload        []byte
	lengthDelta    int // lies about the payload length
}

// Bytes returns the frame.
func (p Packet6) Bytes() []byte {
	if p.SrcMAC == ([6]byte{}) {
		p.SrcMAC = VMAC(1)
	}
	if p.DstMAC == ([6]byte{}) {
		p.DstMAC = carpGroup6MAC
	}
	if !p.Src.IsValid() {
		p.Src = PeerAddr6
	}
	if !p.Dst.IsValid() {
		p.Dst = carpGroup6
	}
	if p.Hops == 0 {
		p.Hops = 255
	}
	if p.Next == 0 {
		p.Next = 112
	}
	ip := []byte{0x6e, 0, 0, 0}
	ip = binary.BigEndian.AppendUint16(ip, uint16(len(p.Payload)+p.lengthDelta))
	ip = append(ip, p.Next, p.Hops)
	ip = append(append(ip, p.Src.AsSlice()...), p.Dst.AsSlice()...)
	return append(append(eth(p.DstMAC, p.SrcMAC, 0x86dd), ip...), p.Payload...)
}

// pseudo6 returns the pseudo-header of a payload over IPv6.
func pseudo6(src, dst netip.Addr, next uint8, n int) []byte {
	b := append(src.AsSlice(), dst.AsSlice()...)
	b = binary.BigEndian.AppendUint32(b, uint32(n))
	return append(b, 0, 0, 0, next)
}

// carp is the 36-byte header, with a trailer if there is one.
type carp struct {
	version, vhid, skew, authlen, demote, base uint8
	counter                                    uint64
	digest                                     [20]byte
	trailer                                    []byte
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
	return append(b, c.trailer...)
}

func digest(key, prefix []byte, counter uint64) (d [20]byte) {
	m := hmac.New(sha1.New, key)
	m.Write(prefix)
	m.Write(binary.BigEndian.AppendUint64(nil, counter))
	copy(d[:], m.Sum(nil))
	return d
}

// Advert returns a correct advert of the golden group, over 192.0.2.1.
//
//nolint:revive // other packages only pass it on
func Advert(base, skew, demote uint8, counter uint64) carp {
	return carp{
		vhid: 1, base: base, skew: skew, demote: demote, counter: counter,
		digest: digest(goldenKey, prefix(1, []netip.Addr{netip.MustParseAddr("192.0.2.1")}), counter),
	}
}

// DualVIPs returns the addresses of a dual-stack group.
func DualVIPs() []string { return []string{"192.0.2.1", VIP6.String()} }

// DualAdvert returns a correct advert of that group.
//
//nolint:revive // other packages only pass it on
func DualAdvert(base, skew, demote uint8, counter uint64) carp {
	addrs := []netip.Addr{netip.MustParseAddr("192.0.2.1"), VIP6}
	return carp{
		vhid: 1, base: base, skew: skew, demote: demote, counter: counter,
		digest: digest(goldenKey, prefix(1, addrs), counter),
	}
}

// ARP is an ARP packet in its frame.
type ARP struct {
	DstMAC, SrcMAC [6]byte
	Op             uint16
	SHA, THA       [6]byte
	SIP, TIP       string
}

// Bytes returns the frame.
func (a ARP) Bytes() []byte {
	b := eth(a.DstMAC, a.SrcMAC, 0x0806)
	b = append(b, 0, 1, 8, 0, 6, 4)
	b = binary.BigEndian.AppendUint16(b, a.Op)
	b = append(append(b, a.SHA[:]...), netip.MustParseAddr(a.SIP).AsSlice()...)
	return append(append(b, a.THA[:]...), netip.MustParseAddr(a.TIP).AsSlice()...)
}

// ARPFor returns a broadcast request for a VIP.
func ARPFor(vip string) ARP {
	return ARP{DstMAC: BroadcastMAC, SrcMAC: PeerMAC, Op: 1, SHA: PeerMAC, SIP: "192.0.2.2", TIP: vip}
}

// arpReply returns the answer of the virtual router of VHID 1 to a request.
func arpReply(f []byte) []byte {
	mac := VMAC(1)
	return slices.Concat(f[22:28], mac[:], f[12:20], []byte{0, 2}, mac[:], f[38:42], f[22:32], f[42:])
}

// ND is a neighbour discovery message in its frame.
type ND struct {
	DstMAC, SrcMAC [6]byte
	Src, Dst       netip.Addr
	Type, code     uint8
	hops           uint8
	flags          uint32
	Target         netip.Addr
	Options        []byte
	badSum         bool
}

// Bytes returns the frame.
func (n ND) Bytes() []byte {
	if n.hops == 0 {
		n.hops = 255
	}
	b := binary.BigEndian.AppendUint32([]byte{n.Type, n.code, 0, 0}, n.flags)
	if n.Target.IsValid() { // a router solicitation has none
		b = append(b, n.Target.AsSlice()...)
	}
	b = append(b, n.Options...)
	s := sum16(pseudo6(n.Src, n.Dst, 58, len(b)), b)
	if n.badSum {
		s ^= 1
	}
	binary.BigEndian.PutUint16(b[2:], s)
	return Packet6{SrcMAC: n.SrcMAC, DstMAC: n.DstMAC, Src: n.Src, Dst: n.Dst, Hops: n.hops, Next: 58, Payload: b}.Bytes()
}

// LLOption returns a link-layer option.
func LLOption(typ uint8, mac [6]byte) []byte { return append([]byte{typ, 1}, mac[:]...) }

// solicitedNode returns the group that is asked for an address, and its Ethernet address.
func solicitedNode(a netip.Addr) (netip.Addr, [6]byte) {
	b := a.As16()
	return netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: b[13], 14: b[14], 15: b[15]}),
		[6]byte{0x33, 0x33, 0xff, b[13], b[14], b[15]}
}

// NDFor returns a multicast solicitation for an address, as hosts send it.
func NDFor(a netip.Addr) ND {
	dst, mac := solicitedNode(a)
	return ND{DstMAC: mac, SrcMAC: PeerMAC, Src: PeerAddr6, Dst: dst, Type: 135, Target: a, Options: LLOption(1, PeerMAC)}
}

// NAFor returns the answer of the virtual router.
func NAFor(target, asker netip.Addr, mac [6]byte, router bool) []byte {
	n := ND{
		DstMAC:  mac,
		SrcMAC:  VMAC(1),
		Src:     target,
		Dst:     asker,
		Type:    136,
		Target:  target,
		flags:   0x60000000,
		Options: LLOption(2, VMAC(1)),
	}
	if asker.IsUnspecified() {
		n.DstMAC, n.Dst, n.flags = [6]byte{0x33, 0x33, 0, 0, 0, 1}, netip.MustParseAddr("ff02::1"), 0x20000000
	}
	if router {
		n.flags |= 1 << 31
	}
	b := n.Bytes()
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

// vrrp3Plain has no pseudo-header in its checksum (RFC 9568 over IPv4).
func vrrp3Plain(vrid uint8, n int) []byte {
	b := vrrp3(vrid, n, PeerAddr, carpGroup)
	b[6], b[7] = 0, 0
	binary.BigEndian.PutUint16(b[6:], sum16(b))
	return b
}

func noPseudo6() []byte {
	b := vrrp3v6(1, 2, PeerAddr6, carpGroup6)
	b[6], b[7] = 0, 0
	binary.BigEndian.PutUint16(b[6:], sum16(b))
	return b
}

// FrameOf returns an advert over IPv4 in its frame.
func FrameOf(c carp) []byte { return Packet{Payload: c.bytes()}.Bytes() }

// UDP is a datagram without a checksum.
func UDP(n int) []byte {
	return append([]byte{0x12, 0x34, 0, 9, 0, byte(8 + n), 0, 0}, make([]byte, n)...)
}

// VLANKey returns the key of a VLAN, in the format of testVLANs.
func VLANKey(ifindex int, tags []uint32) object.BPFVlanKey {
	k := object.BPFVlanKey{Ifindex: uint32(ifindex)}
	k.Outer, k.OuterProtoBe = uint16(tags[0]), BigEndian16(uint16(tags[0]>>16))
	if len(tags) > 1 {
		k.Inner, k.InnerProtoBe = uint16(tags[1]), BigEndian16(uint16(tags[1]>>16))
	}
	return k
}

// withTags puts tags (protocol<<16 | priority and id) into a frame, the outer one first.
func withTags(f []byte, tags ...uint32) []byte {
	var b []byte
	for _, t := range tags {
		b = binary.BigEndian.AppendUint32(b, t)
	}
	return slices.Concat(f[:12], b, f[12:])
}

// BigEndian16 returns a packet field as a number of this machine.
func BigEndian16(v uint16) uint16 {
	return binary.NativeEndian.Uint16(binary.BigEndian.AppendUint16(nil, v))
}

func damaged(c carp) carp {
	c.digest[0] ^= 1
	return c
}

func dadFor(a netip.Addr) ND {
	n := NDFor(a)
	n.Src, n.Options = netip.IPv6Unspecified(), nil
	return n
}

// withNonce returns the message as enhanced duplicate address detection sends it (RFC 7527).
func withNonce(n ND) ND {
	n.Options = append(slices.Clip(n.Options), 14, 1, 1, 2, 3, 4, 5, 6)
	return n
}

func unicastND(a netip.Addr) ND {
	n := NDFor(a)
	n.Dst, n.DstMAC, n.Options = a, VMAC(1), nil
	return n
}
