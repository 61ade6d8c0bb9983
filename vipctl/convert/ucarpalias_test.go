// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"slices"
	"strings"
	"testing"
)

const debianStanza = `iface eth0 inet static
 address 10.0.0.2
 netmask 255.255.255.0
 ucarp-vid 3
 ucarp-vip 10.0.0.1
 ucarp-password sesame
 ucarp-master yes
`

// notesOf converts and returns the addresses line and the notes, without the name of the file.
func notesOf(t *testing.T, do converter, f File, opts Options) (addresses string, notes []string) {
	t.Helper()
	got, err := do(f, opts)
	if err != nil {
		t.Fatalf("%q: %v", f.Data, err)
	}
	accepted(t, got.TOML)
	for line := range strings.Lines(got.TOML) {
		if a, ok := strings.CutPrefix(line, "addresses = "); ok {
			addresses += strings.TrimSpace(a)
		}
	}
	for _, n := range got.Notes {
		notes = append(notes, strings.TrimPrefix(n.String(), f.Name+":"))
	}
	return addresses, notes
}

func hasNote(notes []string, start string, parts ...string) bool {
	return slices.ContainsFunc(notes, func(n string) bool {
		return strings.HasPrefix(n, start) &&
			!slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(n, p) })
	})
}

// Clients use the addresses of IFACE:ucarp, not ucarp-vip.
func TestUcarpAliasHasTheAddresses(t *testing.T) {
	for _, tt := range []struct{ name, alias, want string }{
		{"the same", "iface eth0:ucarp inet static\n address 10.0.0.1\n netmask 255.255.255.255\n", `["10.0.0.1/24"]`},
		{"another", "iface eth0:ucarp inet static\n address 10.0.0.5\n netmask 255.255.255.255\n", `["10.0.0.5/24"]`},
		{"netmask first", "iface eth0:ucarp inet static\n netmask 24\n address 10.9.0.5\n", `["10.9.0.5/24"]`},
		{"with its length", "iface eth0:ucarp inet static\n address 10.9.0.5/22\n", `["10.9.0.5/22"]`},
		{"hexadecimal", "iface eth0:ucarp inet static\n address 10.9.0.5\n netmask 0xfffffe00\n", `["10.9.0.5/23"]`},
		{
			"two stanzas",
			"iface eth0:ucarp inet static\n address 10.0.0.5/32\niface eth0:ucarp inet6 static\n address 2001:db8::5\n" +
				" netmask 64\n",
			`["10.0.0.5/24", "2001:db8::5/64"]`,
		},
		{"manual", "iface eth0:ucarp inet manual\n up ip addr add 10.0.0.5/24 dev eth0\n", `["10.0.0.1/24"]`},
		{"of another interface", "iface eth1:ucarp inet static\n address 10.0.0.5\n", `["10.0.0.1/24"]`},
		{"continued", "iface eth0:ucarp \\\n inet static\n address \\\n 10.0.0.5\n", `["10.0.0.5/24"]`},
	} {
		for name, text := range map[string]string{
			"after": debianStanza + tt.alias, "before": tt.alias + debianStanza,
			"crlf": strings.ReplaceAll(debianStanza+tt.alias, "\n",
				"\r\n"), "cr": strings.ReplaceAll(debianStanza+tt.alias, "\n", "\r"),
			"bom": "\ufeff" + debianStanza + tt.alias,
		} {
			addresses, notes := notesOf(t, Ucarp, File{"f", []byte(text)}, Options{})
			if addresses != tt.want {
				t.Errorf("%s, %s: addresses %s, want %s", tt.name, name, addresses, tt.want)
			}
			if differs := !strings.Contains(addresses, "10.0.0.1/24"); hasNote(notes, "", "ucarp-vip is 10.0.0.1") != differs {
				t.Errorf("%s, %s: notes %q", tt.name, name, notes)
			}
			if name == "after" && !strings.Contains(addresses, "10.0.0.1/24") &&
				!hasNote(notes, "5: ", "ucarp-vip is 10.0.0.1") {
				t.Errorf("%s: the note has not the line of ucarp-vip: %q", tt.name, notes)
			}
		}
	}
}

// Every option of IFACE:ucarp that is left out is reported.
func TestUcarpAliasOptionsAreReported(t *testing.T) {
	text := debianStanza + "iface eth0:ucarp inet static\n\taddress 10.0.0.1\n\tnetmask 255.255.255.255\n" +
		"\tpost-up ip route add default via 10.0.0.254\n" +
		"\tpre-down /usr/local/sbin/leave now\n\tup systemctl start squid\n\tdown systemctl stop squid\n\tmtu 1400\n" +
		"\tgateway 10.0.0.254\n"
	_, notes := notesOf(t, Ucarp, File{"f", []byte(text)}, Options{})
	for start, part := range map[string]string{
		"11: ": "post-up ip route add default via 10.0.0.254",
		"12: ": "pre-down /usr/local/sbin/leave now",
		"13: ": "up systemctl start squid",
		"14: ": "down systemctl stop squid",
		"15: ": "mtu 1400",
		"16: ": "gateway 10.0.0.254",
	} {
		if !hasNote(notes, start, part) {
			t.Errorf("no note %s%s in %q", start, part, notes)
		}
	}
	_, notes = notesOf(
		t,
		Ucarp,
		File{"f", []byte(debianStanza + " ucarp-upscript /etc/up\niface eth0:ucarp inet static\n address 10.0.0.5\n up x\n")},
		Options{},
	)
	if !hasNote(notes, "9: ", "/etc/up", "only 10.0.0.1 was used") || !hasNote(notes, "11: ", "up x") {
		t.Errorf("own script: %q", notes)
	}
	_, notes = notesOf(
		t,
		Ucarp,
		File{"f", []byte(debianStanza + "iface eth7:ucarp inet static\n address 10.0.0.5\n")},
		Options{},
	)
	if !hasNote(notes, "8: ", "eth7:ucarp was left out") {
		t.Errorf("stray alias: %q", notes)
	}
}

// A command line of ucarp in an `up` option is imported, too.
func TestUcarpStartedByAStanza(t *testing.T) {
	const text = "iface eth0 inet static\n address 10.0.0.2/24\n" +
		" post-up ucarp -B -i eth0 -v 7 -p sesame -a 10.0.0.1 -u /etc/up\n"
	addresses, notes := notesOf(t, Ucarp, File{"f", []byte(text)}, Options{})
	if addresses != `["10.0.0.1/24"]` || !hasNote(notes, "3: ", "/etc/up") {
		t.Errorf("%s, %q", addresses, notes)
	}
}

// The password is what the package's script passes to ucarp.
func TestUcarpPasswordOfDebian(t *testing.T) {
	for value, want := range map[string]string{"open sesame": "open", `"open"`: `"open"`, "sesame": "sesame"} {
		got, err := Ucarp(File{"f", []byte(strings.Replace(debianStanza, "sesame", value, 1))}, Options{})
		if err != nil || len(got.Keys) != 1 || got.Keys[0].Password != want {
			t.Errorf("%s: %+v, %v", value, got, err)
			continue
		}
		if odd := value != "sesame"; odd != slices.ContainsFunc(got.Notes, func(n Note) bool {
			return n.Line == 6 &&
				strings.Contains(n.Text, "the password")
		}) {
			t.Errorf("%s: notes %q", value, got.Notes)
		}
	}
}
