// SPDX-License-Identifier: Apache-2.0

package tables

import (
	"encoding/binary"
	"net/netip"

	"vipd/loader/object"
)

// maxHellos bounds the hellos waiting for a caller that never calls [Tables.Hellos].
const maxHellos = 1 << 12

// HelloEvent is an authentic hello of another vipd node to one of this node's own addresses, newer than the one before
// from the same source (docs/authentication.md).
type HelloEvent struct {
	// At is when the kernel received it, CLOCK_BOOTTIME ns.
	At      int64
	IfIndex int
	VHID    uint8
	Slot    uint32
	Src     netip.Addr
	// SrcMAC is where an answer goes.
	SrcMAC [6]byte
	// Context is the index of the [AuthContext] that matched.
	Context uint8
	// Payload is that of the IP packet. It is empty if the source has not said hello, but proven itself to be a vipd node
	// by an advert for another list of addresses, which does not count. Number is the advert's then.
	Payload []byte
	Number  uint64
}

func helloOf(h *object.BPFHello, payload []byte) HelloEvent {
	number := uint64(0)
	if h.Len == 0 {
		payload, number = nil, binary.NativeEndian.Uint64(h.Data[:])
	}
	return HelloEvent{
		At: int64(h.At), IfIndex: int(h.Ifindex), VHID: h.Vhid, Slot: h.Slot, Src: netip.AddrFrom16(h.Src).Unmap(),
		SrcMAC: h.SrcMac, Context: h.Ctx, Payload: payload, Number: number,
	}
}

// Hellos appends the hellos that [Tables.Drain] has read to dst, and forgets them. Their payloads are good until the
// next call.
func (t *Tables) Hellos(dst []HelloEvent) []HelloEvent {
	r := t.ring
	r.mu.Lock()
	defer r.mu.Unlock()
	dst = append(dst, r.hellos...)
	clear(r.hellos)
	r.hellos = r.hellos[:0]
	r.bodies, r.taken = r.taken[:0], r.bodies
	return dst
}
