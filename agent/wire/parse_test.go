// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"vipd/agent/wire"
)

const (
	capturedV4 = "01005e00001200005e0000010800451000381c454000ff70bcebc0000202e000" +
		"00122101000700014c56ed3f8fdcebbe468bec12d3469a77808d54dcefa57f11" +
		"99c68963221d"
	capturedV6 = "33330000001200005e00010186dd6e000000002470fffe800000000000000000" +
		"000000000002ff02000000000000000000000000001221010007000171770123" +
		"456789abcdefb335c1d7f0646c1503cc05f9d461e7a11c5e1bab"
)

// Every truncation of a header has its error and returns no value.
func TestAdvertTruncations(t *testing.T) {
	t.Parallel()
	whole := unhex(t, capturedV4)[34:]
	for n := range whole {
		got, err := wire.ParseAdvert(whole[:n])
		if !errors.Is(err, wire.ErrShort) || got != (wire.Advert{}) {
			t.Errorf("%d bytes: want ErrShort and nothing else, got %v, %+v", n, err, got)
		}
	}
}

func TestAdvertChecks(t *testing.T) {
	t.Parallel()
	whole := unhex(t, capturedV4)[34:]
	good, err := wire.ParseAdvert(whole)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		edit func([]byte) []byte
		want error
	}{
		{"trailing bytes", func(b []byte) []byte { return append(b, 1, 2, 3, 4) }, nil},
		{"version 1", func(b []byte) []byte { b[0] = 0x11; return b }, wire.ErrVersion},
		{"version 3", func(b []byte) []byte { b[0] = 0x31; return b }, wire.ErrVersion},
		{"version 15", func(b []byte) []byte { b[0] = 0xf1; return b }, wire.ErrVersion},
		{"version before length", func(b []byte) []byte { b[0] = 0x31; return b[:8] }, wire.ErrVersion},
		{"checksum bit", func(b []byte) []byte { b[6] ^= 1; return b }, wire.ErrChecksum},
		{"type 0", func(b []byte) []byte { b[0] = 0x20; return resum(b) }, nil},
		{"type 15", func(b []byte) []byte { b[0] = 0x2f; return resum(b) }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseAdvert(tc.edit(bytes.Clone(whole)))
			if !errors.Is(err, tc.want) {
				t.Fatalf("want %v, got %v", tc.want, err)
			}
			want := good
			if tc.want != nil {
				want = wire.Advert{}
			}
			if got != want {
				t.Errorf("want %+v, got %+v", want, got)
			}
		})
	}
}

// resum corrects the checksum of a CARP header.
func resum(b []byte) []byte {
	b[6], b[7] = 0, 0
	binary.BigEndian.PutUint16(b[6:], wire.Checksum(b[:wire.AdvertSize]))
	return b
}

// Every single bit of a captured header is covered by the checksum or the version.
func TestAdvertBitFlips(t *testing.T) {
	t.Parallel()
	whole := unhex(t, capturedV4)[34:]
	for bit := range len(whole) * 8 {
		b := bytes.Clone(whole)
		b[bit/8] ^= 1 << (bit % 8)
		if got, err := wire.ParseAdvert(b); err == nil || got != (wire.Advert{}) {
			t.Errorf("bit %d flipped: accepted as %+v", bit, got)
		}
	}
}

func TestFrameTruncations(t *testing.T) {
	t.Parallel()
	for name, captured := range map[string]string{"ipv4": capturedV4, "ipv6": capturedV6} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			whole := unhex(t, captured)
			header := len(whole) - wire.AdvertSize
			for n := range whole {
				want := wire.ErrShort
				if n >= header {
					want = wire.ErrLength // the IP header says there is more
				}
				got, err := wire.ParseAdvertFrame(whole[:n])
				if !errors.Is(err, want) || got != (wire.AdvertFrame{}) {
					t.Errorf("%d bytes: want %v, got %v, %+v", n, want, err, got)
				}
			}
			padded, err := wire.ParseAdvertFrame(append(bytes.Clone(whole), make([]byte, 18)...))
			if exact, _ := wire.ParseAdvertFrame(whole); err != nil || padded != exact {
				t.Errorf("ethernet padding must not matter: %v, %+v", err, padded)
			}
		})
	}
}

