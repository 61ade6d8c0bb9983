// SPDX-License-Identifier: Apache-2.0

package model

import (
	"fmt"
	"testing"

	"vipd/loader/tables"
)

// TestGoldenVectors: captured from ucarp (C), or derived with an independent HMAC
// and read back by tcpdump (D).
func TestGoldenVectors(t *testing.T) {
	const envelope = "01005e00001200005e000101080045e0003800004000ff70d860c0000202e0000012"
	one := []string{"192.0.2.1"}
	h := NewHarness(t)
	for _, tc := range []struct {
		name, frame      string
		vips             []string
		key              []byte
		base, skew, demo uint8
		counter          uint64
	}{
		{
			name: "V-C1",
			frame: "01005e00001200005e0000010800451000381c454000ff70bcebc0000202e0000012" +
				"2101000700014c56ed3f8fdcebbe468bec12d3469a77808d54dcefa57f1199c68963221d",
			vips:    one,
			key:     goldenKey,
			base:    1,
			counter: 0xed3f8fdcebbe468b,
		},
		{
			name: "V-C2",
			frame: "01005e00001200005e0000010800451000383ff74000ff709939c0000202e0000012" +
				"210100070001ebc828d7042ec9effe1d83a56ded9936de79d96251b360f0d5bad0dd6238",
			vips:    one,
			key:     goldenKey,
			base:    1,
			counter: 0x28d7042ec9effe1d,
		},
		{
			name:  "V-D1",
			frame: envelope + "210100070001d1db0000000000000000bbe88f01caf95b48d25fe8f2a7166f4d7a474ff0",
			vips:  one,
			base:  1,
		},
		{
			name:    "V-D2 FreeBSD",
			frame:   envelope + "210164070001a0300123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb",
			vips:    one,
			key:     goldenKey,
			base:    1,
			skew:    100,
			counter: 0x0123456789abcdef,
		},
		{
			name: "V-D2 OpenBSD",
			frame: "01005e00001200005e00010108004510003812344000ff70c6fcc0000202e0000012" +
				"210164070001a0300123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb",
			vips:    one,
			key:     goldenKey,
			base:    1,
			skew:    100,
			counter: 0x0123456789abcdef,
		},
		{
			name:    "V-D3",
			frame:   envelope + "210100070001d58f0123456789abcdefc959b5002476f306917c90dacbcc02d387235d4f",
			vips:    []string{"192.0.2.254", "10.0.0.1", "172.16.0.9"},
			key:     goldenKey,
			base:    1,
			counter: 0x0123456789abcdef,
		},
		{
			name:    "V-D6",
			frame:   envelope + "2101ff0700ff04320123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb",
			vips:    one,
			key:     goldenKey,
			base:    255,
			skew:    255,
			counter: 0x0123456789abcdef,
		},
		{
			name:    "V-D7",
			frame:   envelope + "210100072001e4300123456789abcdef804538a172de9d658c695edfe8729c0371ca91eb",
			vips:    one,
			key:     goldenKey,
			base:    1,
			demo:    32,
			counter: 0x0123456789abcdef,
		},
		{
			name:    "V-D5a",
			frame:   envelope + "210100070001e4740123456789abcdef24210307a8b37852c540f83dbfa931a83b8329da",
			vips:    []string{"192.0.2.1", "2001:db8::2", "fe80::200:5eff:fe00:101", "2001:db8::1"},
			key:     goldenKey,
			base:    1,
			counter: 0x0123456789abcdef,
		},
		{
			name:  "V-N1 right",
			frame: envelope + "2101000700010000" + "0000000000000000" + "f1f3c90dd2b23f46e14101b554f33ac4a61c7c94",
			vips:  []string{"192.168.0.111"},
			base:  1,
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h.T = t
			frame := mustHex(tc.frame)
			fixCARP(frame)
			h.Fresh(vectorSpec(tc.key, tc.vips, nil))
			h.Expect("right", frame, Want{Verdict: XDPPass, Counts: count("received"), events: 1})
			s := h.Seen()
			if s.AdvBase != tc.base || s.AdvSkew != tc.skew || s.Demote != tc.demo || s.Counter != tc.counter ||
				s.Src != PeerAddr || s.Count != 1 || s.TTL != 255 || s.VHID != 1 || s.IfIndex != LoIndex {
				t.Errorf("recorded %+v", s)
			}
			// Damaged: any bit of counter or digest, its checksum made right again. A
			// fresh group each 40, which is within the budget of strangers.
			for bit := range 28 * 8 {
				if bit%40 == 0 {
					h.Fresh(vectorSpec(tc.key, tc.vips, nil))
				}
				bad := append([]byte(nil), frame...)
				bad[34+8+bit/8] ^= 1 << (bit % 8)
				fixCARP(bad)
				h.Expect(fmt.Sprint("bit ", bit), bad, Want{Verdict: xdpDrop, Counts: count("bad_hmac")})
			}
		})
	}
}

func TestGoldenVectorLLAddr(t *testing.T) {
	const frame = "01005e00001200005e000101080045e0003800004000ff70d860c0000202e0000012" +
		"210100070001844a0123456789abcdef46b5ca7f025da33bd5ce334d0928effdfd2f0647"
	h := NewHarness(t)
	h.Fresh(vectorSpec(goldenKey, []string{"192.0.2.1"}, mustHex("020102112233445501c0000201")))
	h.Expect("V-D8", mustHex(frame), Want{Verdict: XDPPass, Counts: count("received"), events: 1})
}

func TestGoldenVectorsRefused(t *testing.T) {
	h := NewHarness(t)
	h.Fresh(vectorSpec(nil, []string{"192.168.0.111"}, nil))
	c := carp{vhid: 1, base: 1}
	copy(c.digest[:], mustHex("bd82c78f361a0effcf6c14a276ed573b3e6963a3"))
	h.Expect(
		"V-N1, scapy's mistake",
		Packet{Payload: c.bytes()}.Bytes(),
		Want{Verdict: xdpDrop, Counts: count("bad_hmac")},
	)
	h.Expect(
		"V-V1",
		mustHex("01005e00001200005e000101080045e0002000004000ff70d7b0c00002cae0000012310164010064053ec0000201"),
		Want{Verdict: XDPPass, Counts: count("if_foreign_vrrp", "group_foreign_vrrp")},
	)
	h.Expect(
		"V-C4, ucarp's gratuitous ARP",
		mustHex("ffffffffffff02000000000a0806000108000604000102000000000ac000020102000000000ac0000201"),
		Want{Verdict: XDPPass},
	)
	h.Fresh(GoldenSpec("192.0.2.1"))
	h.Expect(
		"V-C4 for our VIP",
		mustHex("ffffffffffff02000000000a0806000108000604000102000000000ac000020102000000000ac0000201"),
		Want{Verdict: XDPPass, Counts: count("arp_gratuitous")},
	)
}

// vectorSpec has one context; hashed overrides its prefix.
func vectorSpec(key []byte, vips []string, hashed []byte) tables.GroupSpec {
	s := GoldenSpec(vips...)
	s.Contexts[0].Key = key
	if hashed != nil {
		s.Contexts[0].Prefix = hashed
	}
	return s
}

// fixCARP makes the CARP checksum of a frame without IP options right.
func fixCARP(frame []byte) {
	p := frame[34:70]
	p[6], p[7] = 0, 0
	s := sum16(p)
	p[6], p[7] = byte(s>>8), byte(s)
}
