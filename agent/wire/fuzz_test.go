// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/netip"
	"testing"

	"vipd/agent/wire"
)

// What a parser accepts, the builder encodes and the parser decodes again. What it refuses returns no value.

func FuzzParseAdvert(f *testing.F) {
	for n := range wire.AdvertSize + 1 {
		f.Add(unhex(f, capturedV4)[34 : 34+n])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := wire.ParseAdvert(b)
		if err != nil {
			if a != (wire.Advert{}) {
				t.Fatalf("refused, yet %+v", a)
			}
			return
		}
		built, err := a.AppendBinary(nil)
		if err != nil || len(built) != wire.AdvertSize {
			t.Fatalf("build %+v: %v, %d bytes", a, err, len(built))
		}
		if again, err := wire.ParseAdvert(built); err != nil || again != a {
			t.Fatalf("round trip: %v\nwant %+v\ngot  %+v", err, a, again)
		}
	})
}

func FuzzParseAdvertFrame(f *testing.F) {
	f.Add(unhex(f, capturedV4))
	f.Add(unhex(f, capturedV6))
	f.Add(unhex(f, capturedV6)[:60])
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := wire.ParseAdvertFrame(b)
		if err != nil {
			if frame != (wire.AdvertFrame{}) {
				t.Fatalf("refused, yet %+v", frame)
			}
			return
		}
		if frame.Src.Is4In6() || frame.Dst.Is4In6() {
			return // mapped addresses on the wire: built as IPv4, by intention
		}
		built, err := frame.AppendBinary(nil)
		if err != nil {
			t.Fatalf("build %+v: %v", frame, err)
		}
		if again, err := wire.ParseAdvertFrame(built); err != nil || again != frame {
			t.Fatalf("round trip: %v\nwant %+v\ngot  %+v", err, frame, again)
		}
	})
}

func FuzzParseARP(f *testing.F) {
	f.Add(wire.GratuitousARP(1, netip.MustParseAddr("192.0.2.1")))
	f.Fuzz(func(t *testing.T, b []byte) {
		frame, err := wire.ParseARP(b)
		if err != nil {
			if frame != (wire.ARPFrame{}) {
				t.Fatalf("refused, yet %+v", frame)
			}
			return
		}
		built, err := wire.AppendARP(nil, frame.ARP, frame.SrcMAC, frame.DstMAC)
		if err != nil || string(built) != string(b[:wire.ARPFrameSize]) {
			t.Fatalf("round trip: %v\nwant %x\ngot  %x", err, b, built)
		}
	})
}

func FuzzParseVRRP(f *testing.F) {
	f.Add(unhex(f, "310164010064053ec0000201"), false)
	f.Add(unhex(f, "310100000000"), true)
	f.Fuzz(func(t *testing.T, b []byte, six bool) {
		src, dst := netip.MustParseAddr("192.0.2.202"), wire.MulticastV4
		if six {
			src, dst = netip.MustParseAddr("fe80::2"), wire.MulticastV6
		}
		v, err := wire.ParseVRRP(src, dst, b)
		if is := wire.IsVRRP(src, dst, b); err == nil && !is {
			t.Fatalf("parsed but not classified: %x", b)
		}
		if err != nil {
			return
		}
		for _, a := range v.Addrs {
			if a.Is4In6() {
				return
			}
		}
		built, err := v.AppendPayload(nil, src, dst)
		if err != nil {
			t.Fatalf("build %+v: %v", v, err)
		}
		again, err := wire.ParseVRRP(src, dst, built)
		if err != nil || again.VRID != v.VRID || again.Priority != v.Priority || again.Interval != v.Interval ||
			len(again.Addrs) != len(v.Addrs) {
			t.Fatalf("round trip: %v\nwant %+v\ngot  %+v", err, v, again)
		}
	})
}
