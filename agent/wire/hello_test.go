// SPDX-License-Identifier: Apache-2.0

package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"
)

func addresses(t testing.TB, texts ...string) []netip.Addr {
	t.Helper()
	out := make([]netip.Addr, 0, len(texts))
	for _, s := range texts {
		a, err := netip.ParseAddr(s)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, a)
	}
	return out
}

func exampleHello(t testing.TB) Hello {
	return Hello{
		VHID: 7, Number: 1_764_000_000_000_000, State: HelloBackup, Maintenance: true, Preempt: true, Complete: true,
		AdvBase: 1, AdvSkew: 100, EffectiveAdvBase: 1, EffectiveAdvSkew: 240, Demotion: 240,
		TakesOverIn: 3900 * time.Millisecond, List: 0x01020304, Key: 0x05060708, Beat: 1000, Every: 48 * time.Second, Run: 5,
		Node: "fw2", Version: "0.2.0", Demotions: []string{"maintenance", "check:web"},
		Addresses: addresses(t, "192.0.2.1", "2001:db8::1"),
	}
}

func payload(t testing.TB, h Hello) []byte {
	t.Helper()
	b, err := h.AppendBinary(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestHelloBytes pins the bytes on the wire.
func TestHelloBytes(t *testing.T) {
	b := payload(t, exampleHello(t))
	goldenKey(t).TrailerKey().SignHello(netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3"), b)
	want := "f107006800000000" + "0006445941624000" + "6aca81dbe31492fa" +
		"0213016401f000f0" + "00000f3c01020304" + "0506070803e83005" +
		"03667732" + "05302e322e30" + "156d61696e74656e616e63652c636865636b3a776562" +
		"0204c000020110" + "20010db8000000000000000000000001" + "00"
	if got := fmt.Sprintf("%x", b); got != want {
		t.Errorf("\n got %s\nwant %s", got, want)
	}
	key := goldenKey(t).TrailerKey()
	if got := key.Fingerprint(); got != 0x26b1a18b {
		t.Errorf("fingerprint of the key: %#08x", got)
	}
	if got := ListFingerprint(exampleHello(t).Addresses); got != 0xd2e92e12 {
		t.Errorf("fingerprint of the list: %#08x", got)
	}
}

func TestHelloRoundTrip(t *testing.T) {
	full := exampleHello(t)
	answer := full
	answer.State, answer.Answer, answer.Disabled, answer.Maintenance = HelloMaster, true, true, false
	answer.TakesOverIn = NeverTakesOver
	longest := full
	longest.Node, longest.Version = strings.Repeat("n", 64), strings.Repeat("v", 63)
	longest.Demotions = []string{strings.Repeat("a", 63), strings.Repeat("b", 63)}
	for name, h := range map[string]Hello{
		"full": full, "answer": answer, "nothing": {}, "no address": {Node: "a"}, "longest": longest,
		"no character": {Node: "fw\uFFFD"},
	} {
		b := payload(t, h)
		if got, err := ParseHello(b); err != nil || !reflect.DeepEqual(got, h) || len(b)%8 != 0 || !IsHello(b) {
			t.Errorf("%s: %d bytes: %v\n got %+v\nwant %+v", name, len(b), err, got, h)
		}
	}
}

// TestHelloIsCut: what does not fit is left out, whole names at a time, and the list is then not complete.
func TestHelloIsCut(t *testing.T) {
	h := exampleHello(t)
	h.Node, h.Version, h.TakesOverIn = strings.Repeat("n", 63)+"é", strings.Repeat("v", 70), 1<<62
	h.Demotions = []string{strings.Repeat("a", 100), strings.Repeat("b", 26), "c"}
	h.Addresses = nil
	for i := range 16 {
		h.Addresses = append(h.Addresses, netip.AddrFrom16([16]byte{0: 0x20, 15: uint8(i)}))
	}
	b := payload(t, h)
	got, err := ParseHello(b)
	if err != nil || len(b) > HelloMax || got.Node != strings.Repeat("n", 63) || len(got.Version) != 63 ||
		!reflect.DeepEqual(got.Demotions, h.Demotions[:2]) || len(got.Addresses) != 12 || got.Complete ||
		got.TakesOverIn != NeverTakesOver {
		t.Errorf("%d bytes: %v: %+v", len(b), err, got)
	}
	cut := h.Cut()
	if !reflect.DeepEqual(cut.Cut(), cut) || cut.Node != got.Node || cut.Version != got.Version ||
		!reflect.DeepEqual(cut.Demotions, got.Demotions) || len(cut.Addresses) != 16 {
		t.Errorf("cut without being sent: %+v", cut)
	}
	h.Node, h.Version, h.Demotions = "fw", "0", nil
	h.Addresses = append(h.Addresses, netip.MustParseAddr("192.0.2.1"))
	if got, err = ParseHello(payload(t, h)); err != nil || len(got.Addresses) != 16 || got.Complete {
		t.Errorf("17 addresses: %v: %+v", err, got)
	}
	h.Addresses = h.Addresses[:16]
	if got, err = ParseHello(payload(t, h)); err != nil || len(got.Addresses) != 16 || !got.Complete {
		t.Errorf("16 addresses: %v: %+v", err, got)
	}
}

// TestHelloLengths: each length that lies is refused, and so is each truncation.
func TestHelloLengths(t *testing.T) {
	good := payload(t, exampleHello(t))
	for n := range good {
		if _, err := ParseHello(good[:n]); err == nil {
			t.Errorf("%d of %d bytes are taken", n, len(good))
		}
		short := append([]byte(nil), good[:n]...)
		if n >= 4 { // and states its own length
			binary.BigEndian.PutUint16(short[2:], uint16(n))
			if h, err := ParseHello(short); err == nil {
				t.Errorf("%d bytes of %d are taken: %+v", n, len(good), h)
			}
		}
	}
	// The offsets of the lengths in the example.
	node := 48
	version := node + 1 + len("fw2")
	demotions := version + 1 + len("0.2.0")
	list := demotions + 1 + len("maintenance,check:web")
	for name, at := range map[string]int{
		"node": node, "version": version, "demotions": demotions, "list": list, "address": list + 1, "second": list + 6,
	} {
		taken := 0
		for v := range 256 {
			b := append([]byte(nil), good...)
			b[at] = uint8(v)
			h, err := ParseHello(b)
			switch {
			case err != nil && !reflect.DeepEqual(h, Hello{}):
				t.Errorf("%s of %d: refused, yet %+v", name, v, h)
			case err == nil:
				taken++
			}
		}
		// A shorter list and the right value; every other one moves what follows to where it does not fit.
		if most := 3; taken == 0 || taken > most {
			t.Errorf("%s: %d lengths are taken, at most %d", name, taken, most)
		}
	}
	for _, n := range []int{0, 8, len(good) - 8, len(good) + 8, 0xffff} {
		b := append([]byte(nil), good...)
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		if _, err := ParseHello(b); !errors.Is(err, ErrLength) {
			t.Errorf("%d bytes state %d: %v", len(b), n, err)
		}
	}
	long := append(append([]byte(nil), good...), make([]byte, HelloMax+8-len(good))...)
	binary.BigEndian.PutUint16(long[2:], uint16(len(long)))
	if _, err := ParseHello(long); !errors.Is(err, ErrLength) {
		t.Errorf("%d bytes: %v", len(long), err)
	}
}

// TestLaterHello: a later version appends to the body and uses more flags.
func TestLaterHello(t *testing.T) {
	h := exampleHello(t)
	b := append(payload(t, h), 1, 2, 3, 4, 5, 6, 7, 8)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	b[25] |= 0xe0
	if got, err := ParseHello(b); err != nil || !reflect.DeepEqual(got, h) {
		t.Errorf("%v: %+v", err, got)
	}
}

func TestHelloRefusesUnprintableTexts(t *testing.T) {
	for _, text := range []string{"\x1b[31m", "a\nb", "\xff", "\u202e"} {
		for _, h := range []Hello{{Node: text}, {Version: text}, {Demotions: []string{text}}} {
			if got, err := ParseHello(payload(t, h)); !errors.Is(err, ErrRange) {
				t.Errorf("%q: %v: %+v", text, err, got)
			}
		}
	}
	if _, err := ParseHello([]byte{0x21, 1}); !errors.Is(err, ErrVersion) {
		t.Errorf("an advertisement: %v", err)
	}
	if _, err := ParseHello(nil); !errors.Is(err, ErrShort) {
		t.Errorf("nothing: %v", err)
	}
}

// TestHelloTagCoversAll: each byte of the payload but the tag's own, both addresses and the key change the tag.
func TestHelloTagCoversAll(t *testing.T) {
	k, b := goldenKey(t).TrailerKey(), payload(t, exampleHello(t))
	src, dst := netip.MustParseAddr("192.0.2.2"), netip.MustParseAddr("192.0.2.3")
	good := k.HelloTag(src, dst, b)
	for i := range b {
		b[i]++
		if same := k.HelloTag(src, dst, b) == good; same != (i >= 16 && i < 24) {
			t.Errorf("byte %d: the tag is the same: %v", i, same)
		}
		b[i]--
	}
	other := k
	other[15]++
	if k.HelloTag(dst, src, b) == good || other.HelloTag(src, dst, b) == good || k.HelloTag(src, src, b) == good {
		t.Error("the tag is the same for other addresses or another key")
	}
	if k.Fingerprint() == other.Fingerprint() {
		t.Error("two keys, one fingerprint")
	}
}

func TestListFingerprint(t *testing.T) {
	a := addresses(t, "192.0.2.1", "2001:db8::1", "192.0.2.2")
	same := addresses(t, "192.0.2.2", "::ffff:192.0.2.1", "2001:db8::1", "192.0.2.1")
	if ListFingerprint(a) != ListFingerprint(same) || ListFingerprint(a) == ListFingerprint(a[:2]) {
		t.Error("the fingerprint depends on the set of addresses, and on nothing else")
	}
	if a[0] != netip.MustParseAddr("192.0.2.1") {
		t.Error("the caller's list was sorted")
	}
}

func TestHelloFrame(t *testing.T) {
	k := goldenKey(t).TrailerKey()
	for _, pair := range [][2]string{{"192.0.2.2", "192.0.2.3"}, {"fe80::2", "fe80::3"}} {
		f := HelloFrame{
			SrcMAC: [6]byte{2, 0, 0, 0, 0, 2}, DstMAC: VirtualMAC(7), Src: netip.MustParseAddr(pair[0]),
			Dst: netip.MustParseAddr(pair[1]), DSCP: 48, Hello: exampleHello(t),
		}
		b, err := f.AppendBinary([]byte("before"), k)
		if err != nil || string(b[:6]) != "before" {
			t.Fatal(err)
		}
		got, err := ParseHelloFrame(b[6:])
		if err != nil || !reflect.DeepEqual(got, f) {
			t.Errorf("%v\n got %+v\nwant %+v", err, got, f)
		}
		_, p, err := parseEnvelope(b[6:])
		if err != nil || binary.LittleEndian.Uint64(p[16:]) != k.HelloTag(f.Src, f.Dst, p) {
			t.Errorf("%v: the tag is not that of the payload", err)
		}
	}
	if b, err := (HelloFrame{Src: netip.MustParseAddr("fe80::2")}).AppendBinary(nil, k); err == nil || b != nil {
		t.Errorf("no destination: %v, %d bytes", err, len(b))
	}
}

func FuzzParseHello(f *testing.F) {
	good := payload(f, exampleHello(f))
	for n := 8; n <= len(good); n += 8 {
		b := append([]byte(nil), good[:n]...)
		binary.BigEndian.PutUint16(b[2:], uint16(n))
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := ParseHello(b)
		if err != nil {
			if !reflect.DeepEqual(h, Hello{}) {
				t.Fatalf("refused, yet %+v", h)
			}
			return
		}
		built := payload(t, h)
		again, err := ParseHello(built)
		if err != nil || !reflect.DeepEqual(again, h) || len(built) > HelloMax || len(built)%8 != 0 {
			t.Fatalf("round trip: %v, %d bytes\nwant %+v\ngot  %+v", err, len(built), h, again)
		}
	})
}
