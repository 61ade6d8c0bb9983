// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"crypto/sha256"
	"encoding/binary"
	"net/netip"
	"slices"
)

// HelloTag returns the tag of a hello from src to dst. It ignores the tag in the payload.
func (k TrailerKey) HelloTag(src, dst netip.Addr, payload []byte) uint64 {
	var room [32 + HelloMax]byte
	from, to := src.As16(), dst.As16()
	m := append(append(room[:0], from[:]...), to[:]...)
	m = append(append(m, payload[:helloTag]...), payload[HelloBody:]...)
	return sipHash(k, m)
}

// SignHello puts the tag into the payload of a hello from src to dst.
func (k TrailerKey) SignHello(src, dst netip.Addr, payload []byte) {
	binary.LittleEndian.PutUint64(payload[helloTag:], k.HelloTag(src, dst, payload))
}

// Fingerprint returns a number that differs between keys and reveals nothing of them.
func (k TrailerKey) Fingerprint() uint32 {
	var b [8]byte
	binary.LittleEndian.PutUint64(b[:], sipHash(k, []byte("key")))
	return binary.BigEndian.Uint32(b[:])
}

// ListFingerprint returns a number that differs between lists of addresses. Their order and repetitions are ignored, as
// in the digest of an advertisement.
func ListFingerprint(addrs []netip.Addr) uint32 {
	list := make([][16]byte, 0, len(addrs))
	for _, a := range addrs {
		list = append(list, a.As16())
	}
	slices.SortFunc(list, func(a, b [16]byte) int { return slices.Compare(a[:], b[:]) })
	h := sha256.New()
	for _, a := range slices.Compact(list) {
		h.Write(a[:])
	}
	return binary.BigEndian.Uint32(h.Sum(nil))
}

// HelloFrame is a whole Ethernet frame with a hello. Its source MAC is the interface's own: switches would learn the
// virtual one at the wrong port.
type HelloFrame struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr // of one family
	DSCP           uint8      // 0..63
	Hello          Hello
}

// AppendBinary appends the frame to b, with the tag under k. Errors: ErrFamily, ErrRange.
func (f HelloFrame) AppendBinary(b []byte, k TrailerKey) ([]byte, error) {
	payload, err := f.Hello.AppendBinary(make([]byte, 0, HelloMax))
	if err != nil {
		return b, err
	}
	k.SignHello(f.Src, f.Dst, payload)
	e := envelope{srcMAC: f.SrcMAC, dstMAC: f.DstMAC, src: f.Src, dst: f.Dst, dscp: f.DSCP, ttl: 255}
	if b, err = e.append(b, len(payload)); err != nil {
		return b, err
	}
	return append(b, payload...), nil
}

// ParseHelloFrame parses an untagged frame with a hello, without its tag.
func ParseHelloFrame(b []byte) (HelloFrame, error) {
	e, payload, err := parseEnvelope(b)
	if err != nil {
		return HelloFrame{}, err
	}
	h, err := ParseHello(payload)
	if err != nil {
		return HelloFrame{}, err
	}
	return HelloFrame{SrcMAC: e.srcMAC, DstMAC: e.dstMAC, Src: e.src, Dst: e.dst, DSCP: e.dscp, Hello: h}, nil
}
