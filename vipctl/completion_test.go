// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCompletion(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, out, errs := run(t, Env{}, "completion", shell); code != ExitOK || !strings.Contains(out, "vipctl") || errs != "" {
			t.Errorf("%s: exit %d, %q", shell, code, errs)
		}
	}
	for _, tt := range []struct{ line, want string }{
		{"show", "eth2@3 eth2@20 eth10@1"},
		{"show eth2@3", ""},
		{"show -", "--output -o --socket --color"},
		{"why --o", "--output"},
		{"status -o", "table wide json"},
		{"status --output", "table wide json"},
		{"--color", "auto always never"},
		{"status --socket", ""},
		{"demotion add --for", ""},
		{"demotion", "list add remove reset"},
		{"import", "ucarp keepalived"},
		{"plan", ""},
		{"config check", ""},
	} {
		code, out, errs := run(t, Env{}, append(append([]string{"--socket", socket}, strings.Fields(tt.line)...), "--generate-bash-completion")...)
		if got := strings.Join(strings.Fields(out), " "); code != ExitOK || errs != "" || got != tt.want {
			t.Errorf("%s: exit %d, %q, %q; want %q", tt.line, code, got, errs, tt.want)
		}
	}
	_, out, _ := run(t, Env{}, "--generate-bash-completion")
	if want := slices.DeleteFunc(commandNames(), func(s string) bool { return s == "help" }); !slices.Equal(strings.Fields(out), want) {
		t.Errorf("commands %q, want %q", out, want)
	}
	if code, out, _ := run(t, Env{}, "--socket", "/none", "show", "--generate-bash-completion"); code != ExitOK || out != "" {
		t.Errorf("without a daemon: exit %d, %q", code, out)
	}
}

// TestCompletionInShells lets the shells that are here complete with a vipctl that only
// knows what it is asked.
func TestCompletionInShells(t *testing.T) {
	dir := t.TempDir()
	script := "#!/bin/sh\ncase \"$*\" in\n'show --generate-bash-completion') printf 'eth0@1\\neth0@2\\neth10@1\\n';;\n" +
		"'status --w --generate-bash-completion') echo --watch;;\nesac\n"
	if err := os.WriteFile(filepath.Join(dir, "vipctl"), []byte(script), 0o700); err != nil { //nolint:gosec // it is to be run
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "new.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ shell, before, ask string }{
		{"bash", "COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'\n", "COMP_LINE='%s' COMP_POINT=%d; _vipctl; printf '%%s\\n' \"${COMPREPLY[@]}\""},
		{"zsh", "compdef() {}\ncompadd() { for w in $list; do case $w in $PREFIX*) print -r -- $w;; esac; done }\n_files() { print FILES }\n", "l='%s'; words=(${(s. .)l}); [[ $l == *' ' ]] && words+=(''); CURRENT=$#words; PREFIX=$words[-1]; : %d; _vipctl"},
		{"fish", "", "complete -C '%s' # %d"},
	} {
		path, err := exec.LookPath(tt.shell)
		if err != nil {
			t.Logf("no %s here", tt.shell)
			continue
		}
		_, source, _ := run(t, Env{}, "completion", tt.shell)
		for line, want := range map[string]string{
			"vipctl show ": "eth0@1 eth0@2 eth10@1", "vipctl show eth0@": "eth0@1 eth0@2", "vipctl show eth1": "eth10@1", "vipctl status --w": "--watch", "vipctl plan new": "new.toml",
		} {
			cmd := exec.CommandContext(t.Context(), path, "-c", tt.before+source+"\n"+fmt.Sprintf(tt.ask, line, len(line)))
			cmd.Dir, cmd.Env = dir, append(os.Environ(), "PATH="+dir+":"+os.Getenv("PATH"), "HOME="+dir)
			out, err := cmd.CombinedOutput()
			got := strings.Join(strings.Fields(string(out)), " ")
			switch tt.shell {
			case "bash": // it breaks words at the @, and completes files itself
				want = strings.TrimPrefix(want, "new.toml")
				if strings.HasSuffix(line, "@") {
					want = "1 2"
				}
			case "zsh":
				want = strings.Replace(want, "new.toml", "FILES", 1)
			}
			if err != nil || got != want {
				t.Errorf("%s, %q: %q, %v; want %q", tt.shell, line, got, err, want)
			}
		}
	}
}
