// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha1" // the protocol's digest
	"encoding/binary"
	"encoding/hex"
	"net/netip"
	"testing"

	"vipd/agent/wire"
)

const (
	passphrase = "mekmitasdigoat"
	counter    = 0x0123456789abcdef
)

// vector is a digest and a header with their inputs. V-C are captures of ucarp, V-D are computed with an
// independent HMAC.
type vector struct {
	name    string
	key     string
	vhid    uint8
	addrs   []string
	lladdr  *[6]byte
	counter uint64
	base    uint8
	skew    uint8
	demote  uint8
	msg     string // empty: not recorded
	md      string
	header  string
}

func vectors() []vector {
	const d2 = "804538a172de9d658c695edfe8729c0371ca91eb"
	return []vector{
		{
			name: "V-C1", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: 0xed3f8fdcebbe468b, base: 1,
			msg: "020101c0000201ed3f8fdcebbe468b", md: "ec12d3469a77808d54dcefa57f1199c68963221d",
			header: "2101000700014c56ed3f8fdcebbe468bec12d3469a77808d54dcefa57f1199c68963221d",
		},
		{
			name: "V-C2", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: 0x28d7042ec9effe1d, base: 1,
			md:     "83a56ded9936de79d96251b360f0d5bad0dd6238",
			header: "210100070001ebc828d7042ec9effe1d83a56ded9936de79d96251b360f0d5bad0dd6238",
		},
		{
			name: "V-D1", vhid: 1, addrs: []string{"192.0.2.1"}, base: 1,
			md:     "bbe88f01caf95b48d25fe8f2a7166f4d7a474ff0",
			header: "210100070001d1db0000000000000000bbe88f01caf95b48d25fe8f2a7166f4d7a474ff0",
		},
		{
			name: "V-D2", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: counter, base: 1, skew: 100,
			msg: "020101c00002010123456789abcdef", md: d2,
			header: "210164070001a0300123456789abcdef" + d2,
		},
		{
			name:    "V-D3",
			key:     passphrase,
			vhid:    1,
			addrs:   []string{"192.0.2.254", "10.0.0.1", "172.16.0.9"},
			counter: counter,
			base:    1,
			msg:     "0201010a000001ac100009c00002fe0123456789abcdef",
			md:      "c959b5002476f306917c90dacbcc02d387235d4f",
			header:  "210100070001d58f0123456789abcdefc959b5002476f306917c90dacbcc02d387235d4f",
		},
		{
			name: "V-D4", key: passphrase, vhid: 1, addrs: []string{"2001:db8::1"}, counter: counter, base: 1,
			msg: "02010120010db80000000000000000000000010123456789abcdef", md: "b335c1d7f0646c1503cc05f9d461e7a11c5e1bab",
			header: "21010007000171770123456789abcdefb335c1d7f0646c1503cc05f9d461e7a11c5e1bab",
		},
		{
			name:    "V-D5a",
			key:     passphrase,
			vhid:    1,
			counter: counter,
			base:    1,
			addrs:   []string{"2001:db8::2", "192.0.2.1", "fe80::200:5eff:fe00:101", "2001:db8::1"},
			msg: "020101c000020120010db800000000000000000000000120010db80000000000" +
				"00000000000002fe8000000000000002005efffe0001010123456789abcdef",
			md:     "24210307a8b37852c540f83dbfa931a83b8329da",
			header: "210100070001e4740123456789abcdef24210307a8b37852c540f83dbfa931a83b8329da",
		},
		{
			name: "V-D6", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: counter, base: 255, skew: 255,
			md: d2, header: "2101ff0700ff04320123456789abcdef" + d2,
		},
		{
			name: "V-D7", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: counter, base: 1, demote: 32,
			md: d2, header: "210100072001e4300123456789abcdef" + d2,
		},
		{
			name: "V-D8", key: passphrase, vhid: 1, addrs: []string{"192.0.2.1"}, counter: counter, base: 1,
			lladdr: &[6]byte{0x02, 0x11, 0x22, 0x33, 0x44, 0x55},
			msg:    "020102112233445501c00002010123456789abcdef", md: "46b5ca7f025da33bd5ce334d0928effdfd2f0647",
			header: "210100070001844a0123456789abcdef46b5ca7f025da33bd5ce334d0928effdfd2f0647",
		},
		{
			name: "V-N1 done right", key: string(make([]byte, 19)), vhid: 1, addrs: []string{"192.168.0.111"}, base: 1,
			md: "f1f3c90dd2b23f46e14101b554f33ac4a61c7c94",
		},
	}
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func key(t testing.TB, pass string) wire.Key {
	t.Helper()
	k, err := wire.NewKey([]byte(pass))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, 0, len(list))
	for _, s := range list {
		out = append(out, netip.MustParseAddr(s))
	}
	return out
}

