// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// outcome is what the program does with a frame, beside counting it.
type outcome struct {
	verdict uint32
	reason  string // why an advert was refused; "received" if it was not; else ""
	frame   []byte // as it leaves the program
}

// compare runs a frame and holds verdict, frame, counters of adverts and number of
// events against the twin.
func (h *harness) compare(name string, frame []byte, answering bool) {
	h.t.Helper()
	before := h.counters()
	verdict, out := h.run(frame)
	w := twin(frame, answering)
	if h.ingress && isTag(frame[12:]) { // a tag is no part of the frame there, unless there are several
		w = outcome{verdict: xdpPass, frame: frame}
	}
	if verdict != w.verdict {
		h.t.Errorf("%s, answering %v: verdict %d, want %d\n%x", name, answering, verdict, w.verdict, frame)
	}
	if !bytes.Equal(out, w.frame) {
		h.t.Errorf("%s, answering %v: frame\n%x became\n%x, want\n%x", name, answering, frame, out, w.frame)
	}
	reason := ""
	rose := since(before, h.counters())
	h.accounted(name, verdict == xdpDrop, rose)
	for _, r := range append(RejectReasons(), "received") {
		if rose[r] > 0 {
			reason += r
		}
	}
	if reason != w.reason {
		h.t.Errorf("%s, answering %v: counted %q, want %q\n%x", name, answering, reason, w.reason, frame)
	}
	if n := len(h.drain()); (n == 1) != (w.reason == "received") {
		h.t.Errorf("%s, answering %v: %d events after %q\n%x", name, answering, n, w.reason, frame)
	}
}

// rules is what a group may be told beside its keys and addresses, and what its twin remembers.
type rules struct {
	ttlAny, requireSeal bool
	seqs                map[[16]byte]uint32 // newest sealed sequence of a source; nil: none is remembered
}

// twin is that of the group that is told nothing.
func twin(f []byte, answering bool) outcome { return rules{}.twin(f, answering) }

// twin is what design and protocol say of a frame, for the dual-stack group: without
// tags, or with those of testVLANs.
func (r rules) twin(f []byte, answering bool) outcome {
	tags, ids := tagsOf(f)
	known := slices.ContainsFunc(testVLANs(), func(v []uint32) bool { return slices.Equal(v, ids) })
	if tags == nil || len(tags) > 0 && !known && len(ids) > 0 {
		return outcome{verdict: xdpPass, frame: f}
	}
	o := r.twinUntagged(slices.Concat(f[:12], f[12+len(tags):]), answering)
	o.frame = slices.Concat(o.frame[:12], tags, o.frame[12:])
	return o
}

// testVLANs are those on which the group is, too: protocol and id of each tag.
func testVLANs() [][]uint32 {
	return [][]uint32{{0x8100<<16 | 100}, {0x88a8<<16 | 200, 0x8100<<16 | 100}}
}

// tagsOf gives the bytes of the tags, nil if they are cut off or too many, and what they
// say: protocol and id, unless the id is 0.
func tagsOf(f []byte) (tags []byte, ids []uint32) {
	rest := f[12:]
	for isTag(rest) {
		if len(rest) < 6 || len(tags) == 8 {
			return nil, nil
		}
		if id := binary.BigEndian.Uint16(rest[2:]) & 0xfff; id != 0 {
			ids = append(ids, uint32(binary.BigEndian.Uint16(rest))<<16|uint32(id))
		}
		tags, rest = append(tags, rest[:4]...), rest[4:]
	}
	return append([]byte{}, tags...), ids
}

func isTag(b []byte) bool {
	p := binary.BigEndian.Uint16(b)
	return p == 0x8100 || p == 0x88a8
}

