// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"fmt"
	"strings"
	"testing"
)

// Everything that is not converted is reported with its line.
func TestKeepalivedReportsWhatIsLeftOut(t *testing.T) {
	const vi = "vrrp_instance V {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 192.0.2.1/24\n }\n"
	const script = "vrrp_script s {\n script /x\n weight -10%s\n}\n" + vi + " track_script {\n s%s\n }\n}\n"
	for _, tt := range []struct {
		name, text string
		want       []string // prefixes of notes
		not        string   // must not be in the config
	}{
		{
			"routes",
			vi + " virtual_routes {\n default via 192.0.2.254\n 10.0.0.0/8 via 192.0.2.253 table 5\n }\n}\n",
			[]string{
				"7: virtual_routes", "8: virtual_routes: default via 192.0.2.254",
				"9: virtual_routes: 10.0.0.0/8 via 192.0.2.253 table 5",
			},
			"",
		},
		{
			"rules",
			vi + " virtual_rules {\n from 192.0.2.0/24 table 1\n }\n}\n",
			[]string{"7: virtual_rules", "8: virtual_rules: from 192.0.2.0/24 table 1"},
			"",
		},
		{"notify", vi + " notify_backup \"/b x\"\n notify_stop /s\n}\n", []string{"7: notify_backup", "8: notify_stop"}, ""},
		{
			"authentication",
			vi + " authentication {\n auth_type PASS\n auth_pass sesame\n }\n}\n",
			[]string{"7: authentication"},
			"sesame",
		},
		{
			"processes",
			vi + " track_process {\n haproxy weight 5\n }\n}\n",
			[]string{"7: track_process", "8: track_process: haproxy weight 5"},
			"",
		},
		{
			"peers",
			vi + " unicast_peer {\n 192.0.2.12 min_ttl 254\n }\n}\n",
			[]string{"8: min_ttl 254 of peer 192.0.2.12"},
			"",
		},
		{"link", vi + " dont_track_primary\n}\n", []string{"7: dont_track_primary"}, ""},
		{"refresh", vi + " garp_master_refresh 60\n}\n", []string{"7: garp_master_refresh"}, ""},
		{"down timer", vi + " down_timer_adverts 5\n}\n", []string{"7: down_timer_adverts 5"}, ""},
		{"own link", vi + " track_interface {\n eth0 weight -20\n }\n}\n", []string{"8: weight -20 of eth0"}, ""},
		{"unknown", vi + " brand_new yes\n}\n", []string{"7: brand_new yes"}, ""},
		{
			"globals",
			"global_defs {\n vrrp_startup_delay 30\n notify_fifo /f\n brand_new 7\n vrrp_rt_priority 50\n}\n" + vi + "}\n",
			[]string{"2: vrrp_startup_delay 30", "3: notify_fifo /f", "4: brand_new 7"},
			"",
		},
		{
			"static",
			"static_routes {\n 10.0.0.0/8 via 192.0.2.254\n}\n" + vi + "}\n",
			[]string{"1: static_routes", "2: static_routes: 10.0.0.0/8 via 192.0.2.254"},
			"",
		},
		{"reverse", fmt.Sprintf(script, " reverse", ""), []string{"12: s was left out: it counts in reverse"}, "[[check]]"},
		{
			"reverse here",
			fmt.Sprintf(script, "", " weight 5 reverse"),
			[]string{"12: s was left out: it counts in reverse"},
			"[[check]]",
		},
		{
			"twice",
			"vrrp_script s {\n script /x\n}\nvrrp_script s {\n script /y\n}\n" + vi + " track_script { s }\n}\n",
			[]string{"4: vrrp_script s was left out"},
			"/y",
		},
		{
			"sync group",
			"vrrp_sync_group G {\n group {\n V\n }\n notify_fault /f\n track_process {\n x\n }\n}\n" + vi + "}\n",
			[]string{"1: vrrp_sync_group G", "5: notify_fault", "6: track_process", "7: track_process: x"},
			"",
		},
		{"include", vi + "}\ninclude /etc/more/*.conf\n", []string{"8: include /etc/more/*.conf"}, ""},
		{"for one node", vi + "@a priority 7\n}\n", []string{"7: a line for certain configuration ids"}, "248"},
	} {
		for name, text := range map[string]string{
			"lf":   tt.text,
			"crlf": strings.ReplaceAll(tt.text, "\n", "\r\n"),
			"bom":  "\ufeff" + tt.text,
		} {
			got, err := Keepalived(File{"f", []byte(text)}, Options{})
			if err != nil {
				t.Errorf("%s, %s: %v", tt.name, name, err)
				continue
			}
			var notes []string
			for _, n := range got.Notes {
				notes = append(notes, strings.TrimPrefix(n.String(), "f:"))
			}
			for _, want := range tt.want {
				if !hasNote(notes, want) {
					t.Errorf("%s, %s: no note %q in %q", tt.name, name, want, notes)
				}
			}
			_, body, _ := strings.Cut(got.TOML, "\n\n")
			if tt.not != "" && strings.Contains(body, tt.not) {
				t.Errorf("%s, %s: %s is in\n%s", tt.name, name, tt.not, body)
			}
		}
	}
}

// Scripts and interfaces that a sync group tracks become checks.
func TestKeepalivedSyncGroupTracksBecomeChecks(t *testing.T) {
	const text = "vrrp_sync_group G {\n group {\n V\n }\n track_script {\n s\n }\n track_interface {\n" +
		" eth5 weight -30\n }\n}\n" +
		"vrrp_script s {\n script /x\n}\nvrrp_instance V {\n interface eth0\n virtual_router_id 1\n" +
		" virtual_ipaddress { 192.0.2.1/24 }\n}\n"
	got, err := Keepalived(File{"f", []byte(text)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if cfg := accepted(t, got.TOML); len(cfg.Checks) != 2 || cfg.Checks[0].Name != "s" ||
		cfg.Checks[1].Name != "link-eth5" {
		t.Errorf("checks of\n%s", got.TOML)
	}
}

// A backslash at the end of a line joins it with the next one; a definition keeps several lines.
func TestKeepalivedContinuedLines(t *testing.T) {
	const text = "$BODY=\\\n interface eth0\\\n virtual_router_id 1\nvrrp_instance V {\n $BODY\n priority \\\n 150\n" +
		" virtual_ipaddress { 192.0.2.1/24 }\n}\n"
	got, err := Keepalived(File{"f", []byte(text)}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if g := accepted(t, got.TOML).Groups[0]; g.Interface != "eth0" || g.VHID != 1 || g.AdvSkew != 105 {
		t.Errorf("%s", got.TOML)
	}
}
