// SPDX-License-Identifier: Apache-2.0

package doctor_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/doctor"
	"vipd/agent/wire"
)

func addrs(list ...string) []netip.Addr {
	out := make([]netip.Addr, len(list))
	for i, s := range list {
		out[i] = netip.MustParseAddr(s)
	}
	return out
}

func key(t *testing.T, pass string) wire.Key {
	t.Helper()
	k, err := wire.NewKey([]byte(pass))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// signed is an advert of VHID 1 that is signed with the password, the list and the link-layer address.
func signed(t *testing.T, pass string, list []netip.Addr, ll *[6]byte) wire.Advert {
	t.Helper()
	const counter = 0x0123456789abcdef
	return wire.Advert{
		VHID:    1,
		AdvBase: 1,
		Counter: counter,
		Digest:  key(t, pass).Digest(wire.DigestPrefix(1, list, ll), counter),
	}
}

var equateAddrs = cmp.Comparer(func(a, b netip.Addr) bool { return a == b })

func TestExplain(t *testing.T) {
	t.Parallel()
	list := addrs("192.0.2.1", "192.0.2.7", "198.51.100.9", "2001:db8::1", "fe80::200:5eff:fe00:101")
	mac := [6]byte{2, 17, 34, 51, 68, 85}
	base := func() doctor.Question {
		return doctor.Question{
			SrcMAC: mac,
			Own:    []doctor.Signature{{Name: "own", Key: key(t, "secret"), Addresses: list}},
			Others: []doctor.Signature{{Name: "eth1@1", Key: key(t, "other"), Addresses: addrs("203.0.113.1")}},
			Keys: []doctor.NamedKey{
				{Name: "no password", Key: key(t, "")},
				{Name: "the password of eth1@1", Key: key(t, "other")},
			},
			Near:    addrs("203.0.113.1", "192.0.2.1", "203.0.113.2"),
			Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/64")},
		}
	}
	without := func(gone ...string) []netip.Addr {
		var out []netip.Addr
		for _, a := range list {
			keep := true
			for _, g := range gone {
				keep = keep && a.String() != g
			}
			if keep {
				out = append(out, a)
			}
		}
		return out
	}
	with := func(l []netip.Addr, more ...string) []netip.Addr {
		return append(append([]netip.Addr{}, l...), addrs(more...)...)
	}
	for name, c := range map[string]struct {
		advert wire.Advert
		change func(*doctor.Question)
		want   doctor.Explanation
	}{
		"as reported": { // too different to be guessed
			advert: signed(t, "secret", addrs("192.0.2.1", "203.0.113.50", "203.0.113.51", "203.0.113.52"), nil),
			change: func(q *doctor.Question) {
				q.Reported = [][]netip.Addr{list, addrs("192.0.2.1", "203.0.113.50", "203.0.113.51", "203.0.113.52")}
			},
			want: doctor.Explanation{
				Missing: without("192.0.2.1"), Extra: addrs("203.0.113.50", "203.0.113.51", "203.0.113.52"),
			},
		},
		"less one": {
			advert: signed(t, "secret", without("192.0.2.7"), nil),
			want:   doctor.Explanation{Missing: addrs("192.0.2.7")},
		},
		"less an IPv6 one": {
			advert: signed(t, "secret", without("2001:db8::1"), nil),
			want:   doctor.Explanation{Missing: addrs("2001:db8::1")},
		},
		"no link-local": {
			advert: signed(t, "secret", without("fe80::200:5eff:fe00:101"), nil),
			want:   doctor.Explanation{Missing: addrs("fe80::200:5eff:fe00:101")},
		},
		"less two": {
			advert: signed(t, "secret", without("192.0.2.1", "198.51.100.9"), nil),
			want:   doctor.Explanation{Missing: addrs("192.0.2.1", "198.51.100.9")},
		},
		"no IPv4": {
			advert: signed(t, "secret", without("192.0.2.1", "192.0.2.7", "198.51.100.9"), nil),
			want:   doctor.Explanation{Missing: addrs("192.0.2.1", "192.0.2.7", "198.51.100.9")},
		},
		"plus a near one": {
			advert: signed(t, "secret", with(list, "203.0.113.2"), nil),
			want:   doctor.Explanation{Extra: addrs("203.0.113.2")},
		},
		"plus two": {
			advert: signed(t, "secret", with(list, "203.0.113.2", "203.0.113.1"), nil),
			want:   doctor.Explanation{Extra: addrs("203.0.113.1", "203.0.113.2")},
		},
		"plus of subnet": {
			advert: signed(t, "secret", with(list, "192.0.2.200"), nil),
			want:   doctor.Explanation{Extra: addrs("192.0.2.200")},
		},
		"plus of a subnet6": {
			advert: signed(t, "secret", with(list, "2001:db8::3f"), nil),
			want:   doctor.Explanation{Extra: addrs("2001:db8::3f")},
		},
		"beside its own": {
			advert: signed(t, "secret", with(list, "198.51.100.10"), nil),
			want:   doctor.Explanation{Extra: addrs("198.51.100.10")},
		},
		"mistyped": {
			advert: signed(t, "secret", with(without("192.0.2.7"), "192.0.2.77"), nil),
			want:   doctor.Explanation{Missing: addrs("192.0.2.7"), Extra: addrs("192.0.2.77")},
		},
		"swapped for near": {
			advert: signed(t, "secret", with(without("192.0.2.7"), "203.0.113.2"), nil),
			want:   doctor.Explanation{Missing: addrs("192.0.2.7"), Extra: addrs("203.0.113.2")},
		},
		"empty password": {
			advert: signed(t, "", list, nil),
			want:   doctor.Explanation{Key: "no password"},
		},
		"password, less": {
			advert: signed(t, "other", without("192.0.2.7"), nil),
			want:   doctor.Explanation{Key: "the password of eth1@1", Missing: addrs("192.0.2.7")},
		},
		"other group": {
			advert: signed(t, "other", addrs("203.0.113.1"), nil),
			want:   doctor.Explanation{Group: "eth1@1"},
		},
		"lladdr": {
			advert: signed(t, "secret", list, &mac),
			want:   doctor.Explanation{LLAddr: &mac},
		},
		"no lladdr": {
			advert: signed(t, "secret", list, nil),
			change: func(q *doctor.Question) { q.Own[0].LLAddr = &[6]byte{2, 9, 9, 9, 9, 9} },
			want:   doctor.Explanation{NoLLAddr: true},
		},
		"of the second context": {
			advert: signed(t, "next", addrs("192.0.2.1"), nil),
			change: func(q *doctor.Question) {
				q.Own = append(q.Own, doctor.Signature{
					Name: "accept 1", Key: key(t, "next"), Addresses: addrs("192.0.2.1", "192.0.2.3"),
				})
			},
			want: doctor.Explanation{Missing: addrs("192.0.2.3")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			q := base()
			q.Advert = c.advert
			if c.change != nil {
				c.change(&q)
			}
			got := doctor.Explain(t.Context(), q)
			if !got.Found || got.Tries < 1 || got.Tries > doctor.MaxTries {
				t.Fatalf("not found: %+v", got)
			}
			got.Found, got.Tries = false, 0
			if diff := cmp.Diff(c.want, got, equateAddrs); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestExplainGivesUp(t *testing.T) {
	t.Parallel()
	q := doctor.Question{
		Advert:  signed(t, "nobody knows", addrs("192.0.2.1"), nil),
		Own:     []doctor.Signature{{Key: key(t, "secret"), Addresses: addrs("192.0.2.1", "192.0.2.2")}},
		Subnets: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")},
	}
	if got := doctor.Explain(t.Context(), q); got.Found || got.Spent || got.Tries < 254*3 {
		t.Errorf("small subnet: %+v", got)
	}
	q.Subnets = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	if got := doctor.Explain(t.Context(), q); got.Found || !got.Spent || got.Tries != doctor.MaxTries {
		t.Errorf("large subnet: %+v", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if got := doctor.Explain(ctx, q); got.Found || !got.Spent || got.Tries != 0 {
		t.Errorf("cancelled: %+v", got)
	}
	var none doctor.Question
	none.Advert = q.Advert
	if got := doctor.Explain(t.Context(), none); got.Found || got.Spent {
		t.Errorf("nothing to try: %+v", got)
	}
}

// BenchmarkExplain measures an advert that nothing explains, the most expensive case.
func BenchmarkExplain(b *testing.B) {
	k, err := wire.NewKey([]byte("secret"))
	if err != nil {
		b.Fatal(err)
	}
	for _, n := range []int{1, 32, 1024} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			q := doctor.Question{
				Advert:  wire.Advert{VHID: 1, Counter: 1},
				Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			}
			list := make([]netip.Addr, n)
			for i := range list {
				list[i] = netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)})
			}
			q.Own = []doctor.Signature{{Key: k, Addresses: list}}
			for b.Loop() {
				if got := doctor.Explain(b.Context(), q); got.Tries != doctor.MaxTries {
					b.Fatal(got)
				}
			}
		})
	}
}
