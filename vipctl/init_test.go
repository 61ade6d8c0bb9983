// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/tests/executable"
)

// segmentOf is a vipd whose survey finds this, and which refuses configs with the VHID 66.
func segmentOf(t *testing.T, s api.Survey) (daemon string) {
	t.Helper()
	s.Interface, s.Seconds = "eth7", 4
	if s.Addresses == nil {
		s.Addresses = []string{"192.0.2.11/24"}
	}
	found, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	return executable.Script(t, "vipd", fmt.Sprintf(`case "$1" in
--survey) [ "$2" = eth7 ] || { echo "vipd: read interface $2: no such interface" >&2; exit 1; }
cat <<'END'
%s
END
;;
--config) grep -q "vhid = 66 " "$2" && { echo "$2:4: vhid: no" >&2; exit 2; }; echo ok;;
esac`, found))
}

const (
	foreignMAC = "02:00:00:00:00:99"
	sixthMAC   = "00:00:5e:00:01:06"
)

func TestInitJudges(t *testing.T) {
	carp := func(id int) api.SurveySpeaker {
		return api.SurveySpeaker{Protocol: api.ProtocolCARP, ID: id, Address: "192.0.2.2"}
	}
	vrrp := api.SurveySpeaker{Protocol: api.ProtocolVRRP, ID: 1, Address: "192.0.2.3"}
	at := func(mac string) []api.SurveyAnswer { return []api.SurveyAnswer{{Address: "192.0.2.100", MAC: mac}} }
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("theirs\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		found api.Survey
		flags string
		code  int
		vhid  int
		errs  string
	}{
		{name: "empty segment", vhid: 1},
		{name: "wanted", flags: "--vhid 9", vhid: 9},
		{name: "first are in use", found: api.Survey{Speakers: []api.SurveySpeaker{vrrp, carp(2)}}, vhid: 3},
		{
			name: "wanted is in use", found: api.Survey{Speakers: []api.SurveySpeaker{vrrp, carp(2)}}, flags: "--vhid 2",
			code: ExitFailure,
			errs: "VHID 2 is in use on this segment: CARP from 192.0.2.2, and not for this address; " +
				"VHID 3 is free, use --vhid 3",
		},
		{
			name: "another host has the address", found: api.Survey{Answers: at(foreignMAC)},
			code: ExitFailure, errs: "another host has 192.0.2.100 already, at " + foreignMAC,
		},
		{
			name:  "proxy ARP",
			found: api.Survey{Answers: []api.SurveyAnswer{{Address: "192.0.2.100", MAC: foreignMAC, Proxy: true}}}, vhid: 1,
		},
		{
			name:  "VRRP has the address",
			found: api.Survey{Speakers: []api.SurveySpeaker{vrrp}, Answers: at("00:00:5e:00:01:01")},
			code:  ExitFailure, errs: "192.0.2.100 belongs to VRRP router 1 (192.0.2.3)",
		},
		{
			name: "own address", found: api.Survey{Addresses: []string{"192.0.2.100/24"}},
			code: ExitFailure, errs: "192.0.2.100 is an ordinary address of eth7 on this host",
		},
		{name: "unfit", found: api.Survey{Unfit: "is down"}, code: ExitFailure, errs: "no group can run on eth7: is down"},
		{
			name: "the group exists", found: api.Survey{Speakers: []api.SurveySpeaker{carp(6)}, Answers: at(sixthMAC)},
			code: ExitFailure, errs: "add --password-file FILE",
		},
		{
			name: "the group exists with another VHID", flags: "--vhid 1",
			found: api.Survey{Speakers: []api.SurveySpeaker{carp(6)}, Answers: at(sixthMAC)},
			code:  ExitFailure, errs: "already served with VHID 6, not 1",
		},
		{
			name: "joins", found: api.Survey{Speakers: []api.SurveySpeaker{carp(6)}, Answers: at(sixthMAC)},
			flags: "--password-file " + key, vhid: 6,
		},
		{name: "refused by vipd", flags: "--vhid 66", code: ExitFailure, errs: "vipd refuses this config"},
		{name: "VHID 0", flags: "--vhid 0", code: ExitUsage, errs: "--vhid 0 is not allowed"},
		{name: "VHID 300", flags: "--vhid 300", code: ExitUsage, errs: "--vhid 300 is not allowed"},
	} {
		dir := filepath.Join(t.TempDir(), "vipd")
		path := filepath.Join(dir, "vipd.toml")
		args := "init --interface eth7 --address 192.0.2.100/24 --peer vipd-backup --yes --config " + path + " " + tt.flags
		code, out, errs := run(t, Env{Daemon: segmentOf(t, tt.found)}, strings.Fields(args)...)
		if code != tt.code || !strings.Contains(errs, tt.errs) {
			t.Errorf("%s: exit %d, stdout\n%s\nstderr\n%s", tt.name, code, out, errs)
		}
		if listened := strings.Contains(errs, "listening on"); listened == (tt.code == ExitUsage) {
			t.Errorf("%s: listened %v before exit %d", tt.name, listened, code)
		}
		if tt.code != ExitOK {
			if _, err := os.Stat(dir); err == nil {
				t.Errorf("%s: something was written", tt.name)
			}
			continue
		}
		cfg, warnings, err := config.Load(path, config.Options{})
		if err != nil || len(warnings) > 0 {
			t.Fatal(tt.name, warnings, err)
		}
		g := cfg.Groups[0]
		if int(g.VHID) != tt.vhid || g.Interface != "eth7" || g.AdvSkew != 0 || g.Addresses[0].String() != "192.0.2.100/24" {
			t.Errorf("%s: %+v", tt.name, g)
		}
		if joins := g.PasswordFile == key; joins != (tt.name == "joins") {
			t.Errorf("%s: the password file is %s", tt.name, g.PasswordFile)
		}
	}
}

