// SPDX-License-Identifier: Apache-2.0

package hostcheck_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"vipd/agent/config"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
)

const (
	main  = 254
	red   = 20 // index of a VRF
	table = 1042
)

// links of a host: e0 (also called lan) in no VRF, e1 in the VRF red, lo, and a macvlan over e0.
func links() []netio.Link {
	return []netio.Link{
		{Index: 1, Name: "lo", Table: main},
		{Index: 2, Name: "e0", AltNames: []string{"lan", "enp0s31f6-the-long-name"}, Table: main, Ethernet: true},
		{Index: 3, Name: "e1", VRF: red, Table: table, Ethernet: true},
		{Index: 4, Name: "mv0", Table: main, Ethernet: true},
		{Index: red, Name: "red", VRF: red, Table: table},
	}
}

func linkAt(ifindex int) (netio.Link, error) {
	for _, l := range links() {
		if l.Index == ifindex {
			return l, nil
		}
	}
	return netio.Link{}, netio.ErrNoLink
}

func addr(ifindex int, prefix string) netio.Address {
	return netio.Address{IfIndex: ifindex, Prefix: netip.MustParsePrefix(prefix)}
}

func ours(ifindex int, prefix string) netio.Address {
	a := addr(ifindex, prefix)
	a.Ours = true
	return a
}

func prefixes(list ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestOrdinary(t *testing.T) {
	t.Parallel()
	onE0, onE1 := links()[1], links()[2]
	vips := prefixes("192.0.2.100/24", "2001:db8::100/64", "fe80::1/64")
	for _, c := range []struct {
		name string
		on   netio.Link
		have netio.Address
		want string // "" for none
	}{
		{"same prefix", onE0, addr(2, "192.0.2.100/24"), "192.0.2.100/24 e0"},
		{"single", onE0, addr(2, "192.0.2.100/32"), "192.0.2.100/32 e0"},
		{"IPv6", onE0, addr(2, "2001:db8::100/64"), "2001:db8::100/64 e0"},
		{"IPv6 single", onE0, addr(2, "2001:db8::100/128"), "2001:db8::100/128 e0"},
		{"on lo", onE0, addr(1, "192.0.2.100/32"), "192.0.2.100/32 lo"},
		{"on a macvlan", onE0, addr(4, "192.0.2.100/24"), "192.0.2.100/24 mv0"},
		{"on the VRF itself", onE1, addr(red, "192.0.2.100/32"), "192.0.2.100/32 red"},
		{"link-local on the interface", onE0, addr(2, "fe80::1/64"), "fe80::1/64 e0"},
		{"link-local elsewhere", onE0, addr(4, "fe80::1/64"), ""},
		{"in another VRF", onE0, addr(3, "192.0.2.100/24"), ""},
		{"on lo, which is in no VRF", onE1, addr(1, "192.0.2.100/32"), ""},
		{"of vipd", onE0, ours(2, "192.0.2.100/32"), ""},
		{"of vipd on another interface", onE0, ours(4, "192.0.2.100/32"), ""},
		{"another address", onE0, addr(2, "192.0.2.101/24"), ""},
		{"on an interface that has gone", onE0, addr(77, "192.0.2.100/24"), ""},
	} {
		got := hostcheck.NewTable([]netio.Address{addr(2, "192.0.2.11/24"), c.have}).Ordinary(c.on, vips, linkAt)
		text := ""
		if len(got) > 0 {
			text = got[0].Prefix.String() + " " + got[0].Interface
		}
		if text != c.want || len(got) > 1 {
			t.Errorf("%s: %v, want %q", c.name, got, c.want)
		}
	}
}

func TestOrdinaryDetailNamesEachCommand(t *testing.T) {
	t.Parallel()
	got := hostcheck.OrdinaryDetail([]hostcheck.Ordinary{
		{
			Prefix:    netip.MustParsePrefix("192.0.2.100/24"),
			Interface: "e0",
		},
		{Prefix: netip.MustParsePrefix("2001:db8::100/128"), Interface: "lo"},
	})
	for _, want := range []string{"`ip addr del 192.0.2.100/24 dev e0`", "`ip addr del 2001:db8::100/128 dev lo`"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q lacks %q", got, want)
		}
	}
}

