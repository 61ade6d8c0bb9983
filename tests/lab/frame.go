// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"
)

// EtherTypes and protocols the filters know.
const (
	EtherIPv4   = 0x0800
	EtherARP    = 0x0806
	EtherIPv6   = 0x86dd
	ProtoICMP   = 1
	ProtoUDP    = 17
	ProtoICMPv6 = 58
	ProtoCARP   = 112
)

// Broadcast is the Ethernet broadcast address.
var Broadcast = [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// Frame is an Ethernet frame seen at a port. It is decoded here by hand, not with the codecs of the daemon under test.
type Frame struct {
	At   time.Time // the kernel's time stamp
	Data []byte
	// FromHost is true for a frame the host sent, false for one that was sent to it.
	FromHost bool
}

// EtherType returns the type of the frame, or 0 if it is too short.
func (f Frame) EtherType() uint16 {
	if len(f.Data) < 14 {
		return 0
	}
	return binary.BigEndian.Uint16(f.Data[12:])
}

// Dst returns the Ethernet destination.
func (f Frame) Dst() [6]byte { return [6]byte(f.Data[0:6]) }

// Src returns the Ethernet source.
func (f Frame) Src() [6]byte { return [6]byte(f.Data[6:12]) }

// ARP is the body of an ARP frame for IPv4 over Ethernet.
type ARP struct {
	Op        uint16
	SenderMAC [6]byte
	SenderIP  netip.Addr
	TargetMAC [6]byte
	TargetIP  netip.Addr
}

// ARP decodes the frame's ARP body.
func (f Frame) ARP() (ARP, bool) {
	if f.EtherType() != EtherARP || len(f.Data) < 42 {
		return ARP{}, false
	}
	b := f.Data[14:]
	return ARP{
		Op: binary.BigEndian.Uint16(b[6:]), SenderMAC: [6]byte(b[8:14]), SenderIP: netip.AddrFrom4([4]byte(b[14:18])),
		TargetMAC: [6]byte(b[18:24]), TargetIP: netip.AddrFrom4([4]byte(b[24:28])),
	}, true
}

// IPv4 gives source, destination, protocol and payload of an IPv4 frame.
func (f Frame) IPv4() (src, dst netip.Addr, proto uint8, payload []byte, ok bool) {
	if f.EtherType() != EtherIPv4 || len(f.Data) < 34 {
		return
	}
	b := f.Data[14:]
	header, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
	if header < 20 || total < header || total > len(b) {
		return
	}
	return netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20])), b[9], b[header:total], true
}

// IPv6 gives source, destination, next header and payload of an IPv6 frame; it knows no extension headers.
func (f Frame) IPv6() (src, dst netip.Addr, proto uint8, payload []byte, ok bool) {
	if f.EtherType() != EtherIPv6 || len(f.Data) < 54 {
		return
	}
	b := f.Data[14:]
	size := int(binary.BigEndian.Uint16(b[4:]))
	if 40+size > len(b) {
		return
	}
	return netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40])), b[6], b[40 : 40+size], true
}

// IP is IPv4 or IPv6, with the TTL or hop limit.
func (f Frame) IP() (src, dst netip.Addr, proto, ttl uint8, payload []byte, ok bool) {
	if src, dst, proto, payload, ok = f.IPv4(); ok {
		return src, dst, proto, f.Data[22], payload, true
	}
	if src, dst, proto, payload, ok = f.IPv6(); ok {
		return src, dst, proto, f.Data[21], payload, true
	}
	return
}

// ICMPv6 types of neighbour discovery.
const (
	NDSolicitation  = 135
	NDAdvertisement = 136
)

// ND is a neighbour solicitation or advertisement.
type ND struct {
	Type                        uint8
	Router, Solicited, Override bool
	Target                      netip.Addr
	LinkAddr                    [6]byte // of the first option of source or target link-layer address; zero without one
}

// ND decodes the frame's neighbour discovery body.
func (f Frame) ND() (ND, bool) {
	_, _, proto, b, ok := f.IPv6()
	if !ok || proto != ProtoICMPv6 || len(b) < 24 || b[0] != NDSolicitation && b[0] != NDAdvertisement {
		return ND{}, false
	}
	n := ND{Type: b[0], Target: netip.AddrFrom16([16]byte(b[8:24]))}
	if n.Type == NDAdvertisement {
		n.Router, n.Solicited, n.Override = b[4]&0x80 != 0, b[4]&0x40 != 0, b[4]&0x20 != 0
	}
	for o := b[24:]; len(o) >= 8 && o[1] > 0 && int(o[1])*8 <= len(o); o = o[int(o[1])*8:] {
		if o[0] == 1 || o[0] == 2 {
			n.LinkAddr = [6]byte(o[2:8])
			break
		}
	}
	return n, true
}

// Advert is what a CARP advert on the wire says.
type Advert struct {
	Src, Dst                       netip.Addr
	VHID, AdvBase, AdvSkew, Demote uint8
	Counter                        uint64
	TTL                            uint8
	Beat                           time.Duration // that a trailer states; 0: none
}

// Goodbye reports whether the advert is a goodbye.
func (a Advert) Goodbye() bool { return a.AdvBase == 255 && a.AdvSkew == 255 }

