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

	"vipd/tests/executable"
	"vipd/tests/needs"
)

func TestCompletion(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, out, errs := run(t, Env{}, "completion", shell)
		if code != ExitOK || !strings.Contains(out, "vipctl") || errs != "" {
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
		code, out, errs := run(
			t,
			Env{},
			append(append([]string{"--socket", socket}, strings.Fields(tt.line)...), "--generate-bash-completion")...)
		if got := strings.Join(strings.Fields(out), " "); code != ExitOK || errs != "" || got != tt.want {
			t.Errorf("%s: exit %d, %q, %q; want %q", tt.line, code, got, errs, tt.want)
		}
	}
	_, out, _ := run(t, Env{}, "--generate-bash-completion")
	want := slices.DeleteFunc(commandNames(), func(s string) bool { return s == "help" })
	if !slices.Equal(strings.Fields(out), want) {
		t.Errorf("commands %q, want %q", out, want)
	}
	code, out, _ := run(t, Env{}, "--socket", "/none", "show", "--generate-bash-completion")
	if code != ExitOK || out != "" {
		t.Errorf("without a daemon: exit %d, %q", code, out)
	}
}

// TestCompletionInShells completes in each shell, with a script in place of vipctl.
func TestCompletionInShells(t *testing.T) {
	dir := t.TempDir()
	script := "case \"$*\" in\n'show --generate-bash-completion') printf 'eth0@1\\neth0@2\\neth10@1\\n';;\n" +
		"'status --w --generate-bash-completion') echo --watch;;\nesac\n"
	executable.Script(t, filepath.Join(dir, "vipctl"), script)
	if err := os.WriteFile(filepath.Join(dir, "new.toml"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ shell, before, ask string }{
		{
			shell:  "bash",
			before: "COMP_WORDBREAKS=$' \\t\\n\"\\'@><=;|&(:'\n",
			ask:    "COMP_LINE='%s' COMP_POINT=%d; _vipctl; printf '%%s\\n' \"${COMPREPLY[@]}\"",
		},
		{
			shell: "zsh",
			before: "compdef() {}\n" +
				"compadd() { for w in $list; do case $w in $PREFIX*) print -r -- $w;; esac; done }\n" +
				"_files() { print FILES }\n",
			ask: "l='%s'; words=(${(s. .)l}); [[ $l == *' ' ]] && words+=(''); " +
				"CURRENT=$#words; PREFIX=$words[-1]; : %d; _vipctl",
		},
		{shell: "fish", ask: "complete -C '%s' # %d"},
	} {
		t.Run(tt.shell, func(t *testing.T) {
			path := needs.Program(t, tt.shell)
			_, source, _ := run(t, Env{}, "completion", tt.shell)
			for line, want := range map[string]string{
				"vipctl show ":      "eth0@1 eth0@2 eth10@1",
				"vipctl show eth0@": "eth0@1 eth0@2",
				"vipctl show eth1":  "eth10@1",
				"vipctl status --w": "--watch",
				"vipctl plan new":   "new.toml",
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
		})
	}
}
