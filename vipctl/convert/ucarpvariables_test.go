// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"
	"testing"
)

// commonAt is an Include that has Fedora's defaults under one path.
func commonAt(path, text string) Options {
	return Options{KeyDir: "/k", Include: func(_, pattern string) ([]File, error) {
		if pattern == path {
			return []File{{path, []byte(text)}}, nil
		}
		return nil, nil
	}}
}

func TestUcarpVariables(t *testing.T) {
	const common = "# defaults\nPASSWORD=\"love\"\nBIND_INTERFACE=\"eth0\"\nSOURCE_ADDRESS=\"192.0.2.11\"\n" +
		"OPTIONS=\"--shutdown --preempt\"\n"
	for _, tt := range []struct {
		name, file, text, common string
		want                     []string
	}{
		{
			"of the number",
			"/etc/ucarp/vip-007.conf",
			"VIP_ADDRESS=\"192.0.2.1\"\n",
			common,
			[]string{
				`interface = "eth0"`, "vhid = 7", `addresses = ["192.0.2.1/32"]`, "preempt = true",
				`password_file = "/k/eth0-7.key"`,
			},
		},
		{"with a VID", "/etc/ucarp/vip-office.conf", "VID=9\nVIP_ADDRESS=192.0.2.1\n", common, []string{"vhid = 9"}},
		{
			"over the defaults",
			"/etc/ucarp/vip-010.conf",
			"export BIND_INTERFACE='eth1' # LAN\nVIP_ADDRESS=192.0.2.1\nOPTIONS='-k 20 -b 2 -M'\n",
			common,
			[]string{`interface = "eth1"`, "vhid = 10", "advskew = 20", "advbase = 2", "broadcast = true", "preempt = false"},
		},
		{
			"options win",
			"/etc/ucarp/vip-010.conf",
			"VIP_ADDRESS=192.0.2.1\nOPTIONS='--addr=192.0.2.2 --vhid 11'\n",
			common,
			[]string{"vhid = 11", `addresses = ["192.0.2.2/32"]`},
		},
		{
			"with a file",
			"/etc/ucarp/vip-001.conf",
			"BIND_INTERFACE=eth0\nVIP_ADDRESS=192.0.2.1\nPASSFILE=/etc/ucarp/p\n",
			"SOURCE_ADDRESS=$(hostname -i)\n",
			[]string{`password_file = "/etc/ucarp/p"`},
		},
	} {
		for _, path := range []string{"vip-common.conf", "/etc/ucarp/vip-common.conf"} {
			for _, text := range []string{tt.text, strings.ReplaceAll(tt.text, "\n", "\r\n")} {
				got, err := Ucarp(File{tt.file, []byte(text)}, commonAt(path, tt.common))
				if err != nil {
					t.Errorf("%s: %v", tt.name, err)
					continue
				}
				accepted(t, got.TOML)
				for _, want := range tt.want {
					if !strings.Contains(got.TOML, want+"\n") {
						t.Errorf("%s: no %s in\n%s", tt.name, want, got.TOML)
					}
				}
				if strings.Contains(got.TOML, "love") {
					t.Errorf("%s: the password stands in the config", tt.name)
				}
			}
		}
	}
}

func TestUcarpVariablesReported(t *testing.T) {
	const text = "BIND_INTERFACE=eth0\nVIP_ADDRESS=192.0.2.1\nPASSWORD=sesame\nSOURCE_ADDRESS=192.0.2.11\n" +
		"UPSCRIPT=/etc/up\nDOWNSCRIPT=/usr/libexec/ucarp/vip-down\n" +
		"VIP_NETMASK=24\nOPTIONS=\"-x lan -S\"\necho started\n"
	_, notes := notesOf(
		t,
		Ucarp,
		File{"vip-001.conf", []byte(text)},
		Options{Include: func(string, string) ([]File, error) { return nil, nil }},
	)
	for _, want := range []string{
		" there is no vip-common.conf", "7: VIP_NETMASK", "9: this line", "2: /etc/up: not run",
		"2: the source address 192.0.2.11", `2: the extra parameter "lan"`, "2: ignoring the state of the link",
	} {
		if !hasNote(notes, want) {
			t.Errorf("no note %q in %q", want, notes)
		}
	}
	for _, tt := range []struct {
		file, text string
		want       []string
	}{
		{
			"f",
			"BIND_INTERFACE=eth0\nVIP_ADDRESS=192.0.2.1\nPASSWORD=p\n",
			[]string{
				" the vhid is not known: the file has no VID, and its name is not vip-NUMBER.conf; add VID=NUMBER to it",
			},
		},
		{
			"vip-common.conf",
			"BIND_INTERFACE=eth0\n",
			[]string{
				"vip-common.conf: it has the defaults for all addresses: import each vip-*.conf next to it, which reads it as well",
			},
		},
		{
			"vip-1.conf",
			"BIND_INTERFACE=$IF\nVIP_ADDRESS=192.0.2.1\nPASSWORD=p\n",
			[]string{
				`vip-1.conf:1: BIND_INTERFACE is "$IF", which only the shell can expand: replace it by its value and import again`,
			},
		},
		{
			"vip-1.conf",
			"BIND_INTERFACE=eth0\nVIP_ADDRESS=192.0.2.1\n",
			[]string{"vip-1.conf:2: no password is given (-p or -o)"},
		},
		{
			"vip-300.conf",
			"BIND_INTERFACE=eth0\nVIP_ADDRESS=192.0.2.1\nPASSWORD=p\n",
			[]string{`vip-300.conf:2: vhid (-v) is "300"; allowed is 1..255`},
		},
	} {
		_, err := Ucarp(File{tt.file, []byte(tt.text)}, Options{})
		if err == nil {
			t.Errorf("%s: %q was accepted", tt.file, tt.text)
			continue
		}
		if p := problems(t, err); !slices.Equal(p, tt.want) {
			t.Errorf("%s: %q, want %q", tt.file, p, tt.want)
		}
	}
}