func (r rules) twinUntagged(f []byte, answering bool) outcome {
	o := outcome{frame: f}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0806:
		o = twinARP(f, answering)
	case 0x0800:
		o.verdict, o.reason = r.twinIPv4(f)
	case 0x86dd:
		if o = twinND(f, answering); o.verdict == 0 {
			o.verdict, o.reason = r.twinIPv6(f)
		}
	}
	if o.verdict != 0 {
		return o
	}
	o.verdict = xdpPass
	if mac := vmac(1); bytes.Equal(f[:6], mac[:]) {
		if !answering {
			o.verdict = xdpDrop
		} else {
			o.frame = slices.Concat(nicMAC[:], f[6:])
		}
	}
	return o
}

func reaches(f []byte) bool {
	mac := vmac(1)
	return f[0]&1 != 0 || bytes.Equal(f[:6], nicMAC[:]) || bytes.Equal(f[:6], mac[:])
}

func twinARP(f []byte, answering bool) outcome {
	o := outcome{frame: f}
	vip, mac := []byte{192, 0, 2, 1}, vmac(1)
	if len(f) < 42 || !bytes.Equal(f[14:22], []byte{0, 1, 8, 0, 6, 4, 0, 1}) || !bytes.Equal(f[38:42], vip) || !reaches(f) {
		return o
	}
	switch {
	case bytes.Equal(f[28:32], vip):
		o.verdict = xdpPass
	case !answering:
		o.verdict = xdpDrop
	case f[22]&1 != 0:
		o.verdict = xdpPass
	default:
		o.verdict = xdpTX
		o.frame = slices.Concat(f[22:28], mac[:], f[12:20], []byte{0, 2}, mac[:], vip, f[22:32], f[42:])
	}
	return o
}

func twinND(f []byte, answering bool) outcome {
	o := outcome{frame: f}
	if len(f) < 78 || f[14]>>4 != 6 || f[20] != 58 || f[54] != 135 || !bytes.Equal(f[62:78], vip6.AsSlice()) || !reaches(f) {
		return o
	}
	src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
	if !dst.IsMulticast() && dst != vip6 || src.IsMulticast() || src == vip6 {
		return o
	}
	plen := int(binary.BigEndian.Uint16(f[18:]))
	if f[21] != 255 || f[55] != 0 || plen < 24 || plen > 1460 || 54+plen > len(f) || sum16(pseudo6(src, dst, 58, plen), f[54:54+plen]) != 0 {
		return o
	}
	mac, found := [6]byte(f[6:12]), false
	opts := f[78 : 54+plen]
	for range 8 {
		if len(opts) == 0 {
			break
		}
		if len(opts) < 2 || opts[1] == 0 || len(opts) < 8*int(opts[1]) {
			return o
		}
		if opts[0] == 1 && opts[1] == 1 && !found {
			mac, found = [6]byte(opts[2:8]), true
		}
		opts = opts[8*int(opts[1]):]
	}
	if len(opts) > 0 {
		return o
	}
	if group, _ := solicitedNode(vip6); src.IsUnspecified() && (found || dst != group) {
		return o
	}
	switch {
	case !answering:
		o.verdict = xdpDrop
	case mac[0]&1 == 0:
		o.verdict, o.frame = xdpTX, naFor(vip6, src, mac, false)
	}
	return o
}

func (r rules) twinIPv4(f []byte) (uint32, string) {
	if len(f) < 34 || f[14]>>4 != 4 || f[23] != 112 || binary.BigEndian.Uint16(f[20:])&0x3fff != 0 {
		return 0, ""
	}
	hl, total := int(f[14]&15)*4, int(binary.BigEndian.Uint16(f[16:]))
	dst := netip.AddrFrom4([4]byte(f[30:34]))
	if hl < 20 || total < hl || dst != carpGroup && f[30] >= 224 {
		return 0, ""
	}
	return twinAdvert{
		rules: r, frame: f, p: f[min(14+hl, len(f)):], src: netip.AddrFrom4([4]byte(f[26:30])), plen: total - hl, ttl: f[22], group: dst == carpGroup, own: dst == ownAddr,
		vrrp2: true, vrrp3: 4, pseudo: slices.Concat(f[26:34], []byte{0, 112, byte((total - hl) >> 8), byte(total - hl)}),
		sumOK: func() bool { return 14+hl <= len(f) && sum16(f[14:14+hl]) == 0 },
	}.judge()
}