// Both files have the right modes, the password is long and random, and the other node gets the complete config.
func TestInitWrites(t *testing.T) {
	passwords := map[string]bool{}
	for _, tt := range []struct {
		peer       string
		here       int
		other, not string
	}{
		{"vipd-backup", 0, "  advskew = 100", "Virtual IP Password"},
		{"vipd-master", 100, "  advskew = 0 ", "Virtual IP Password"},
		{"pfsense", 100, "  VHID Group             1\n  Advertising frequency  Base 1, Skew 0\n", "scp"},
	} {
		dir := t.TempDir()
		path := filepath.Join(dir, "vipd.toml")
		args := []string{"init", "--interface", "eth7", "--address", "192.0.2.1/24", "--peer", tt.peer, "--config", path}
		env := Env{Daemon: segmentOf(t, api.Survey{})}
		code, out, errs := run(t, env, append(args, "--dry-run")...)
		if left, _ := os.ReadDir(dir); code != ExitOK || len(left) > 0 || !strings.Contains(out, "Nothing was written.\n") ||
			!strings.Contains(out, "# "+path+"\n") {
			t.Errorf("%s --dry-run: exit %d, left %v, stdout\n%s\nstderr\n%s", tt.peer, code, left, out, errs)
		}
		code, out, errs = run(t, env, append(args, "--yes")...)
		if code != ExitOK || !strings.Contains(out, tt.other) || strings.Contains(out, tt.not) ||
			!strings.Contains(out, "systemctl enable --now vipd") {
			t.Errorf("%s: exit %d, stdout\n%s\nstderr\n%s", tt.peer, code, out, errs)
		}
		cfg, _, err := config.Load(path, config.Options{})
		if err != nil || int(cfg.Groups[0].AdvSkew) != tt.here {
			t.Fatalf("%s: %v, %v", tt.peer, cfg, err)
		}
		key := filepath.Join(dir, "eth7-1.key")
		text, err := os.ReadFile(key)
		password := strings.TrimSuffix(string(text), "\n")
		if err != nil || len(password) != maxKey || passwords[password] {
			t.Errorf("%s: %d bytes, %v", tt.peer, len(password), err)
		}
		passwords[password] = true
		if shown := strings.Contains(out, password); shown != (tt.peer == "pfsense") {
			t.Errorf("%s: the password is shown: %v", tt.peer, shown)
		}
		for file, mode := range map[string]os.FileMode{key: 0o600, path: 0o644} {
			if info, err := os.Stat(file); err != nil || info.Mode().Perm() != mode {
				t.Errorf("%s: %v, %v", file, info.Mode(), err)
			}
		}
		// Neither file is ever overwritten.
		for _, last := range []string{path, key} {
			code, _, errs = run(t, env, append(args, "--yes")...)
			if code != ExitFailure || !strings.Contains(errs, last+" exists, and nothing is overwritten: ") {
				t.Errorf("%s is there: exit %d, %s", last, code, errs)
			}
			if err := os.Remove(path); err != nil && last == path {
				t.Fatal(err)
			}
		}
		if again, err := os.ReadFile(key); err != nil || string(again) != string(text) {
			t.Errorf("the key has changed: %v", err)
		}
	}
}

