// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"unicode"

	"vipd/agent/wire"
	"vipd/loader"
)

func mustHex(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

// Frames as they travel.
var (
	arpRequest = mustHex(
		"ffffffffffff 02000000000b 0806 0001 0800 06 04 0001 02000000000b c0000202 000000000000 c0000201",
	)
	arpReply = mustHex(
		"02000000000b 00005e000101 0806 0001 0800 06 04 0002 00005e000101 c0000201 02000000000b c0000202",
	)
	solicitation = mustHex(
		"3333ff000100 02000000000b 86dd 60000000 0020 3a ff fe800000000000000000000000000002 " +
			"ff0200000000000000000001ff000100" +
			"8700 0000 00000000 20010db8000000000000000000000100 0101 02000000000b",
	)
	advertisement = mustHex(
		"02000000000b 00005e000101 86dd 60000000 0020 3a ff 20010db8000000000000000000000100 " +
			"fe800000000000000000000000000002" +
			"8800 0000 60000000 20010db8000000000000000000000100 0201 00005e000101",
	)
	vrrp3 = mustHex(
		"01005e000012 00005e000101 0800 45e0 0020 0000 4000 ff 70 d873 c0000207 e0000012 " +
			"31 01 c8 01 0000 a264 c0000201",
	)
)

func tagged(frame []byte) []byte {
	return append(append(append([]byte(nil), frame[:12]...), 0x81, 0, 0, 100), frame[12:]...)
}

// withTrailer appends a trailer to an advert over IPv4.
func withTrailer(frame []byte, beat uint16) []byte {
	b, err := wire.Trailer{Beat: beat, Tag: 1}.AppendBinary(slices.Clone(frame))
	if err != nil {
		panic(err)
	}
	b[14+3] += wire.TrailerSize // of the IP header
	return b
}

func TestText(t *testing.T) {
	for _, tt := range []struct {
		name string
		e    entry
		want string
	}{
		{
			"proven",
			entry{Kind: loader.SampleAuthentic, Proven: true, Data: withTrailer(advertFrame(7), 0)},
			"advert of 192.0.2.12: advbase 1, advskew 7, demote 0, number 2748, trailer right",
		},
		{
			"beat",
			entry{Kind: loader.SampleAuthentic, Proven: true, Yielded: true, Data: tagged(withTrailer(advertFrame(7), 1000))},
			"advert of 192.0.2.12: advbase 1, advskew 7, demote 0, number 2748, beat 1000 us, trailer right; better than " +
				"ours, so XDP stopped answering at once",
		},
		{
			"bad trailer",
			entry{Kind: loader.SampleRejected, Reason: "bad_trailer", Data: withTrailer(advertFrame(7), 0)},
			"advert of 192.0.2.12 refused: bad_trailer (its trailer is wrong, or missing although the sender is a vipd node " +
				"or trailers are required); version 2, TTL 255, advbase 1, advskew 7, demote 0, number 2748, trailer wrong",
		},
		{
			"no trailer",
			entry{Kind: loader.SampleRejected, Reason: "bad_trailer", Data: advertFrame(7)},
			"advert of 192.0.2.12 refused: bad_trailer (its trailer is wrong, or missing although the sender is a vipd node " +
				"or trailers are required); version 2, TTL 255, advbase 1, advskew 7, demote 0, plain counter 0000000000000abc",
		},
		{
			"replay",
			entry{Kind: loader.SampleRejected, Reason: "replay", Data: withTrailer(advertFrame(7), 0)},
			"advert of 192.0.2.12 refused: replay (it was heard before, or its number is too low); version 2, TTL 255, " +
				"advbase 1, advskew 7, demote 0, number 2748, trailer right",
		},
		{
			"trailer not looked at",
			entry{Kind: loader.SampleRejected, Reason: "bad_ttl", Data: withTrailer(advertFrame(7), 0)},
			"advert of 192.0.2.12 refused: bad_ttl (its TTL is not 255, so it came through a router); version 2, TTL 255, " +
				"advbase 1, advskew 7, demote 0, number 2748, trailer unchecked",
		},
		{
			"sent with a trailer",
			entry{Kind: loader.SampleAdvertSent, Out: true, Data: withTrailer(advertFrame(7), 1000)},
			"our advert to 224.0.0.18: advbase 1, advskew 7, demote 0, number 2748, beat 1000 us",
		},
		{
			"tagged",
			entry{Kind: loader.SampleAuthentic, Data: tagged(advertFrame(7))},
			"advert of 192.0.2.12: advbase 1, advskew 7, demote 0, plain counter 0000000000000abc",
		},
		{
			"yielded",
			entry{Kind: loader.SampleAuthentic, Yielded: true, Data: advertFrame(0)},
			"advert of 192.0.2.12: advbase 1, advskew 0, demote 0, plain counter 0000000000000abc; better than ours, so " +
				"XDP stopped answering at once",
		},
		{"goodbye", entry{Kind: loader.SampleAuthentic, Data: advertFrame(255)}, "goodbye of 192.0.2.12"},
		{
			"sent",
			entry{Kind: loader.SampleAdvertSent, Out: true, Data: advertFrame(7)},
			"our advert to 224.0.0.18: advbase 1, advskew 7, demote 0, our counter 0000000000000abc",
		},
		{"our goodbye", entry{Kind: loader.SampleAdvertSent, Out: true, Data: advertFrame(255)}, "our goodbye to 224.0.0.18"},
		{
			"hmac",
			entry{Kind: loader.SampleRejected, Reason: "bad_hmac", Data: advertFrame(7)},
			"advert of 192.0.2.12 refused: bad_hmac (the password or the list of addresses differs from ours); version 2, " +
				"TTL 255, advbase 1, advskew 7, demote 0, plain counter 0000000000000abc",
		},
		{
			"short",
			entry{Kind: loader.SampleRejected, Reason: "bad_length", Data: advertFrame(7)[:50]},
			"advert of 192.0.2.12 refused: bad_length (it is too short); version 2, TTL 255",
		},
		{
			"vrrp",
			entry{Kind: loader.SampleForeignVRRP, Data: vrrp3},
			"VRRP advert of 192.0.2.7 on this VHID, passed on: another router uses the same number; version 3, VRID 1, " +
				"priority 200",
		},
		{
			"arp",
			entry{Kind: loader.SampleARPRequest, Data: arpRequest},
			"192.0.2.2 at 02:00:00:00:00:0b asks for 192.0.2.1; answered by XDP",
		},
		{
			"arp reply",
			entry{Kind: loader.SampleARPReply, Out: true, Data: arpReply},
			"XDP answers: 192.0.2.1 is at 00:00:5e:00:01:01",
		},
		{
			"nd",
			entry{Kind: loader.SampleNDSolicitation, Data: solicitation},
			"fe80::2 at 02:00:00:00:00:0b asks for 2001:db8::100; answered by XDP",
		},
		{
			"na",
			entry{Kind: loader.SampleNDAdvertisement, Out: true, Data: advertisement},
			"XDP answers: 2001:db8::100 is at 00:00:5e:00:01:01",
		},
		{
			"suppressed",
			entry{Kind: loader.SampleDropped, Reason: "not_answering_arp", Data: arpRequest},
			"192.0.2.2 at 02:00:00:00:00:0b asks for 192.0.2.1; dropped, since this node does not own the group now " +
				"(not_answering_arp)",
		},
		{
			"fenced",
			entry{Kind: loader.SampleDropped, Reason: "egress_not_answering_arp", Out: true, Data: arpReply},
			"ARP: 192.0.2.1 is at 00:00:5e:00:01:01; not sent, since this node does not own the group now " +
				"(egress_not_answering_arp)",
		},
		{"nothing", entry{Kind: loader.SampleAuthentic}, "advert of an unknown host: truncated"},
	} {
		rec := tt.e.record("eth0@1", "eth0", 0)
		if rec.Text != tt.want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, rec.Text, tt.want)
		}
	}
}

