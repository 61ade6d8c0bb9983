// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestImport(t *testing.T) {
	const command = "ucarp -i eth0 -v 1 -p sesame -a 192.0.2.1"
	dir := t.TempDir()
	script := filepath.Join(dir, "rc.local")
	if err := os.WriteFile(script, []byte(command+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	keys := filepath.Join(dir, "new", "keys")
	key := filepath.Join(keys, "eth0-1.key")

	code, out, errs := run(t, Env{}, "import", "ucarp", script, "--key-dir", keys)
	if code != ExitOK || !strings.Contains(out, "password_file = \""+key+"\"\n") ||
		!strings.HasPrefix(errs, "vipctl: "+script+":1: the prefix length of 192.0.2.1") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if _, err := os.Stat(keys); err == nil {
		t.Error("keys were written without --write-keys")
	}
	fromStdin := func(text string, args ...string) (int, string, string) {
		return run(t, Env{Stdin: strings.NewReader(text)}, append([]string{"import", "ucarp", "-"}, args...)...)
	}
	code, piped, _ := fromStdin(command, "--key-dir", keys)
	if code != ExitOK || strings.ReplaceAll(piped, "stdin", script) != out {
		t.Errorf("from stdin: exit %d, %q", code, piped)
	}
	for range 2 { // the same again is no harm
		if code, _, errs := fromStdin(command, "--key-dir", keys, "--write-keys"); code != ExitOK {
			t.Errorf("exit %d, %q", code, errs)
		}
	}
	text, err := os.ReadFile(key)
	info, statErr := os.Stat(key)
	if err != nil || statErr != nil || string(text) != "sesame\n" || info.Mode().Perm() != 0o600 {
		t.Errorf("key %q, %v, %v", text, info, err)
	}
	code, out, errs = fromStdin(strings.Replace(command, "sesame", "other", 1), "--key-dir", keys, "--write-keys")
	if code != ExitFailure || out != "" || !strings.Contains(errs, key+" already exists with another password") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}

	var doc struct {
		TOML  string
		Notes []struct {
			File, Text string
			Line       int
		}
	}
	code, out, errs = run(t, Env{}, "import", "ucarp", "-o", "json", script)
	if err := json.Unmarshal([]byte(out), &doc); code != ExitOK || errs != "" || err != nil ||
		!strings.Contains(doc.TOML, "[[vip]]") || len(doc.Notes) != 2 || doc.Notes[0].Line != 1 {
		t.Errorf("exit %d, %v, %q, %+v", code, err, errs, doc)
	}
	if strings.Contains(out, "sesame") {
		t.Error("the password is printed")
	}
}

func TestImportRefused(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "keepalived.conf")
	if err := os.WriteFile(conf, []byte("include part.conf\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "part.conf"), []byte("\nvrrp_instance V {\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"import"}, ExitUsage, "vipctl: which command? There are ucarp, keepalived"},
		{[]string{"import", "vrrpd"}, ExitUsage, "vipctl: there is no command \"vrrpd\"; there are ucarp, keepalived"},
		{[]string{"import", "ucarp"}, ExitUsage, "vipctl: FILE is missing: `vipctl import ucarp [flags] FILE`"},
		{
			[]string{"import", "ucarp", "-o", "table", conf},
			ExitUsage,
			"vipctl: --output \"table\" is unknown; allowed are toml, json",
		},
		{[]string{"import", "ucarp", "/none"}, ExitFailure, "vipctl: open /none: no such file or directory"},
		{[]string{"import", "ucarp", "-"}, ExitFailure, "vipctl: there is no standard input"},
		{
			[]string{"import", "keepalived", conf},
			ExitFailure,
			"vipctl: " + conf + " cannot be converted:\n" +
				dir + "/part.conf:2: the { of this block is not closed\n" +
				dir + "/part.conf:2: vrrp_instance V has no interface\n",
		},
	} {
		code, out, errs := run(t, Env{}, tt.args...)
		if code != tt.code || out != "" || !strings.HasPrefix(errs, tt.want) {
			t.Errorf("%q: exit %d, %q, %q", tt.args, code, out, errs)
		}
	}
}