func TestFrameChecks(t *testing.T) {
	t.Parallel()
	v4 := func(b []byte) []byte { // makes the IP checksum right again
		header := 14 + int(b[14]&0xf)*4
		b[24], b[25] = 0, 0
		binary.BigEndian.PutUint16(b[24:], wire.Checksum(b[14:header]))
		return b
	}
	for _, tc := range []struct {
		name string
		from string
		edit func([]byte) []byte
		want error
	}{
		{"other ethertype", capturedV4, func(b []byte) []byte { b[12] = 0x88; return b }, wire.ErrProtocol},
		{"ip version", capturedV4, func(b []byte) []byte { b[14] = 0x65; return b }, wire.ErrVersion},
		{"header below 20", capturedV4, func(b []byte) []byte { b[14] = 0x44; return b }, wire.ErrLength},
		{"total below header", capturedV4, func(b []byte) []byte { b[17] = 19; return v4(b) }, wire.ErrLength},
		{"total 55", capturedV4, func(b []byte) []byte { b[17] = 55; return v4(b) }, wire.ErrShort},
		{"header checksum", capturedV4, func(b []byte) []byte { b[24] ^= 1; return b }, wire.ErrChecksum},
		{"udp", capturedV4, func(b []byte) []byte { b[23] = 17; return v4(b) }, wire.ErrProtocol},
		{"more fragments", capturedV4, func(b []byte) []byte { b[20] = 0x20; return v4(b) }, wire.ErrProtocol},
		{"fragment offset", capturedV4, func(b []byte) []byte { b[21] = 1; return v4(b) }, wire.ErrProtocol},
		{"without df", capturedV4, func(b []byte) []byte { b[20] = 0; return v4(b) }, nil},
		{"ttl 1 is the caller's to judge", capturedV4, func(b []byte) []byte { b[22] = 1; return v4(b) }, nil},
		{"ip options", capturedV4, func(b []byte) []byte {
			b[14], b[17] = 0x46, 60
			return v4(append(append(bytes.Clone(b[:34]), 1, 1, 1, 0), b[34:]...))
		}, nil},
		{"ipv6 version", capturedV6, func(b []byte) []byte { b[14] = 0x45; return b }, wire.ErrVersion},
		{"ipv6 udp", capturedV6, func(b []byte) []byte { b[20] = 17; return b }, wire.ErrProtocol},
		{"ipv6 payload 35", capturedV6, func(b []byte) []byte { b[19] = 35; return b }, wire.ErrShort},
		{"ipv6 flow label", capturedV6, func(b []byte) []byte { b[16] = 7; return b }, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := wire.ParseAdvertFrame(tc.edit(unhex(t, tc.from)))
			if !errors.Is(err, tc.want) {
				t.Fatalf("want %v, got %v", tc.want, err)
			}
			if (got == wire.AdvertFrame{}) != (tc.want != nil) {
				t.Errorf("value and error disagree: %+v, %v", got, err)
			}
			if tc.want == nil && got.Advert.VHID != 1 {
				t.Errorf("vhid: want 1, got %d", got.Advert.VHID)
			}
		})
	}
}

// A builder that fails returns the buffer unchanged.
func TestFailingBuildersKeepTheBuffer(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	many := make([]netip.Addr, 256)
	for i := range many {
		many[i] = v4
	}
	for _, tc := range []struct {
		name  string
		build func(b []byte) ([]byte, error)
		want  error
	}{
		{"no addresses", func(b []byte) ([]byte, error) { return wire.AdvertFrame{}.AppendBinary(b) }, wire.ErrFamily},
		{
			"mixed",
			func(b []byte) ([]byte, error) { return wire.AdvertFrame{Src: v4, Dst: v6}.AppendBinary(b) },
			wire.ErrFamily,
		},
		{
			"no destination",
			func(b []byte) ([]byte, error) { return wire.AdvertFrame{Src: v4}.AppendBinary(b) },
			wire.ErrFamily,
		},
		{"dscp 64", func(b []byte) ([]byte, error) {
			return wire.AdvertFrame{Src: v4, Dst: v4, DSCP: 64}.AppendBinary(b)
		}, wire.ErrRange},
		{"arp for ipv6", func(b []byte) ([]byte, error) {
			return wire.AppendARP(b, wire.ARP{SenderIP: v6, TargetIP: v4}, [6]byte{}, [6]byte{})
		}, wire.ErrFamily},
		{"arp without target", func(b []byte) ([]byte, error) {
			return wire.AppendARP(b, wire.ARP{SenderIP: v4}, [6]byte{}, [6]byte{})
		}, wire.ErrFamily},
		{
			"vrrp interval",
			func(b []byte) ([]byte, error) { return wire.VRRP{Interval: 4096}.AppendFrame(b, v4) },
			wire.ErrRange,
		},
		{
			"vrrp 256 addresses",
			func(b []byte) ([]byte, error) { return wire.VRRP{Addrs: many}.AppendPayload(b, v4, v4) },
			wire.ErrRange,
		},
		{
			"vrrp family",
			func(b []byte) ([]byte, error) { return wire.VRRP{Addrs: many[:1]}.AppendFrame(b, v6) },
			wire.ErrFamily,
		},
		{"vrrp without addresses at all", func(b []byte) ([]byte, error) {
			return wire.VRRP{}.AppendPayload(b, netip.Addr{}, netip.Addr{})
		}, wire.ErrFamily},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got, err := tc.build([]byte{1, 2, 3})
			if !errors.Is(err, tc.want) || !bytes.Equal(got, []byte{1, 2, 3}) {
				t.Errorf("want %v and the buffer untouched, got %v, %x", tc.want, err, got)
			}
		})
	}
}

