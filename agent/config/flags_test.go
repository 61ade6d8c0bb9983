// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFromFlags(t *testing.T) {
	t.Parallel()
	cfg, warnings, err := FromFlags(Flags{
		Interface: "eth0", VHID: 1, Addresses: []string{"192.0.2.100/24"}, PasswordFile: "/k/good", AdvBase: 1,
	}, testOptions())
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := goodConfig()
	want.Source = CommandLine
	if diff := cmp.Diff(want, cfg, comparePrefixes()); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
}

func TestFromFlagsProblems(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		flags Flags
		want  []string
	}{
		{
			"nothing given",
			Flags{AdvBase: 1},
			[]string{
				`command line: --interface: "" is empty; allowed is the name of a network interface, 1..15 bytes without ` +
					`blanks, / and :`,
				`command line: --vhid: 0 is out of range, allowed is 1..255`,
				`command line: --address: missing; at least one is needed, such as --address 192.0.2.100/24`,
				`command line: --password-file: missing; name a file with the password in its first line (an empty line is the ` +
					`all-zero key that CARP has without a password)`,
			},
		},
		{
			"all wrong",
			Flags{"a b", 256, []string{"192.0.2.0/24", "192.0.2.1/24", "192.0.2.1/24"}, "/k/long", -1, 255},
			[]string{
				`command line: --interface: "a b" is not a name that the kernel allows; allowed is the name of a network ` +
					`interface, 1..15 bytes without blanks, / and :`,
				`command line: --vhid: 256 is out of range, allowed is 1..255`,
				`command line: --address: "192.0.2.0/24" is the address of the network itself; choose one for a host in it`,
				`command line: --address: 192.0.2.1 is given more than once; keep one`,
				`command line: --advbase: -1 is out of range, allowed is 0..254`,
				`command line: --advskew: 255 is out of range, allowed is 0..254`,
				`command line: --password-file: the password is 32 bytes long, CARP allows 0..19`,
			},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := FromFlags(tt.flags, testOptions())
			all, ok := errors.AsType[*Error](err)
			if !ok {
				t.Fatalf("error is %T", err)
			}
			if diff := cmp.Diff(tt.want, all.Strings()); diff != "" {
				t.Errorf("problems (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDiff(t *testing.T) {
	t.Parallel()
	before := goodConfig()
	before.Groups[0].Addresses = append(before.Groups[0].Addresses, netip.MustParsePrefix("192.0.2.101/24"))
	gone := before.Groups[0]
	gone.VHID = 2
	before.Groups = append(before.Groups, gone)

	same := *before
	same.Source = "elsewhere"
	same.Groups = []Group{before.Groups[1], before.Groups[0]}
	same.Groups[1].Addresses = []netip.Prefix{before.Groups[0].Addresses[1], before.Groups[0].Addresses[0]}
	same.Groups[1].PasswordFile = "/other/file/same/password"
	if c := Diff(before, &same); !c.Empty() {
		t.Errorf("order and file names are changes: %+v", c)
	}

	after := *before
	after.Carp.Preempt = false
	after.Carp.DSCP = 1
	after.HTTP.Listen = ""
	fresh := before.Groups[0]
	fresh.Interface = "eth1"
	changed := before.Groups[0]
	changed.AdvSkew = 100
	changed.Password = NewSecret([]byte("other"))
	changed.Addresses = changed.Addresses[:1]
	after.Groups = []Group{fresh, changed}
	want := Changes{
		Added:       []Group{fresh},
		Removed:     []Group{gone},
		Changed:     []GroupChange{{before.Groups[0], changed, []string{"addresses", "advskew", "password"}}},
		Global:      []string{"carp.preempt", "carp.dscp"},
		NeedRestart: []string{"http.listen"},
	}
	if diff := cmp.Diff(want, Diff(before, &after), comparePrefixes()); diff != "" {
		t.Errorf("changes (-want +got):\n%s", diff)
	}
}
