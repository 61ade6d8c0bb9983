// SPDX-License-Identifier: Apache-2.0

package config

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

func writeFile(t *testing.T, text string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "vipd.toml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	t.Parallel()
	key := writeFile(t, "sesame\n", 0o600)
	path := writeFile(t, strings.Replace(vip, "/k/good", key, 1), 0o644)
	cfg, warnings, err := Load(path, Options{})
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	if cfg.Source != path || cfg.Node.Name == "" || string(cfg.Groups[0].Password.Bytes()) != "sesame" {
		t.Errorf("config %+v", cfg)
	}
}

func TestLoadModeOfFile(t *testing.T) {
	t.Parallel()
	inline := strings.Replace(vip, `password_file = "/k/good"`, `password = "sesame"`, 1)
	open := writeFile(t, inline, 0o644)
	_, _, err := Load(open, Options{})
	want := open + ":5: password: a password must not be in a file that every user can read: `chmod o-rwx " + open +
		"`, or use password_file"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if _, _, err := Load(writeFile(t, inline, 0o640), Options{}); err != nil {
		t.Errorf("mode 0640: %v", err)
	}
}

func TestLoadUnreadable(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	fifo := filepath.Join(dir, "fifo")
	if err := unix.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(big, maxConfigSize+1); err != nil {
		t.Fatal(err)
	}
	tests := []struct{ name, path, want string }{
		{
			"missing",
			dir + "/none",
			dir + "/none: cannot be read: no such file or directory; create it with `vipctl init`, select " +
				"another file with --config, or configure one group with --interface, --vhid and --address",
		},
		{"directory", dir, dir + ": cannot be read: it is not a regular file"},
		{"fifo", fifo, fifo + ": cannot be read: it is not a regular file"},
		{"big", big, big + ": cannot be read: it exceeds the limit of 16777216 bytes"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			_, _, err := Load(tt.path, Options{})
			if err == nil || err.Error() != tt.want {
				t.Errorf("problem:\nwant %s\n got %v", tt.want, err)
			}
		})
	}
}

// The reference file shows every key with its default.
func TestReferenceConfig(t *testing.T) {
	t.Parallel()
	const path = "../../packaging/vipd.toml"
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	opts := testOptions()
	good := opts.ReadFile
	opts.ReadFile = func(string) ([]byte, os.FileMode, error) { return good("/k/good") }
	opts.Mode = 0o644
	cfg, warnings, err := Parse(path, data, opts)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("error %v, warnings %v", err, warnings)
	}
	want := Default()
	want.Source, want.Node.Name, want.Groups = cfg.Source, "host", cfg.Groups
	if diff := cmp.Diff(want, cfg, comparePrefixes()); diff != "" {
		t.Errorf("the reference does not show the defaults (-default +reference):\n%s", diff)
	}
	if len(cfg.Groups) != 1 || cfg.Groups[0].Name() != "eth0@1" {
		t.Errorf("groups %v", cfg.Groups)
	}
	for _, key := range everyKey() {
		if !strings.Contains(string(data), "\n"+key+" = ") && !strings.Contains(string(data), "\n# "+key+" = ") &&
			!strings.Contains(string(data), "."+key+"]]\n") {
			t.Errorf("the reference does not show the key %s", key)
		}
	}
}

// The tables that are commented out at the end of the reference file are valid.
func TestReferenceTables(t *testing.T) {
	t.Parallel()
	data, err := os.ReadFile("../../packaging/vipd.toml")
	if err != nil {
		t.Fatal(err)
	}
	_, tail, _ := strings.Cut(string(data), "\n# [[vip.accept]]\n")
	text := vip + "[[vip.accept]]\n"
	others := regexp.MustCompile(`^(command|status|ca_file|insecure) = `) // of other types
	for line := range strings.Lines(tail) {
		key := strings.TrimPrefix(line, "# ")
		if strings.Contains(key, " = ") && !others.MatchString(key) || strings.HasPrefix(key, "[[") {
			text += key
		}
	}
	text = strings.Replace(text, "/etc/vipd/eth0-1.new", "/k/19", 1)
	cfg, warnings, err := parseText(text)
	if err != nil || len(warnings) > 0 || len(cfg.Groups[0].Accept) != 1 || len(cfg.Checks) != 1 {
		t.Fatalf("config %+v, warnings %v, error %v\n%s", cfg, warnings, err, text)
	}
	want := defaultCheck()
	c := cfg.Checks[0]
	want.Name, want.Type, want.Target, want.Interface = c.Name, c.Type, c.Target, c.Interface
	if !c.Equal(want) {
		t.Errorf("the reference does not show the defaults of a check: %+v", c)
	}
	for key, value := range map[string]string{
		"status": strconv.Quote((&HTTPCheck{Status: defaultStatus()}).StatusText()), "insecure": "false",
	} {
		if !strings.Contains(tail, "\n# "+key+" = "+value+"\n") {
			t.Errorf("the reference does not show the default of %s, %s", key, value)
		}
	}
}

// everyKey collects the keys that the decoders read.
func everyKey() []string {
	r := &report{}
	root := newTable(1)
	top := newSection(r, "", root)
	for _, name := range []string{"node", "control", "http", "web", "carp", "xdp"} {
		t := newTable(1)
		t.set("?", newTable(1)) // an unknown key, so that the known ones are listed
		root.set(name, t)
	}
	cfg := Default()
	decodeNode(top, cfg, testOptions())
	decodeControl(top, cfg)
	decodeHTTP(top, cfg, testOptions())
	decodeWeb(top, cfg)
	decodeCarp(top, cfg)
	decodeXDP(top, cfg)
	group := newTable(1)
	group.set("?", newTable(1))
	decodeGroup(newSection(r, "[[vip]]", group), testOptions())
	accept, check := newTable(1), newTable(1)
	accept.set("?", newTable(1))
	check.set("?", newTable(1))
	decodeAccept(newSection(r, "[[vip.accept]]", accept), &Group{}, testOptions())
	decodeCheck(newSection(r, "[[check]]", check), testOptions())
	var keys []string
	for _, p := range r.problems {
		if _, list, ok := strings.Cut(p.Message, "allowed are "); ok && strings.HasPrefix(p.Message, "unknown key") {
			keys = append(keys, strings.Split(list, ", ")...)
		}
	}
	return keys
}

func TestEveryKeyIsKnown(t *testing.T) {
	t.Parallel()
	if got := len(everyKey()); got != 24+4+9+3+13+5 {
		t.Errorf(
			"%d keys are known; the contract has 23 and password, 4 later ones in [carp] and 9 in [[vip]], 3 in "+
				"[[vip.accept]], 13 in [[check]], 3 in [http], 2 in [web]",
			got,
		)
	}
}