// Without a terminal nothing is asked, and the missing flags are named.
func TestInitWithoutATerminal(t *testing.T) {
	env := Env{Daemon: segmentOf(t, api.Survey{}), Stdin: strings.NewReader("eth7\n")}
	for args, want := range map[string]string{
		"init":                                  "add --yes to write the files, or --dry-run to see them",
		"init --dry-run --address 192.0.2.1/24": "--interface, --peer missing, and the standard input is no terminal",
		"init --dry-run --interface eth7 --peer x --address 192.0.2.1/24": `--peer "x" is unknown; allowed are vipd-backup,`,
		"init --dry-run --interface eth7 --peer pfsense --address x":      `--address "x" is not an address`,
		"init --dry-run --interface eth7 --peer pfsense --address ::1":    "--address ::1 is in no network of the interface",
	} {
		code, out, errs := run(t, env, strings.Fields(args)...)
		if code != ExitUsage || out != "" || !strings.Contains(errs, want) {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", args, code, out, errs)
		}
	}
	code, _, errs := run(t, env, strings.Fields("init --yes --interface eth9 --peer pfsense --address 192.0.2.1/24")...)
	if code != ExitFailure || !strings.Contains(errs, "cannot look at the segment of eth9: read interface eth9: no such") {
		t.Errorf("exit %d, %s", code, errs)
	}
}

func TestInitAsks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "vipd.toml")
	asks := func(answers string) (int, string, string) {
		return run(t, Env{
			Daemon:   segmentOf(t, api.Survey{Speakers: []api.SurveySpeaker{{Protocol: "VRRP", ID: 1, Address: "192.0.2.3"}}}),
			Terminal: true, Stdin: strings.NewReader(answers),
		}, "init", "--config", path)
	}
	begin := "eth7\n192.0.2.100/24, 2001:db8::100/64\nvipd-master\n"
	code, _, errs := asks(begin)
	if code != ExitFailure || !strings.Contains(errs, "no answer: EOF; nothing was written") {
		t.Errorf("the input ends: exit %d, %s", code, errs)
	}
	code, out, errs := asks(begin + "\nno\n")
	if code != ExitOK || !strings.Contains(out, "Nothing was written.") {
		t.Errorf("no: exit %d, stdout\n%s\nstderr\n%s", code, out, errs)
	}
	if _, err := os.Stat(path); err == nil {
		t.Fatal("something was written")
	}
	code, out, errs = asks(begin + "300\n1\n\n\n") // one out of range, one in use, the proposed one; yes
	if code != ExitOK || !strings.Contains(errs, `"300" is not allowed`) || !strings.Contains(errs, "VHID 1 is in use") {
		t.Errorf("exit %d, stdout\n%s\nstderr\n%s", code, out, errs)
	}
	cfg, _, err := config.Load(path, config.Options{})
	if err != nil || cfg.Groups[0].VHID != 2 || len(cfg.Groups[0].Addresses) != 2 || cfg.Groups[0].AdvSkew != 100 {
		t.Errorf("%+v, %v", cfg, err)
	}
}

// With all flags nothing is asked on a terminal either.
func TestInitYesAsksNothing(t *testing.T) {
	speaks := api.Survey{Speakers: []api.SurveySpeaker{{Protocol: "VRRP", ID: 1, Address: "192.0.2.3"}}}
	path := filepath.Join(t.TempDir(), "vipd.toml")
	args := []string{
		"init", "--interface", "eth7", "--address", "192.0.2.100/24", "--peer", "vipd-backup", "--config", path, "--yes",
	}
	env := Env{Daemon: segmentOf(t, speaks), Terminal: true, Stdin: strings.NewReader("")}
	code, _, errs := run(t, env, append(args, "--vhid", "1")...)
	if code != ExitFailure || !strings.Contains(errs, "VHID 2 is free, use --vhid 2") {
		t.Errorf("a VHID that is in use: exit %d, stderr\n%s", code, errs)
	}
	code, out, errs := run(t, env, args...)
	if code != ExitOK || strings.Contains(errs, "VHID [") {
		t.Errorf("exit %d, stdout\n%s\nstderr\n%s", code, out, errs)
	}
	if cfg, _, err := config.Load(path, config.Options{}); err != nil || cfg.Groups[0].VHID != 2 {
		t.Errorf("%+v, %v", cfg, err)
	}
}
