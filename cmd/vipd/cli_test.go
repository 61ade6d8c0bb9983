// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

const goodConfig = `
[[vip]]
interface = "eth7"
vhid = 1
addresses = ["192.0.2.100/24"]
password = "secret"
`

func TestCommandLine(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	good := write("good.toml", goodConfig)
	bad := write("bad.toml", "[node]\ncolour = 1\n[[vip]]\ninterface = \"eth7\"\nvhid = 300\n")

	tests := []struct {
		name   string
		args   []string
		code   int
		stdout []string
		stderr []string
	}{
		{"good", []string{"--config", good, "--check"}, 0, []string{"ok"}, nil},
		{
			"all problems at once",
			[]string{"--config", bad, "--check"},
			2, nil,
			[]string{bad + ":2: colour: ", bad + ":5: vhid: ", "1..255"},
		},
		{"no such file", []string{"--config", dir + "/none.toml", "--check"}, 2, nil, []string{"none.toml", "--config"}},
		{"version", []string{"--version"}, 0, []string{"vipd " + api.Version}, nil},
		{"help has examples", []string{"--help"}, 0, []string{"EXAMPLES", "--cleanup", "SIGNALS"}, nil},
		{"unknown flag", []string{"--colour"}, 2, nil, []string{"colour", "vipd --help"}},
		{"argument", []string{"start"}, 2, nil, []string{`"start"`, "vipd --help"}},
		{
			"log level",
			[]string{"--config", good, "--log-level", "loud"},
			2,
			nil,
			[]string{"loud", "debug, info, warn, error"},
		},
		{
			"flags and no file",
			[]string{"--interface", "eth7", "--vhid", "0", "--address", "192.0.2.1/24", "--check"},
			2,
			nil,
			[]string{"vhid", "1..255"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var stdout, stderr bytes.Buffer
			code := run(t.Context(), append([]string{"vipd"}, tt.args...), &stdout, &stderr)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			for _, want := range tt.stdout {
				if !strings.Contains(stdout.String(), want) {
					t.Errorf("stdout lacks %q:\n%s", want, stdout.String())
				}
			}
			for _, want := range tt.stderr {
				if !strings.Contains(stderr.String(), want) {
					t.Errorf("stderr lacks %q:\n%s", want, stderr.String())
				}
			}
		})
	}
}

func TestOutputLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer full.Close()
	for _, flag := range []string{"--help", "--version"} {
		var stderr bytes.Buffer
		code := run(t.Context(), []string{"vipd", flag}, full, &stderr)
		if code != 1 || !strings.Contains(stderr.String(), "the output could not be written") {
			t.Errorf("%s: exit code %d, %q", flag, code, stderr.String())
		}
	}
}
