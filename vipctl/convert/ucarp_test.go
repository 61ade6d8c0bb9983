// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"
	"testing"
)

func TestUcarpRefused(t *testing.T) {
	const good = "ucarp -i eth0 -v 1 -p sesame -a 192.0.2.1"
	for _, tt := range []struct {
		text string
		want []string
	}{
		{"", []string{" there is no virtual address in it"}},
		{"# " + good + "\nucarp is started elsewhere\n", []string{" there is no virtual address in it"}},
		{"ucarp -v 0 -p sesame", []string{
			"1: no interface is given (-i), and vipd needs one; ucarp uses the first it finds",
			`1: vhid (-v) is "0"; allowed is 1..255`, "1: no virtual address is given (-a)",
		}},
		{"ucarp -i lo -v 1 -p x -a 192.0.2.1", []string{"1: lo is the loopback interface, which has no peers"}},
		{"ucarp -i eth0:1 -v 1 -p x -a 192.0.2.1", []string{`1: "eth0:1" is not a valid interface name`}},
		{"\n\nucarp -i eth0 -p x -a 192.0.2.1", []string{"3: no vhid is given (-v)"}},
		{
			"ucarp -i eth0 -v $VHID -p x -a 192.0.2.1",
			[]string{
				`1: vhid (-v) is "$VHID", which only the shell or systemd can expand: replace it by its value and import again`,
			},
		},
		{"ucarp -i eth0 -v 1 -p x -a 192.0.2.300", []string{`1: "192.0.2.300" is not an IPv4 address`}},
		{"ucarp -i eth0 -v 1 -p x -a 224.0.0.1", []string{"1: 224.0.0.1 is not an address that a host can have"}},
		{"ucarp -i eth0 -v 1 -a 192.0.2.1", []string{"1: no password is given (-p or -o)"}},
		{good + " -o /etc/key", []string{"1: both a password (-p) and a password file (-o) are given"}},
		{
			"ucarp -i eth0 -v 1 -p 12345678901234567890 -a 192.0.2.1",
			[]string{"1: the password has 20 bytes; vipd and the BSDs allow 19: use another one on all nodes"},
		},
		{good + " -b 0", []string{"1: advbase and advskew are both 0, an interval of zero: vipd needs one of them above 0"}},
		{good + " -k 255", []string{`1: advskew (-k) is "255"; allowed is 0..254`}},
		{good + " -r x", []string{`1: dead ratio (-r) is "x"; allowed is 1..1000`}},
		{good + " --bogus", []string{"1: there is no option --bogus in ucarp"}},
		{good + " --s", []string{"1: there is no option --s in ucarp"}}, // of srcip and shutdown
		{good + " -q", []string{"1: there is no option -q in ucarp"}},
		{good + " -u", []string{"1: option -u has no value"}},
		{good + " -x 'open", []string{"1: a quotation mark is not closed"}},
		{
			good + "\n" + strings.Replace(good, "192.0.2.1", "192.0.2.2", 1),
			[]string{"2: eth0@1 is already defined (f line 1): vipd has one group for each interface and vhid, with all its " +
				"addresses; change one vhid"},
		},
		{good + "\n" + strings.Replace(good, "-v 1", "-v 2", 1), []string{"2: 192.0.2.1 is already an address of eth0@1"}},
		{
			"iface eth0 inet static\n ucarp-vid 1\n",
			[]string{"1: no virtual address is given (-a)", "1: no password is given (-p or -o)"},
		},
	} {
		got, err := Ucarp(File{"f", []byte(tt.text)}, Options{})
		if err == nil {
			t.Errorf("%q was accepted:\n%s", tt.text, got.TOML)
			continue
		}
		if p := problems(t, err); !slices.Equal(p, tt.want) {
			t.Errorf("%q:\n got %q\nwant %q", tt.text, p, tt.want)
		}
		if strings.Contains(err.Error(), "12345678901234567890") || strings.Contains(err.Error(), "sesame") {
			t.Errorf("the password is told: %v", err)
		}
	}
}

// Different spellings of one command line give the same result.
func TestUcarpSpellings(t *testing.T) {
	want, err := Ucarp(File{"f", []byte("ucarp -i eth0 -v 1 -p sesame -a 192.0.2.1 -P -k 10")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{
		"/usr/sbin/ucarp --interface=eth0 --vhid=1 --pass=sesame --addr=192.0.2.1 --preempt --advskew=10",
		"exec ucarp --int eth0 --vh 1 --pass sesame --addr 192.0.2.1 --pre --advs 10 -B -D -z -n",
		"ucarp -ieth0 -v1 -psesame -a192.0.2.1 -zBPk10",
		"  nohup \"/usr/sbin/ucarp\" -i 'eth0' -v \"1\" -p ses\"am\"e -a 192.0.2.1 -P -k 10 & # in the background",
		"ExecStart=/usr/sbin/ucarp -i eth0 -v 1 \\\n  -p sesame -a 192.0.2.1 -P -k 10\n",
		"@reboot root /usr/sbin/ucarp -i eth0 -v 1 -p sesame -a 192.0.2.1 -P -k 10 > /dev/null 2>&1",
		"start-stop-daemon -b -S -x /usr/sbin/ucarp -- -i eth0 -v 1 -p sesame -a 192.0.2.1 -P -k 10",
	} {
		got, err := Ucarp(File{"f", []byte(text)}, Options{})
		if err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if got.TOML != want.TOML || !slices.Equal(got.Keys, want.Keys) {
			t.Errorf("%q:\n%s\nwant\n%s", text, got.TOML, want.TOML)
		}
	}
}

func TestMaskBits(t *testing.T) {
	for mask, want := range map[string]int{
		"255.255.255.0": 24, "255.255.255.255": 32, "0.0.0.0": 0, "24": 24, "255.255.252.0": 22,
	} {
		if got, ok := maskBits(mask); !ok || got != want {
			t.Errorf("maskBits(%s) = %d, %v", mask, got, ok)
		}
	}
	for _, mask := range []string{"255.0.255.0", "x", "-1", "::"} {
		if got, ok := maskBits(mask); ok {
			t.Errorf("maskBits(%s) = %d", mask, got)
		}
	}
}
