// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestKeepalivedRefused(t *testing.T) {
	const vi = "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1/24\n }\n%s}\n"
	with := func(lines string) string { return fmt.Sprintf(vi, lines) }
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", []string{" there is no virtual address in it"}},
		{"vrrp_instance V {\n", []string{"1: the { of this block is not closed", "1: vrrp_instance V has no interface"}},
		{with("") + "}\n", []string{"8: a } without its {"}},
		{"{\n}\n" + with(""), []string{"1: a { without a name before it"}},
		{with(" priority 256\n"), []string{`7: priority is "256"; allowed is 1..255`}},
		{with(" priority\n"), []string{"7: priority needs one value"}},
		{with(" virtual_router_id 0\n"), []string{`7: virtual_router_id is "0"; allowed is 1..255`}},
		{with(" advert_int 0\n"), []string{`7: advert_int is "0"; allowed is 0.01..255 s`}},
		{with(" advert_int NaN\n"), []string{`7: advert_int is "NaN"; allowed is 0.01..255 s`}},
		{with(" preempt_delay -1\n"), []string{`7: preempt_delay is "-1"; allowed is 0..1000 s`}},
		{with(" interface lo\n"), []string{"7: lo is the loopback interface, which has no peers"}},
		{with(" virtual_ipaddress {\n bogus\n }\n"), []string{`8: "bogus" is not an address`}},
		{with(" virtual_ipaddress {\n 192.0.2.0/24\n }\n"), []string{"8: 192.0.2.0/24 is the address of the network itself"}},
		{with(" unicast_peer {\n 224.0.0.18\n }\n"), []string{`8: "224.0.0.18" is not a valid peer address`}},
		{with(" unicast_peer {\n 192.0.2.1\n }\n"), []string{"1: 192.0.2.1 is a peer and a virtual address"}},
		{with(" track_script {\n none\n }\n"), []string{"8: there is no vrrp_script none"}},
		{with(" track_script none\n"), []string{"7: track_script has no block"}},
		{with(" track_interface {\n eth1 weight 300\n }\n"), []string{`8: the weight is "300"; allowed is -253..253`}},
		{with("") + "vrrp_script s {\n}\n", []string{"8: vrrp_script s has no script"}},
		{
			with("") + "vrrp_script s {\n script \"/x\n}\n",
			[]string{"9: a quotation mark is not closed", "9: script is not a command", "8: vrrp_script s has no script"},
		},
		{
			with("") + "vrrp_script s {\n script /x\n interval x\n}\n",
			[]string{`10: interval is "x"; it must be a number of seconds`},
		},
		{
			with(" track_script {\n a_b\n a-b\n }\n") + "vrrp_script a_b {\n script /x\n}\nvrrp_script a-b {\n script /y\n}\n",
			[]string{"9: vrrp_script a_b and vrrp_script a-b would both be the check a-b; rename one"},
		},
		{
			"vrrp_instance V {\n virtual_router_id 1\n virtual_ipaddress { 192.0.2.1 }\n}\n",
			[]string{"1: vrrp_instance V has no interface"},
		},
		{
			"vrrp_instance V {\n interface eth0\n virtual_ipaddress { 192.0.2.1 }\n}\n",
			[]string{"1: vrrp_instance V has no virtual_router_id"},
		},
		{
			"vrrp_instance V {\n interface eth0\n virtual_router_id 1\n}\n",
			[]string{"1: vrrp_instance V has no virtual_ipaddress"},
		},
		{
			with("") + with(""),
			[]string{
				"8: eth0@1 is already defined (f line 1): vipd has one group for each interface and vhid, with all its " +
					"addresses; " +
					"change one vhid",
				"8: 192.0.2.1 is already an address of eth0@1",
			},
		},
		{strings.Repeat("a {\n", 20), nil},
	} {
		got, err := Keepalived(File{"f", []byte(tt.text)}, Options{})
		if err == nil {
			t.Errorf("%q was accepted:\n%s", tt.text, got.TOML)
			continue
		}
		if p := problems(t, err); tt.want != nil && !slices.Equal(p, tt.want) {
			t.Errorf("%q:\n got %q\nwant %q", tt.text, p, tt.want)
		}
	}
}

// Comments, braces and definitions in any valid place give the same result.
func TestKeepalivedSyntaxVariants(t *testing.T) {
	// One line each, so that the notes have the same numbers.
	const plain = "vrrp_instance V { # here\n"
	for _, text := range []string{
		plain + " interface eth0\n virtual_router_id 1\n priority 100\n virtual_ipaddress { 192.0.2.1/24 }\n}\n",
		plain + "interface eth0 ! the LAN\nvirtual_router_id 1 # one\n\tpriority 100\nvirtual_ipaddress {\n192.0.2.1/24\n}}",
		plain + " interface \"eth0\"\n virtual_router_id '1'\n virtual_ipaddress\n {\n 192.0.2.1/24 }\n\n}\n",
		plain + "$IF=eth0\n$NET = 192.0.2\n$VIP=${NET}.1/24\n interface $IF\n virtual_router_id 1\n" +
			" virtual_ipaddress { $VIP }\n}\n",
	} {
		got, err := Keepalived(File{"f", []byte(text)}, Options{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		_, body, _ := strings.Cut(got.TOML, "\n\n")
		want := "[[vip]] # f:1\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"192.0.2.1/24\"]\nadvbase = 1\n" +
			"advskew = 155\ndescription = \"V\"\npassword_file = \"/etc/vipd/eth0-1.key\"\n"
		if body != want {
			t.Errorf("%q:\n%s\nwant\n%s", text, body, want)
		}
	}
}

// A file that includes itself is refused.
func TestKeepalivedRefusesAFileThatIncludesItself(t *testing.T) {
	self := File{"f", []byte("include f\n")}
	_, err := Keepalived(self, Options{Include: func(string, string) ([]File, error) { return []File{self}, nil }})
	if err == nil || !strings.Contains(err.Error(), "do they include each other?") {
		t.Errorf("error %v", err)
	}
}
