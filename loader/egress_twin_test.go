// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"slices"
)

// twinEgress is what the design says of a frame on its way out, for the dual-stack group without tags. What becomes of the
// options of neighbour discovery is TestEgressND's: known is false then, and only the verdict is told.
func twinEgress(f []byte, answering bool) (verdict uint32, frame []byte, known bool) {
	silent := func(speaks bool) uint32 {
		if speaks && !answering {
			return tcShot
		}
		return tcUnspec
	}
	switch binary.BigEndian.Uint16(f[12:]) {
	case 0x0800:
		return twinEgress4(f, answering, silent), f, true
	case 0x86dd:
		nd := len(f) >= 62 && f[20] == 58 && f[54] >= 133 && f[54] <= 136
		return twinEgress6(f, answering, silent), f, !nd
	case 0x0806:
		if len(f) < 42 || !bytes.Equal(f[14:20], []byte{0, 1, 8, 0, 6, 4}) || !bytes.Equal(f[28:32], []byte{192, 0, 2, 1}) {
			break
		}
		if !answering {
			return tcShot, f, true
		}
		mac := vmac(1)
		return tcUnspec, slices.Concat(f[:6], mac[:], f[12:22], mac[:], f[28:]), true
	}
	return tcUnspec, f, true
}

// ownAdvert: of this group as only this host can have made it; a goodbye may always leave.
func ownAdvert(c []byte) (own, goodbye bool) {
	return c[0]>>4 == 2 && c[1] == 1, c[5] == 255 && c[2] == 255
}

func twinEgress4(f []byte, answering bool, silent func(bool) uint32) uint32 {
	if len(f) < 34 {
		return tcUnspec
	}
	hl := 4 * int(f[14]&15)
	if f[23] == 112 && hl >= 20 && f[22] == 255 && int(binary.BigEndian.Uint16(f[16:])) == hl+36 &&
		binary.BigEndian.Uint16(f[20:])&0x3fff == 0 && len(f) >= 14+hl+36 {
		if own, goodbye := ownAdvert(f[14+hl:]); own && !goodbye && !answering {
			return tcShot
		}
	}
	return silent(bytes.Equal(f[26:30], []byte{192, 0, 2, 1}))
}

func twinEgress6(f []byte, answering bool, silent func(bool) uint32) uint32 {
	if len(f) < 54 {
		return tcUnspec
	}
	from := netip.AddrFrom16([16]byte(f[22:38])) == vip6
	switch {
	case f[20] == 112 && len(f) >= 90 && f[21] == 255 && binary.BigEndian.Uint16(f[18:]) == 36:
		if own, goodbye := ownAdvert(f[54:]); own {
			if goodbye || answering {
				return tcUnspec
			}
			return tcShot
		}
	case f[20] == 58 && len(f) >= 78 && f[54] == 136:
		return silent(from || netip.AddrFrom16([16]byte(f[62:78])) == vip6)
	}
	return silent(from)
}
