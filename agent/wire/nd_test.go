// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/hex"
	"net/netip"
	"testing"
)

// tcpdump accepts the frame and its checksum.
func TestUnsolicitedNA(t *testing.T) {
	const want = "333300000001" + "00005e000101" + "86dd" +
		"60000000" + "0020" + "3a" + "ff" +
		"20010db8000000000000000000000100" + "ff020000000000000000000000000001" +
		"8800" + "%s" + "a0000000" + "20010db8000000000000000000000100" + "0201" + "00005e000101"
	frame := UnsolicitedNA(1, netip.MustParseAddr("2001:db8::100"), true)
	got := hex.EncodeToString(frame)
	sumAt := 2 * (14 + 40 + 2)
	if len(got) != len(want)+2 || got[:sumAt] != want[:sumAt] || got[sumAt+4:] != want[sumAt+2:] {
		t.Fatalf("frame\n%s, want\n%s", got, want)
	}
	// The receiver's check: pseudo header and message, checksum included, sum to zero.
	s := sum(0, frame[14+8:14+40])
	s += protocolICMPv6 + ndAdvertSize
	if c := ^fold(sum(s, frame[14+40:])); c != 0 {
		t.Errorf("checksum is off by %#04x", c)
	}
	plain := UnsolicitedNA(1, netip.MustParseAddr("2001:db8::100"), false)
	if plain[14+40+4] != 0x20 {
		t.Errorf("flags of a host that does not forward: %#02x, want 0x20 (Override)", plain[14+40+4])
	}
	if f := UnsolicitedNA(1, netip.MustParseAddr("192.0.2.1"), false); f != nil {
		t.Errorf("an IPv4 VIP: %x, want nil", f)
	}
}