// The kernel distinguishes IPv4 addresses by prefix length, but not IPv6 addresses.
func TestInWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		have netio.Address
		want bool
	}{
		{addr(2, "192.0.2.100/24"), false},
		{addr(2, "192.0.2.100/32"), true},
		{ours(2, "192.0.2.100/32"), false},
		{addr(3, "192.0.2.100/32"), false},
		{addr(2, "2001:db8::100/64"), true},
		{addr(2, "2001:db8::100/128"), true},
		{ours(2, "2001:db8::100/128"), false},
	} {
		if got := hostcheck.NewTable([]netio.Address{c.have}).InWay(2, c.have.Prefix.Addr()); got != c.want {
			t.Errorf("%+v: in the way %v, want %v", c.have, got, c.want)
		}
	}
}

func groups(list ...config.Group) *config.Config {
	for i := range list {
		list[i].Line = 10 * (i + 1)
	}
	return &config.Config{Source: "f", Groups: list}
}

func group(ifname string, vhid uint8, addresses ...string) config.Group {
	return config.Group{Interface: ifname, VHID: vhid, Addresses: prefixes(addresses...)}
}

func TestCompare(t *testing.T) {
	t.Parallel()
	own := []netio.Address{addr(2, "192.0.2.11/24"), addr(2, "2001:db8::11/64"), addr(3, "198.51.100.11/24")}
	route := func(dst, gw, src string, ifindex int) netio.Route {
		r := netio.Route{Dst: netip.MustParsePrefix(dst), IfIndex: ifindex, Table: main, Protocol: 3}
		if gw != "" {
			r.Gateway = netip.MustParseAddr(gw)
		}
		if src != "" {
			r.Source = netip.MustParseAddr(src)
		}
		return r
	}
	for _, c := range []struct {
		name              string
		cfg               *config.Config
		have              []netio.Address
		routes            []netio.Route
		refused, warnings []string // parts, one of each
	}{
		{
			"fits",
			groups(group("e0", 1, "192.0.2.100/24"), group("e0", 2, "192.0.2.101/24"), group("e1", 1, "198.51.100.1/24")),
			own,
			nil,
			nil,
			nil,
		},
		{"no such interface", groups(group("e9", 1, "192.0.2.11/24")), own, nil, nil, nil},
		{"ordinary", groups(group("e0", 1, "192.0.2.11/24")), own, nil, nil, []string{"f:10: e0@1: this host has"}},
		{
			"ordinary by an alternative name",
			groups(group("lan", 1, "192.0.2.11/24")),
			own,
			nil,
			nil,
			[]string{"192.0.2.11/24 on e0"},
		},
		{"one name alone", groups(group("lan", 1, "192.0.2.100/24")), own, nil, nil, nil},
		{
			"two names, two groups",
			groups(group("lan", 1, "192.0.2.100/24"), group("e0", 2, "192.0.2.101/24")),
			own,
			nil,
			nil,
			nil,
		},
		{
			"two names, one VHID",
			groups(group("e0", 1, "192.0.2.100/24"), group("lan", 1, "192.0.2.101/24")),
			own,
			nil,
			[]string{"f:20: vhid: lan@1 is already e0@1"},
			nil,
		},
		{
			"two names, one address",
			groups(group("e0", 1, "192.0.2.100/24"), group("lan", 2, "192.0.2.100/24")),
			own,
			nil,
			[]string{"f:20: addresses: 192.0.2.100 is already an address of e0@1"},
			nil,
		},
		{
			"no IPv4 address",
			groups(group("e0", 1, "192.0.2.100/24")),
			own[1:],
			nil,
			nil,
			[]string{"e0 has no IPv4 address of its own"},
		},
		{
			"no IPv6 address", groups(group("e0", 1, "2001:db8::100/64")),
			[]netio.Address{addr(2, "192.0.2.11/24")},
			nil, nil,
			[]string{"e0 has no IPv6 address of its own"},
		},
		{
			"link-local source",
			groups(group("e0", 1, "2001:db8::100/64")),
			[]netio.Address{addr(2, "fe80::2/64")},
			nil,
			nil,
			nil,
		},
		{"link-local alone", groups(group("e0", 1, "fe80::1/64")), []netio.Address{addr(2, "fe80::2/64")}, nil, nil, nil},
		{
			"a source", groups(group("e0", 1, "192.0.2.100/24")), own,
			[]netio.Route{route("0.0.0.0/0", "192.0.2.1", "192.0.2.100", 2), route("10.0.0.0/8", "192.0.2.1", "", 2)},
			nil,
			[]string{": default via 192.0.2.1 src 192.0.2.100;"},
		},
		{
			"an IPv6 source on another interface", groups(group("e0", 1, "2001:db8::100/64")), own,
			[]netio.Route{route("2001:db8:1::/48", "2001:db8:9::1", "2001:db8::100", 3)},
			nil,
			[]string{": 2001:db8:1::/48 via 2001:db8:9::1 src 2001:db8::100;"},
		},
		{
			"routes of a bare interface", groups(group("e0", 1, "192.0.2.100/24")), own[1:],
			[]netio.Route{
				route("0.0.0.0/0", "192.0.2.1", "", 2),
				{Dst: netip.MustParsePrefix("192.0.2.0/24"), IfIndex: 2, Table: main, Protocol: netio.RouteProtocol},
			},
			nil,
			[]string{"e0 has no IPv4 address of its own", ": default via 192.0.2.1;"},
		},
	} {
		f := &hostcheck.Facts{Links: links(), Addresses: hostcheck.NewTable(c.have), Routes: c.routes}
		refused, warnings := hostcheck.Compare(c.cfg, f)
		for what, pair := range map[string][2][]string{
			"refused": {config.Strings(refused), c.refused}, "warnings": {config.Strings(warnings), c.warnings},
		} {
			got, want := pair[0], pair[1]
			if len(got) != len(want) || !slices.EqualFunc(got, want, strings.Contains) {
				t.Errorf("%s: %s\n  %s\nwant\n  %s", c.name, what, strings.Join(got, "\n  "), strings.Join(want, "\n  "))
			}
		}
	}
}