func TestVectors(t *testing.T) {
	t.Parallel()
	for _, v := range vectors() {
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			prefix := wire.DigestPrefix(v.vhid, addrs(v.addrs...), v.lladdr)
			if v.msg != "" {
				got := hex.EncodeToString(binary.BigEndian.AppendUint64(prefix, v.counter))
				if got != v.msg {
					t.Errorf("message:\nwant %s\ngot  %s", v.msg, got)
				}
			}
			md := key(t, v.key).Digest(prefix, v.counter)
			if got := hex.EncodeToString(md[:]); got != v.md {
				t.Fatalf("digest:\nwant %s\ngot  %s", v.md, got)
			}
			if v.header == "" {
				return
			}
			want := wire.Advert{
				VHID: v.vhid, AdvBase: v.base, AdvSkew: v.skew, Demote: v.demote,
				AuthLen: wire.AuthLen, Counter: v.counter, Digest: md,
			}
			built, err := want.AppendBinary([]byte{0xaa})
			if err != nil || hex.EncodeToString(built[1:]) != v.header || built[0] != 0xaa {
				t.Errorf("build: %v\nwant %s\ngot  %x", err, v.header, built[1:])
			}
			got, err := wire.ParseAdvert(unhex(t, v.header))
			if err != nil || got != want {
				t.Errorf("parse: %v\nwant %+v\ngot  %+v", err, want, got)
			}
		})
	}
}

// V-N1: scapy hashes 0x21 for version and type and omits the counter, so that its digest must differ.
func TestScapyDigestIsNotCARP(t *testing.T) {
	t.Parallel()
	mac := hmac.New(sha1.New, make([]byte, 20))
	mac.Write(unhex(t, "2101c0a8006f"))
	const scapy = "bd82c78f361a0effcf6c14a276ed573b3e6963a3"
	if got := hex.EncodeToString(mac.Sum(nil)); got != scapy {
		t.Fatalf("the vector itself: want %s, got %s", scapy, got)
	}
	md := wire.Key{}.Digest(wire.DigestPrefix(1, addrs("192.168.0.111"), nil), 0)
	if hex.EncodeToString(md[:]) == scapy {
		t.Error("Digest makes scapy's mistake")
	}
}

func TestFrames(t *testing.T) {
	t.Parallel()
	ucarp := [6]byte{0, 0, 0x5e, 0, 0, 1}
	d2 := wire.Advert{VHID: 1, AdvBase: 1, AdvSkew: 100, AuthLen: wire.AuthLen, Counter: counter}
	d2.Digest = key(t, passphrase).Digest(wire.DigestPrefix(1, addrs("192.0.2.1"), nil), counter)
	d4 := wire.Advert{VHID: 1, AdvBase: 1, AuthLen: wire.AuthLen, Counter: counter}
	d4.Digest = key(t, passphrase).Digest(wire.DigestPrefix(1, addrs("2001:db8::1"), nil), counter)
	c1 := wire.Advert{VHID: 1, AdvBase: 1, AuthLen: wire.AuthLen, Counter: 0xed3f8fdcebbe468b}
	c1.Digest = key(t, passphrase).Digest(wire.DigestPrefix(1, addrs("192.0.2.1"), nil), c1.Counter)
	c2 := wire.Advert{VHID: 1, AdvBase: 1, AuthLen: wire.AuthLen, Counter: 0x28d7042ec9effe1d}
	c2.Digest = key(t, passphrase).Digest(wire.DigestPrefix(1, addrs("192.0.2.1"), nil), c2.Counter)

	v4 := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(1), DstMAC: wire.MulticastMAC(wire.MulticastV4),
		Src: netip.MustParseAddr("192.0.2.2"), Dst: wire.MulticastV4, TTL: 255,
	}
	with := func(f wire.AdvertFrame, src [6]byte, dscp uint8, id uint16, a wire.Advert) wire.AdvertFrame {
		f.SrcMAC, f.DSCP, f.ID, f.Advert = src, dscp, id, a
		return f
	}
	v6 := wire.AdvertFrame{
		SrcMAC: wire.VirtualMAC(1), DstMAC: wire.MulticastMAC(wire.MulticastV6),
		Src: netip.MustParseAddr("fe80::2"), Dst: wire.MulticastV6, DSCP: 56, TTL: 255, Advert: d4,
	}
	for _, tc := range []struct {
		name  string
		frame wire.AdvertFrame
		hex   string
	}{
		{
			"V-C1 ucarp",
			with(v4, ucarp, 4, 0x1c45, c1),
			"01005e00001200005e0000010800451000381c454000ff70bcebc0000202e000" +
				"00122101000700014c56ed3f8fdcebbe468bec12d3469a77808d54dcefa57f11" +
				"99c68963221d",
		},
		{
			"V-C2 ucarp",
			with(v4, ucarp, 4, 0x3ff7, c2),
			"01005e00001200005e0000010800451000383ff74000ff709939c0000202e000" +
				"0012210100070001ebc828d7042ec9effe1d83a56ded9936de79d96251b360f0" +
				"d5bad0dd6238",
		},
		{
			"V-D2 as FreeBSD",
			with(v4, wire.VirtualMAC(1), 56, 0, d2),
			"01005e00001200005e000101080045e0003800004000ff70d860c0000202e000" +
				"0012210164070001a0300123456789abcdef804538a172de9d658c695edfe872" +
				"9c0371ca91eb",
		},
		{
			"V-D2 as OpenBSD",
			with(v4, wire.VirtualMAC(1), 4, 0x1234, d2),
			"01005e00001200005e00010108004510003812344000ff70c6fcc0000202e000" +
				"0012210164070001a0300123456789abcdef804538a172de9d658c695edfe872" +
				"9c0371ca91eb",
		},
		{
			"V-D4 IPv6",
			v6,
			"33330000001200005e00010186dd6e000000002470fffe800000000000000000" +
				"000000000002ff02000000000000000000000000001221010007000171770123" +
				"456789abcdefb335c1d7f0646c1503cc05f9d461e7a11c5e1bab",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			built, err := tc.frame.AppendBinary(nil)
			if err != nil || hex.EncodeToString(built) != tc.hex {
				t.Errorf("build: %v\nwant %s\ngot  %x", err, tc.hex, built)
			}
			got, err := wire.ParseAdvertFrame(unhex(t, tc.hex))
			if err != nil || got != tc.frame {
				t.Errorf("parse: %v\nwant %+v\ngot  %+v", err, tc.frame, got)
			}
		})
	}
}

