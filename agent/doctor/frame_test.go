// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"bytes"
	"net/netip"
	"testing"

	"vipd/agent/doctor"
	"vipd/agent/wire"
)

func TestFromFrame(t *testing.T) {
	t.Parallel()
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	frame := func(src string, ttl uint8) []byte {
		a := netip.MustParseAddr(src)
		dst := wire.MulticastV4
		if a.Is6() {
			dst = wire.MulticastV6
		}
		b, err := wire.AdvertFrame{
			SrcMAC: mac, DstMAC: wire.MulticastMAC(dst), Src: a, Dst: dst, TTL: ttl, Advert: signed(t, "secret", nil, nil),
		}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	tagged := func(b []byte, tags ...byte) []byte {
		out := bytes.Clone(b[:12])
		for _, id := range tags {
			out = append(out, 0x81, 0, 0, id)
		}
		return append(out, b[12:]...)
	}
	withOptions := func(b []byte) []byte {
		out := bytes.Clone(b[:34])
		out[14] = 0x46
		return append(append(out, 1, 1, 1, 1), b[34:]...)
	}
	for name, c := range map[string]struct {
		frame []byte
		src   string
		ttl   uint8
	}{
		"ipv4":         {frame("192.0.2.12", 254), "192.0.2.12", 254},
		"ipv6":         {frame("fe80::12", 3), "fe80::12", 3},
		"one tag":      {tagged(frame("192.0.2.12", 255), 5), "192.0.2.12", 255},
		"two tags":     {tagged(frame("fe80::12", 255), 5, 6), "fe80::12", 255},
		"with options": {withOptions(frame("192.0.2.12", 255)), "192.0.2.12", 255},
	} {
		r, ok := doctor.FromFrame(c.frame)
		a, err := wire.ParseAdvert(r.Payload)
		if !ok || err != nil || a.VHID != 1 || r.VHID() != 1 || r.Src.String() != c.src || r.TTL != c.ttl || r.SrcMAC != mac {
			t.Errorf("%s: %+v %v, %v", name, r, ok, err)
		}
		for n := range c.frame {
			r, ok := doctor.FromFrame(c.frame[:n]) // cut off anywhere it is less to tell, and no harm
			if _, err := wire.ParseAdvert(r.Payload); ok && err == nil {
				t.Errorf("%s: an advert in %d of %d bytes", name, n, len(c.frame))
			}
			r.VHID()
		}
	}
	for name, b := range map[string][]byte{
		"arp":        wire.GratuitousARP(1, netip.MustParseAddr("192.0.2.1")),
		"three tags": tagged(frame("192.0.2.12", 255), 1, 2, 3),
		"empty":      nil,
	} {
		if r, ok := doctor.FromFrame(b); ok {
			t.Errorf("%s: %+v", name, r)
		}
	}
	udp := frame("192.0.2.12", 255)
	udp[23] = 17
	if _, ok := doctor.FromFrame(udp); ok {
		t.Error("another protocol is taken for an advert")
	}
}

func TestAskFromFrame(t *testing.T) {
	t.Parallel()
	mac := [6]byte{2, 0, 0, 0, 0, 9}
	request := wire.ARP{Op: wire.ARPRequest, SenderMAC: mac, SenderIP: peerAddr, TargetIP: vip}
	arp, err := wire.AppendARP(nil, request, mac, wire.Broadcast)
	if err != nil {
		t.Fatal(err)
	}
	target := netip.MustParseAddr("2001:db8::100")
	ns := append(make([]byte, 54), wire.AppendNS(nil, target, mac)...)
	copy(ns[6:], mac[:])
	ns[12], ns[13] = 0x86, 0xdd
	for want, frame := range map[netip.Addr][]byte{vip: arp, target: ns} {
		a, ok := doctor.AskFromFrame(frame)
		if !ok || a.MAC != mac || a.Address != want {
			t.Errorf("%+v %v, want %s", a, ok, want)
		}
		for n := range frame[:41] {
			if a, ok := doctor.AskFromFrame(frame[:n]); ok {
				t.Errorf("%+v in %d bytes", a, n)
			}
		}
	}
	reply := bytes.Clone(arp)
	reply[21] = 2
	for _, b := range [][]byte{reply, wire.UnsolicitedNA(1, target, false)} {
		if a, ok := doctor.AskFromFrame(b); ok {
			t.Errorf("%+v asks", a)
		}
	}
}
