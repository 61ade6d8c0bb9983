// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"encoding/hex"
	"net/netip"
	"testing"

	"vipd/agent/wire"
)

func TestNeighbourSolicitation(t *testing.T) {
	t.Parallel()
	target := netip.MustParseAddr("2001:db8::1:2345")
	if got := wire.SolicitedNode(target); got != netip.MustParseAddr("ff02::1:ff01:2345") {
		t.Errorf("asked at %s", got)
	}
	got := wire.AppendNS(nil, target, [6]byte{2, 0, 0, 0, 0, 1})
	const want = "8700000000000000" + "20010db8000000000000000000012345" + "0101020000000001"
	if hex.EncodeToString(got) != want {
		t.Errorf("got  %x\nwant %s", got, want)
	}
}

func TestParseNA(t *testing.T) {
	t.Parallel()
	target := netip.MustParseAddr("2001:db8::1")
	mac := [6]byte{0, 0, 0x5e, 0, 1, 1}
	frame := wire.UnsolicitedNA(1, target, false)
	message := frame[14+40:]
	if a, m, ok := wire.ParseNA(message); !ok || a != target || m != mac {
		t.Errorf("%v %x %v", a, m, ok)
	}
	other := append(append([]byte{}, message[:24]...), 14, 1, 0, 0, 0, 0, 0, 0) // a nonce comes first
	if a, m, ok := wire.ParseNA(append(other, message[24:]...)); !ok || a != target || m != mac {
		t.Errorf("second option: %v %x %v", a, m, ok)
	}
	for n := range message {
		if _, _, ok := wire.ParseNA(message[:n]); ok {
			t.Errorf("%d of %d bytes are accepted", n, len(message))
		}
	}
	for i, v := range map[int]byte{0: wire.NeighborSolicit, 1: 1, 24: 1, 25: 0} {
		bad := append([]byte{}, message...)
		bad[i] = v
		if _, _, ok := wire.ParseNA(bad); ok {
			t.Errorf("byte %d = %d is accepted", i, v)
		}
	}
}
