// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"net/netip"

	"vipd/loader/object"
)

// maxClaims bounds the claims waiting for a caller that never calls [Tables.Claims].
const maxClaims = 1 << 14

// Claim is an ARP or neighbour discovery message that gives an address of a group to
// another MAC than the virtual one. See bpf/claim.h for how often a flood is reported.
type Claim struct {
	// At is when the kernel received it, CLOCK_BOOTTIME ns.
	At      int64
	IfIndex int
	VHID    uint8
	Slot    uint32
	Addr    netip.Addr
	// MAC is the one in the message, Source the source of the frame.
	MAC, Source [6]byte
	// Count is the number of claims of the address since the last one reported.
	Count uint32
}

func claimOf(c *object.BPFClaim) Claim {
	return Claim{
		At: int64(c.At), IfIndex: int(c.Ifindex), VHID: c.Vhid, Slot: c.Slot, Addr: netip.AddrFrom16(c.Addr).Unmap(),
		MAC: c.Mac, Source: c.SrcMac, Count: c.Count,
	}
}

// Claims appends the claims that [Tables.Drain] has read to dst, and forgets them.
func (t *Tables) Claims(dst []Claim) []Claim {
	r := t.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	dst = append(dst, r.claims...)
	r.claims = r.claims[:0]
	return dst
}