func TestARPVectors(t *testing.T) {
	t.Parallel()
	// V-C4: ucarp announces with the host's real MAC.
	const captured = "ffffffffffff02000000000a0806000108000604000102000000000ac000020102000000000ac0000201"
	host := [6]byte{2, 0, 0, 0, 0, 10}
	vip := netip.MustParseAddr("192.0.2.1")
	want := wire.ARPFrame{SrcMAC: host, DstMAC: wire.Broadcast, ARP: wire.ARP{
		Op: wire.ARPRequest, SenderMAC: host, SenderIP: vip, TargetMAC: host, TargetIP: vip,
	}}
	got, err := wire.ParseARP(unhex(t, captured))
	if err != nil || got != want || !got.Gratuitous() {
		t.Errorf("parse V-C4: %v\nwant %+v\ngot  %+v", err, want, got)
	}
	built, err := wire.AppendARP(nil, want.ARP, host, wire.Broadcast)
	if err != nil || hex.EncodeToString(built) != captured {
		t.Errorf("build V-C4: %v\nwant %s\ngot  %x", err, captured, built)
	}
	// Ours: the virtual MAC everywhere, target MAC zero.
	const ours = "ffffffffffff00005e000107080600010800060400010000" + "5e000107c0000201" + "000000000000c0000201"
	if got := hex.EncodeToString(wire.GratuitousARP(7, vip)); got != ours {
		t.Errorf("gratuitous:\nwant %s\ngot  %s", ours, got)
	}
	if got := wire.GratuitousARP(7, netip.MustParseAddr("2001:db8::1")); got != nil {
		t.Errorf("gratuitous for ipv6: want nil, got %x", got)
	}
}

func TestVRRPVector(t *testing.T) {
	t.Parallel()
	const message = "310164010064053ec0000201"
	const frame = "01005e00001200005e000101080045e0002000004000ff70d7b0c00002cae0000012" + message
	src := netip.MustParseAddr("192.0.2.202")
	v := wire.VRRP{VRID: 1, Priority: 100, Interval: 100, Addrs: addrs("192.0.2.1")}
	built, err := v.AppendFrame(nil, src)
	if err != nil || hex.EncodeToString(built) != frame {
		t.Errorf("build V-V1: %v\nwant %s\ngot  %x", err, frame, built)
	}
	got, err := wire.ParseVRRP(src, wire.MulticastV4, unhex(t, message))
	if err != nil || got.VRID != 1 || got.Priority != 100 || got.Interval != 100 || len(got.Addrs) != 1 ||
		got.Addrs[0] != v.Addrs[0] {
		t.Errorf("parse V-V1: %v, got %+v", err, got)
	}
	if !wire.IsVRRP(src, wire.MulticastV4, unhex(t, message)) {
		t.Error("V-V1 is not taken for VRRP")
	}
	if _, err := wire.ParseAdvertFrame(unhex(t, frame)); err == nil {
		t.Error("V-V1 is taken for CARP")
	}
}

func TestDigestIsHMAC(t *testing.T) {
	t.Parallel()
	for _, pass := range []string{"", "a", passphrase, "nineteen bytes long"} {
		for n := range 40 { // prefixes that fill no, one and several blocks
			prefix := bytes.Repeat([]byte{byte(n), 0xff, 1}, n)
			mac := hmac.New(sha1.New, []byte(pass))
			mac.Write(binary.BigEndian.AppendUint64(bytes.Clone(prefix), counter))
			got := key(t, pass).Digest(prefix, counter)
			if !hmac.Equal(mac.Sum(nil), got[:]) {
				t.Fatalf("key %q, %d bytes: want %x, got %x", pass, len(prefix), mac.Sum(nil), got)
			}
		}
	}
}