// Advert decodes a CARP advert, with a trailer or without one; it checks nothing.
func (f Frame) Advert() (Advert, bool) {
	src, dst, proto, ttl, b, ok := f.IP()
	if !ok || proto != ProtoCARP || len(b) != 36 && len(b) != 56 || b[0] != 0x21 {
		return Advert{}, false
	}
	var beat time.Duration
	if len(b) == 56 {
		beat = time.Duration(binary.BigEndian.Uint16(b[38:])) * time.Microsecond
	}
	return Advert{
		Beat:    beat,
		Src:     src,
		Dst:     dst,
		VHID:    b[1],
		AdvSkew: b[2],
		Demote:  b[4],
		AdvBase: b[5],
		Counter: binary.BigEndian.Uint64(b[8:]),
		TTL:     ttl,
	}, true
}

// SpeaksFor reports whether the frame speaks for a virtual IP: it comes from the virtual MAC, or its IP source, ARP
// sender or advertised neighbour is the virtual IP. An advert speaks too: it comes from the virtual MAC.
func (f Frame) SpeaksFor(vip netip.Addr, vmac [6]byte) bool {
	if f.Src() == vmac {
		return true
	}
	if a, ok := f.ARP(); ok {
		return a.SenderIP == vip || a.SenderMAC == vmac
	}
	if n, ok := f.ND(); ok && n.Type == NDAdvertisement && (n.Target == vip || n.LinkAddr == vmac) {
		return true
	}
	src, _, _, _, _, ok := f.IP()
	return ok && src == vip
}

// String returns one line for a failure message.
func (f Frame) String() string {
	if len(f.Data) < 14 {
		return fmt.Sprintf("%d bytes", len(f.Data))
	}
	src, dst := f.Src(), f.Dst()
	head := fmt.Sprintf("%s %v > %v", f.At.Format("15:04:05.000000"), net.HardwareAddr(src[:]), net.HardwareAddr(dst[:]))
	if a, ok := f.ARP(); ok {
		return fmt.Sprintf("%s ARP op %d %v is at %v, target %v", head, a.Op, a.SenderIP, net.HardwareAddr(a.SenderMAC[:]),
			a.TargetIP)
	}
	if a, ok := f.Advert(); ok {
		return fmt.Sprintf("%s advert from %v vhid %d base %d skew %d demote %d", head, a.Src, a.VHID, a.AdvBase, a.AdvSkew,
			a.Demote)
	}
	if n, ok := f.ND(); ok {
		return fmt.Sprintf("%s ND type %d of %v at %v", head, n.Type, n.Target, net.HardwareAddr(n.LinkAddr[:]))
	}
	if src, dst, proto, _, _, ok := f.IP(); ok {
		return fmt.Sprintf("%s IP %v > %v proto %d", head, src, dst, proto)
	}
	return fmt.Sprintf("%s type %#04x", head, f.EtherType())
}

// Frames is a list with filters.
type Frames []Frame

// Where returns the frames for which keep is true.
func (fs Frames) Where(keep func(Frame) bool) Frames {
	var out Frames
	for _, f := range fs {
		if keep(f) {
			out = append(out, f)
		}
	}
	return out
}

// After returns the frames stamped later than t.
func (fs Frames) After(t time.Time) Frames {
	return fs.Where(func(f Frame) bool { return f.At.After(t) })
}

// Before returns the frames stamped earlier than t.
func (fs Frames) Before(t time.Time) Frames {
	return fs.Where(func(f Frame) bool { return f.At.Before(t) })
}

// FromHost returns what the host at the port sent.
func (fs Frames) FromHost() Frames { return fs.Where(func(f Frame) bool { return f.FromHost }) }

// ToHost returns what was sent to the host at the port.
func (fs Frames) ToHost() Frames { return fs.Where(func(f Frame) bool { return !f.FromHost }) }

// Speaking returns the frames that speak for the virtual IP.
func (fs Frames) Speaking(vip netip.Addr, vmac [6]byte) Frames {
	return fs.Where(func(f Frame) bool { return f.SpeaksFor(vip, vmac) })
}

// Adverts returns the CARP adverts of a VHID.
func (fs Frames) Adverts(vhid uint8) Frames {
	return fs.Where(func(f Frame) bool { a, ok := f.Advert(); return ok && a.VHID == vhid })
}

// UnsolicitedNA returns the unsolicited neighbour advertisements of an address.
func (fs Frames) UnsolicitedNA(ip netip.Addr) Frames {
	return fs.Where(func(f Frame) bool {
		n, ok := f.ND()
		return ok && n.Type == NDAdvertisement && !n.Solicited && n.Target == ip
	})
}

// GratuitousARP returns the gratuitous ARP frames for an address.
func (fs Frames) GratuitousARP(ip netip.Addr) Frames {
	return fs.Where(func(f Frame) bool { a, ok := f.ARP(); return ok && a.SenderIP == ip && a.TargetIP == ip })
}

// String lists at most ten frames.
func (fs Frames) String() string {
	var b strings.Builder
	for i, f := range fs {
		if i == 10 {
			fmt.Fprintf(&b, "  and %d more\n", len(fs)-i)
			break
		}
		fmt.Fprintf(&b, "  %v\n", f)
	}
	return b.String()
}

// VirtualMAC is 00:00:5e:00:01:VHID.
func VirtualMAC(vhid uint8) [6]byte { return [6]byte{0, 0, 0x5e, 0, 1, vhid} }
