// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"net/netip"
	"strings"
	"testing"

	"vipd/agent/doctor"
	"vipd/agent/wire"
)

// TestBadTrailerTellsCausesApart: another implementation, one that the group does not admit, and a forgery.
func TestBadTrailerTellsCausesApart(t *testing.T) {
	frame := func(trailer *wire.Trailer) []byte {
		b, err := wire.AdvertFrame{
			Src: peerAddr, Dst: wire.MulticastV4, TTL: 255, Advert: wire.Advert{VHID: 1, AdvBase: 1}, Trailer: trailer,
		}.AppendBinary(nil)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	without, wrong := frame(nil), frame(&wire.Trailer{Tag: 1})
	hello, err := wire.HelloFrame{
		Src: peerAddr, Dst: netip.MustParseAddr("192.0.2.11"), Hello: wire.Hello{VHID: 1},
	}.AppendBinary(nil, wire.TrailerKey{9})
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name     string
		frames   [][]byte
		required bool
		own      bool
		cause    string
		action   string
	}{
		{
			"not recorded", nil, false, false,
			"from the address of a vipd node", "vipctl peer forget ADDRESS",
		},
		{
			"another implementation",
			[][]byte{without},
			false, false,
			"from the address of a vipd node", "vipctl peer forget 192.0.2.12",
		},
		{"required", [][]byte{without}, true, false, "require_trailer = true", "remove require_trailer"},
		{"forged", [][]byte{without, wrong}, false, false, "other contents than it sent", "by its MAC"},
		{"forged, required", [][]byte{wrong}, true, false, "other contents than it sent", "by its MAC"},
		{"a forged hello", [][]byte{hello}, false, false, "Hellos arrive", "the same password"},
		{"both", [][]byte{hello, without}, false, false, "from the address of a vipd node", "vipctl peer forget 192.0.2.12"},
		{"our own address", [][]byte{without}, false, true, "from an address of this node", "another host has that address"},
	} {
		f := master()
		g := &f.Groups[0]
		g.Rise["bad_trailer"], g.RequireTrailer = 3, tt.required
		g.Rejects = []doctor.Reject{{Reason: "bad_hmac", Src: netip.MustParseAddr("192.0.2.99")}}
		for _, b := range tt.frames {
			r, ok := doctor.FromFrame(b)
			if !ok {
				t.Fatal("not an advert")
			}
			r.Reason, r.Own = "bad_trailer", tt.own
			g.Rejects = append(g.Rejects, r)
		}
		found := 0
		for _, finding := range doctor.Diagnose(f).Findings {
			if finding.Code != doctor.CodeBadTrailer {
				continue
			}
			found++
			if !strings.Contains(finding.Cause, tt.cause) || !strings.Contains(finding.Advice, tt.action) {
				t.Errorf("%s: %+v", tt.name, finding)
			}
		}
		if found != 1 {
			t.Errorf("%s: %d findings", tt.name, found)
		}
	}
}