func TestARPChecks(t *testing.T) {
	t.Parallel()
	whole := wire.GratuitousARP(1, netip.MustParseAddr("192.0.2.1"))
	for n := range whole {
		if got, err := wire.ParseARP(whole[:n]); !errors.Is(err, wire.ErrShort) || got != (wire.ARPFrame{}) {
			t.Errorf("%d bytes: want ErrShort, got %v, %+v", n, err, got)
		}
	}
	for _, at := range []int{12, 14, 15, 16, 17, 18, 19} {
		b := bytes.Clone(whole)
		b[at] ^= 0x40
		if got, err := wire.ParseARP(b); !errors.Is(err, wire.ErrProtocol) || got != (wire.ARPFrame{}) {
			t.Errorf("byte %d changed: want ErrProtocol, got %v, %+v", at, err, got)
		}
	}
	padded, err := wire.ParseARP(append(whole, make([]byte, 18)...))
	if err != nil || !padded.Gratuitous() || padded.SrcMAC != wire.VirtualMAC(1) {
		t.Errorf("padded to 60 bytes: %v, %+v", err, padded)
	}
}

func TestDigestPrefix(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		addrs []netip.Addr
		want  string
	}{
		{"none", nil, "020109"},
		{"above 127.255.255.255 sorts unsigned", addrs("200.0.0.1", "10.0.0.1"), "0201090a000001c8000001"},
		{"duplicates once", addrs("10.0.0.1", "::ffff:10.0.0.1", "10.0.0.1"), "0201090a000001"},
		{
			"never hashed",
			append(addrs("0.0.0.0", "255.255.255.255", "::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), netip.Addr{}),
			"020109",
		},
		{"ipv4 before ipv6", addrs("1::", "10.0.0.1"), "0201090a000001" + "00010000000000000000000000000000"},
		{"zones do not count", addrs("fe80::1%eth0", "fe80::1"), "020109" + "fe800000000000000000000000000001"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			before := fmt.Sprint(tc.addrs)
			if got := hex.EncodeToString(wire.DigestPrefix(9, tc.addrs, nil)); got != tc.want {
				t.Errorf("want %s, got %s", tc.want, got)
			}
			if fmt.Sprint(tc.addrs) != before {
				t.Error("the caller's list was reordered")
			}
		})
	}
}

func TestKey(t *testing.T) {
	t.Parallel()
	if _, err := wire.NewKey(make([]byte, 20)); !errors.Is(err, wire.ErrKeyTooLong) {
		t.Errorf("20 bytes: want ErrKeyTooLong, got %v", err)
	}
	k := key(t, "hunter2")
	for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
		if s := fmt.Sprintf(format, k); strings.Contains(s, "hunter2") || s != "[redacted]" {
			t.Errorf("%s prints %q", format, s)
		}
	}
	if k == key(t, "hunter3") || k != key(t, "hunter2") {
		t.Error("keys do not compare by their passphrase")
	}
}

func TestMACs(t *testing.T) {
	t.Parallel()
	for addr, want := range map[string]string{
		"224.0.0.18": "01005e000012", "239.255.1.2": "01005e7f0102", "::ffff:224.0.0.18": "01005e000012",
		"ff02::12": "333300000012", "ff02::1:ff00:1234": "3333ff001234",
		"192.0.2.1": "000000000000", "2001:db8::1": "000000000000",
	} {
		mac := wire.MulticastMAC(netip.MustParseAddr(addr))
		if got := hex.EncodeToString(mac[:]); got != want {
			t.Errorf("%s: want %s, got %s", addr, want, got)
		}
	}
	if got := wire.VirtualMAC(255); got != [6]byte{0, 0, 0x5e, 0, 1, 255} {
		t.Errorf("virtual mac: got %x", got)
	}
	if wire.MulticastV4.String() != "224.0.0.18" || wire.MulticastV6.String() != "ff02::12" {
		t.Errorf("groups: got %v, %v", wire.MulticastV4, wire.MulticastV6)
	}
}