// TestReasonsHaveWords: every reason of the data plane is explained.
func TestReasonsHaveWords(t *testing.T) {
	for _, r := range loader.RejectReasons() {
		if rejectWords(r) == rejectWords("?") {
			t.Errorf("%s has no words", r)
		}
	}
	for k := range loader.SampleKinds() {
		e := entry{Kind: loader.SampleKind(k), Reason: "x", Data: arpRequest}
		if text := e.text(&frame{}); text == "" || text == e.Kind.String() {
			t.Errorf("%s has no words", e.Kind)
		}
	}
}

// FuzzRecord: every sample of every kind has a record with a printable text.
func FuzzRecord(f *testing.F) {
	for _, data := range [][]byte{
		arpRequest, arpReply, solicitation, advertisement, advertFrame(1), tagged(advertFrame(1)),
		tagged(tagged(arpRequest)), vrrp3, nil,
	} {
		for kind := range loader.SampleKinds() {
			f.Add(data, uint8(kind), kind%2 == 0)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, kind uint8, out bool) {
		e := entry{Kind: loader.SampleKind(kind), Reason: "bad_hmac", Out: out, Data: data, Length: len(data)}
		rec := e.record("eth0@1", "eth0", 0)
		if rec.Text == "" || strings.ContainsFunc(rec.Text, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("text %q", rec.Text)
		}
		if _, err := json.Marshal(&rec); err != nil {
			t.Error(err)
		}
	})
}

// FuzzIncident: a damaged file is refused or can be told.
func FuzzIncident(f *testing.F) {
	f.Add([]byte(`{"id":3,"group":"eth0@1","at":5,"entries":[{"at":1,"lag":-1,"kind":2,"data":"AAA="},` +
		`{"at":5,"transition":{"from":"BACKUP","to":"MASTER"}}]}`))
	f.Add([]byte(`{"id":3,"group":"eth0@1","entries":[{"kind":99,"lag":9223372036854775807}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := parseIncident(b, 3)
		if err != nil {
			return
		}
		if _, err := json.Marshal(in.whole()); err != nil && !strings.Contains(err.Error(), "year outside") {
			t.Error(err)
		}
	})
}