// A list of peers may include this node. A list without another node, or a peer without an address
// family of the group, is a warning.
func TestComparePeers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		peers string
		want  []string
	}{
		{"192.0.2.11 192.0.2.12", []string{"192.0.2.11 is an address of this host and is skipped"}},
		{"192.0.2.12", nil},
		{"192.0.2.12 2001:db8::12", []string{"2001:db8::12 gets no advertisements"}},
		{"192.0.2.11", []string{"is skipped", "no peer is another node"}},
		{"192.0.2.12 198.51.100.255", []string{"198.51.100.255 is the broadcast address of a network of this host"}},
	} {
		g := config.Group{Interface: "e0", VHID: 1, Addresses: prefixes("192.0.2.100/24")}
		for p := range strings.FieldsSeq(c.peers) {
			g.Peers = append(g.Peers, netip.MustParseAddr(p))
		}
		facts := &hostcheck.Facts{Links: links(), Addresses: hostcheck.NewTable([]netio.Address{
			addr(2, "192.0.2.11/24"), addr(3, "198.51.100.11/24"),
		})}
		refused, warnings := hostcheck.Compare(&config.Config{Groups: []config.Group{g}}, facts)
		got := config.Strings(warnings)
		if len(refused) > 0 || len(got) != len(c.want) {
			t.Errorf("peers %s: refused %v, warnings %q, want %q", c.peers, refused, got, c.want)
			continue
		}
		for i, want := range c.want {
			if !strings.Contains(got[i], want) {
				t.Errorf("peers %s: warning %q, want %q", c.peers, got[i], want)
			}
		}
	}
}

// A config names interfaces on which no group can run before the daemon finds out.
func TestUnfitInterfacesAreNamed(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		link netio.Link
		want string // "" for none
	}{
		{netio.Link{Ethernet: true}, ""},
		{
			netio.Link{Ethernet: true, MasterName: "br0", MasterKind: "bridge"},
			`f:7: p0@1: interface p0 is a port of the bridge br0, which takes its frames; configure interface = "br0" instead`,
		},
		{netio.Link{}, "f:7: p0@1: interface p0 is not an Ethernet interface; CARP needs one"},
		{netio.Link{Ethernet: true, Unfit: "p0 cannot"}, "f:7: p0@1: p0 cannot"},
	} {
		c.link.Index, c.link.Name = 9, "p0"
		cfg := &config.Config{Source: "f", Groups: []config.Group{
			{Line: 7, Interface: "p0", VHID: 1, Addresses: prefixes("192.0.2.100/24")},
		}}
		_, warnings := hostcheck.Compare(cfg, &hostcheck.Facts{
			Links:     []netio.Link{c.link},
			Addresses: hostcheck.NewTable([]netio.Address{addr(9, "192.0.2.11/24")}),
		})
		if got := strings.Join(config.Strings(warnings), "\n"); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}
