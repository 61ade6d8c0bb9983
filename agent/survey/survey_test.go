// SPDX-License-Identifier: Apache-2.0

package survey

import (
	"net/netip"
	"testing"

	"vipd/agent/control/api"
	"vipd/agent/wire"
)

// A node in a group that exists already hears the hellos of its peers: they are CARP, not VRRP.
func TestSpeakers(t *testing.T) {
	t.Parallel()
	key, err := wire.NewKey([]byte("goodpass"))
	if err != nil {
		t.Fatal(err)
	}
	src, dst := netip.MustParseAddr("192.0.2.12"), netip.MustParseAddr("192.0.2.11")
	advert, err := wire.AdvertFrame{
		Src: src, Dst: wire.MulticastV4, TTL: 255, Advert: wire.Advert{VHID: 7, AuthLen: wire.AuthLen, AdvBase: 1},
	}.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	hello, err := wire.HelloFrame{Src: src, Dst: dst, Hello: wire.Hello{VHID: 7}}.AppendBinary(nil, key.TrailerKey())
	if err != nil {
		t.Fatal(err)
	}
	const payload = 14 + 20
	vrrp := append([]byte(nil), advert...)
	copy(vrrp[payload:], []byte{0x31, 7, 100, 1, 0, 100}) // version 3, VRID, priority, one address, interval
	udp := append([]byte(nil), advert...)
	udp[14+9] = 17
	speaker := func(protocol string) api.SurveySpeaker {
		return api.SurveySpeaker{Protocol: protocol, ID: 7, Address: src.String()}
	}
	for name, c := range map[string]struct {
		frame []byte
		want  api.SurveySpeaker
	}{
		"advertisement": {advert, speaker(api.ProtocolCARP)},
		"hello":         {hello, speaker(api.ProtocolCARP)},
		"VRRP":          {vrrp, speaker(api.ProtocolVRRP)},
		"UDP":           {udp, api.SurveySpeaker{}},
		"cut":           {advert[:payload+1], api.SurveySpeaker{}},
		"nothing":       {nil, api.SurveySpeaker{}},
	} {
		if got, ok := speakerOf(c.frame); got != c.want || ok != (c.want.ID != 0) {
			t.Errorf("%s: %+v, %v; want %+v", name, got, ok, c.want)
		}
	}
}
