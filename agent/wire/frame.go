// SPDX-License-Identifier: Apache-2.0

package wire

import "net/netip"

// AdvertFrame is a whole Ethernet frame with a CARP advertisement over IPv4 or IPv6.
type AdvertFrame struct {
	SrcMAC, DstMAC [6]byte
	Src, Dst       netip.Addr // of one family
	DSCP           uint8      // 0..63; the ECN bits are sent as 0 and not looked at
	TTL            uint8      // IPv6: the hop limit
	ID             uint16     // IPv4 only
	Advert         Advert
}

// AppendBinary appends the frame to b: 70 bytes over IPv4 (DF set, no options), 90 over
// IPv6 (flow label 0). Errors: ErrFamily, ErrRange.
func (f AdvertFrame) AppendBinary(b []byte) ([]byte, error) {
	e := envelope{
		srcMAC: f.SrcMAC, dstMAC: f.DstMAC, src: f.Src, dst: f.Dst,
		dscp: f.DSCP, ttl: f.TTL, id: f.ID,
	}
	b, err := e.append(b, AdvertSize)
	if err != nil {
		return b, err
	}
	return f.Advert.AppendBinary(b)
}

// ParseAdvertFrame reads an untagged frame. IPv4 options and Ethernet padding are
// accepted, fragments are not. TTL, destination and digest are the caller's to judge:
// what is right for them depends on the group.
func ParseAdvertFrame(b []byte) (AdvertFrame, error) {
	e, payload, err := parseEnvelope(b)
	if err != nil {
		return AdvertFrame{}, err
	}
	a, err := ParseAdvert(payload)
	if err != nil {
		return AdvertFrame{}, err
	}
	return AdvertFrame{
		SrcMAC: e.srcMAC, DstMAC: e.dstMAC, Src: e.src, Dst: e.dst,
		DSCP: e.dscp, TTL: e.ttl, ID: e.id, Advert: a,
	}, nil
}