func (r rules) twinIPv6(f []byte) (uint32, string) {
	if len(f) < 54 || f[14]>>4 != 6 || f[20] != 112 {
		return 0, ""
	}
	src, dst := netip.AddrFrom16([16]byte(f[22:38])), netip.AddrFrom16([16]byte(f[38:54]))
	if dst.IsMulticast() && dst != carpGroup6 {
		return 0, ""
	}
	plen := int(binary.BigEndian.Uint16(f[18:]))
	return twinAdvert{
		rules: r, frame: f, p: f[54:], src: src, plen: plen, ttl: f[21], group: dst == carpGroup6, own: dst == ownAddr6,
		vrrp3: 16, pseudo: pseudo6(src, dst, 112, plen), sumOK: func() bool { return true },
	}.judge()
}

type twinAdvert struct {
	rules
	frame, p   []byte
	src        netip.Addr
	plen       int
	ttl        uint8
	group, own bool
	vrrp2      bool
	vrrp3      int // bytes an address
	pseudo     []byte
	sumOK      func() bool
}

func (a twinAdvert) judge() (uint32, string) {
	if a.plen < 2 || len(a.p) < 2 || a.p[1] != 1 || !reaches(a.frame) {
		return 0, ""
	}
	whole := len(a.p) >= a.plen
	if whole {
		a.p = a.p[:a.plen]
	}
	if whole && a.isVRRP() {
		return 0, ""
	}
	reason := a.refused(whole)
	switch {
	case reason == "" && a.own:
		return xdpDrop, "received"
	case reason == "":
		return xdpPass, "received"
	case a.group || a.own:
		return xdpDrop, reason
	}
	return 0, reason
}

func (a twinAdvert) refused(whole bool) string {
	p := a.p
	switch {
	case !whole || len(p) < 8:
		return "bad_length"
	case p[0]>>4 != 2:
		return "bad_version"
	case len(p) < 36:
		return "bad_length"
	case a.ttl != 255 && (!a.ttlAny || a.group):
		return "bad_ttl"
	case !a.sumOK() || sum16(p[:36]) != 0 || len(p) > 36 && (len(p) > 1460 || sum16(p) != 0):
		return "bad_checksum"
	}
	counter := binary.BigEndian.Uint64(p[8:])
	want := dualAdvert(0, 0, 0, counter).digest
	if !bytes.Equal(p[16:36], want[:]) {
		return "bad_hmac"
	}
	recognised, bound := isSealed(sealKey(), counter, a.src, Priority{p[5], p[2], p[4]})
	if recognised && !bound || !recognised && a.requireSeal || recognised && !a.rises(uint32(counter>>32)) {
		return "replay"
	}
	return ""
}

func (a twinAdvert) isVRRP() bool {
	p := a.p
	if len(p) < 8 || len(p) > 1460 {
		return false
	}
	n := int(p[3])
	switch p[0] >> 4 {
	case 2:
		return a.vrrp2 && len(p) == 16+4*n && (len(p) != 36 || n != 7) && sum16(p) == 0
	case 3:
		return len(p) == 8+a.vrrp3*n && sum16(a.pseudo, p) == 0
	}
	return false
}

// rises: a sealed advert of a source whose earlier ones are known has to be newer. Who has no address is taken each time.
func (a twinAdvert) rises(seq uint32) bool {
	if a.seqs == nil {
		return true
	}
	last, known := a.seqs[a.src.As16()]
	if known && !a.src.IsUnspecified() && !a.src.Unmap().IsUnspecified() && int32(seq-last) <= 0 {
		return false
	}
	a.seqs[a.src.As16()] = seq
	return true
}