func TestChecksum(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		in   string
		want uint16
	}{
		{"", 0xffff},
		{"0001f203f4f5f6f7", 0x220d}, // RFC 1071
		{"ff", 0x00ff},               // an odd byte is the high one
		{"ffffffffffff", 0},
		{strings.Repeat("ffff", 40000) + "0001", 0xfffe}, // more carries than 16 bits hold
	} {
		if got := wire.Checksum(unhex(t, tc.in)); got != tc.want {
			t.Errorf("%.20s: want %04x, got %04x", tc.in, tc.want, got)
		}
	}
}

func TestIsVRRP(t *testing.T) {
	t.Parallel()
	v4, v6 := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("fe80::2")
	v3, err := wire.VRRP{
		VRID:     1,
		Priority: 100,
		Interval: 100,
		Addrs:    addrs("192.0.2.1", "192.0.2.9"),
	}.AppendPayload(
		nil,
		v4,
		wire.MulticastV4,
	)
	if err != nil {
		t.Fatal(err)
	}
	v3six, err := wire.VRRP{VRID: 1, Addrs: addrs("2001:db8::1")}.AppendPayload(nil, v6, wire.MulticastV6)
	if err != nil {
		t.Fatal(err)
	}
	sum := func(b []byte) []byte {
		b[6], b[7] = 0, 0
		binary.BigEndian.PutUint16(b[6:], wire.Checksum(b))
		return b
	}
	v2 := sum([]byte{0x21, 1, 100, 1, 0, 1, 0, 0, 192, 0, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	carp := unhex(t, capturedV4)[34:]
	for _, tc := range []struct {
		name     string
		src, dst netip.Addr
		payload  []byte
		want     bool
	}{
		{"version 3", v4, wire.MulticastV4, v3, true},
		{"version 3 over ipv6", v6, wire.MulticastV6, v3six, true},
		{"version 3 from another source", netip.MustParseAddr("192.0.2.3"), wire.MulticastV4, v3, false},
		{"version 3 cut", v4, wire.MulticastV4, v3[:len(v3)-4], false},
		{"version 3 with a byte more", v4, wire.MulticastV4, append(bytes.Clone(v3), 0), false},
		{"version 2", v4, wire.MulticastV4, v2, true},
		{"version 2 over ipv6", v6, wire.MulticastV6, v2, false},
		{"version 2 with a wrong sum", v4, wire.MulticastV4, append([]byte{0x22}, v2[1:]...), false},
		{"version 2 without authentication data", v4, wire.MulticastV4, sum(bytes.Clone(v2[:12])), false},
		{"carp", v4, wire.MulticastV4, carp, false},
		{
			"carp with authlen 5 has the shape of vrrp",
			v4,
			wire.MulticastV4,
			resum(append([]byte{0x21, 1, 0, 5}, carp[4:]...)),
			true,
		},
		{"version 1", v4, wire.MulticastV4, sum(append([]byte{0x11}, v2[1:]...)), false},
		{"nothing", v4, wire.MulticastV4, nil, false},
	} {
		if got := wire.IsVRRP(tc.src, tc.dst, tc.payload); got != tc.want {
			t.Errorf("%s: want %v, got %v", tc.name, tc.want, got)
		}
	}
	for n := range v3 {
		got, err := wire.ParseVRRP(v4, wire.MulticastV4, v3[:n])
		want := wire.ErrLength
		if n < 8 {
			want = wire.ErrShort
		}
		if !errors.Is(err, want) || got.Addrs != nil || got.VRID != 0 {
			t.Errorf("%d bytes: want %v, got %v, %+v", n, want, err, got)
		}
	}
	if _, err := wire.ParseVRRP(v4, wire.MulticastV4, v2); !errors.Is(err, wire.ErrVersion) {
		t.Errorf("version 2: want ErrVersion, got %v", err)
	}
	if _, err := wire.ParseVRRP(v6, v4, v3[:8]); err == nil {
		t.Error("cut message accepted")
	}
	v3[2]++
	if _, err := wire.ParseVRRP(v4, wire.MulticastV4, v3); !errors.Is(err, wire.ErrChecksum) {
		t.Errorf("changed priority: want ErrChecksum, got %v", err)
	}
}
