// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestRefusals(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tt := range []struct {
		name string
		err  error
		args []string
		code int
		want string
	}{
		{
			"config",
			&api.Error{
				Code:     api.CodeInvalidConfig,
				Message:  "the new config is refused, nothing changed:",
				Problems: []string{"f:1: vhid: x", "f:2: y"},
			},
			[]string{"reload"},
			ExitFailure,
			"vipctl: the new config is refused, nothing changed:\n  f:1: vhid: x\n  f:2: y\n",
		},
		{
			"disk",
			errors.New("write /var/lib/vipd: no space left on device"),
			[]string{"maintenance", "enter"},
			ExitFailure,
			"vipctl: write /var/lib/vipd: no space left on device\n",
		},
		{
			"no such group",
			nil,
			[]string{"show", "eth9@9"},
			ExitFailure,
			"vipctl: there is no group eth9@9; there are eth2@3, eth2@20, eth10@1\n",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			n.mu.Lock()
			n.err = tt.err
			n.mu.Unlock()
			code, out, errs := run(t, Env{}, append([]string{"--socket", socket}, tt.args...)...)
			if code != tt.code || out != "" || errs != tt.want {
				t.Errorf("exit %d, stdout %q, stderr %q", code, out, errs)
			}
		})
	}
}

func TestUsage(t *testing.T) {
	commands := strings.Join(commandNames(), ", ")
	for _, tt := range []struct{ args, want string }{
		{"", "which command? There are " + commands + "; see `vipctl --help`"},
		{"stauts", `there is no command "stauts"; did you mean status? there are ` + commands},
		{"statsu", `there is no command "statsu"; did you mean status? there are ` + commands},
		{"records", `there is no command "records"; did you mean record? there are ` + commands},
		{"top", `there is no command "top"; there are ` + commands},
		{"--bogus", "flag provided but not defined: -bogus; see `vipctl --help`"},
		{"status --bogus", "flag provided but not defined: -bogus; see `vipctl status --help`"},
		{"status -o yaml", `--output "yaml" is unknown; allowed are table, wide, json`},
		{"status eth0@1", "\"eth0@1\" is one argument too many: `vipctl status [flags]`"},
		{"status --check --watch", "--check answers once and --watch does not end; use one of them"},
		{"show", "GROUP is missing: `vipctl show [flags] GROUP`"},
		{"show eth0@1 -x json", "there is no flag -x; see `vipctl show --help`"},
		{"show eth0@1 -o", "-o needs a value; see `vipctl show --help`"},
		{"show eth0@1 -o wide", `--output "wide" is unknown; allowed are table, json`},
		{"history eth0@1 -n many", "-n \"many\" is not a number; see `vipctl history --help`"},
		{"history -n many eth0@1", "-n \"many\" is not a number; see `vipctl history --help`"},
		{"capture --for 10 eth0@1", `--for "10" is not a time with its unit, such as 30s or 10m; see`},
		{"yield --force=maybe eth0@1", "--force \"maybe\" is not true or false; see `vipctl yield --help`"},
		{"restart --timeout 0", "--timeout 0s is not allowed; allowed are times above 0, such as 15s"},
		{"restart --timeout -1s", "--timeout -1s is not allowed; allowed are times above 0, such as 15s"},
		{"show -o wide eth0@1", `--output "wide" is unknown; allowed are table, json`},
		{"disable now", "\"now\" is one argument too many: `vipctl disable [flags]`"},
		{"maintenance", "which command? There are enter, leave, status, help; see `vipctl maintenance --help`"},
		{"maintenance toggle", `there is no command "toggle"; there are enter, leave, status, help`},
		{
			"maintenance enter --force",
			"--force without --wait has no effect: nothing is given up then; add --wait, or leave --force out",
		},
		{"maintenance leave --force", "flag provided but not defined: -force; see `vipctl maintenance leave --help`"},
		{"help bogus", "No help topic for 'bogus'"},
		{"completion tcsh", `there is no completion for "tcsh"; allowed are bash, zsh and fish`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, out, errs := run(t, Env{}, strings.Fields(tt.args)...)
			if code != ExitUsage || out != "" || !strings.HasPrefix(errs, "vipctl: "+tt.want) {
				t.Errorf("exit %d, stdout %q, stderr %q, want %q", code, out, errs, tt.want)
			}
		})
	}
}

// Flags after the arguments, under either name, work as before them.
func TestFlagsAfterArguments(t *testing.T) {
	n := &node{status: healthy(), why: map[string]api.Why{"eth2@3": {Group: "eth2@3"}}, plan: examplePlan()}
	socket := n.serve(t)
	file := filepath.Join(t.TempDir(), "f.toml")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ flags, args string }{
		{"show -o json", "eth2@3"},
		{"show --output json", "eth2@3"},
		{"why -o json", "eth2@3"},
		{"why --output=json", "eth2@3"},
		{"history -n 3 -o json", "eth2@3"},
		{"plan -o json", file},
		{"yield --force", "eth2@3"},
		{"yield --force=false", "eth2@3"},
		{"demotion add --for 10m --reason x", "a 1"},
		{"demotion remove", "a"},
	} {
		command, flags, _ := strings.Cut(tt.flags, " -")
		ask := func(line string) string {
			n.asked = nil
			code, out, errs := run(t, Env{}, append(strings.Fields(line), "--socket", socket)...)
			return fmt.Sprintf("exit %d\n%s%s%q", code, out, errs, n.asked)
		}
		if flags != "" {
			flags = "-" + flags
		}
		before, after := ask("--socket "+socket+" "+tt.flags+" "+tt.args), ask(command+" "+tt.args+" "+flags)
		if before != after || !strings.HasPrefix(after, "exit 0\n") {
			t.Errorf("%s %s: before the arguments\n%s\nafter them\n%s", tt.flags, tt.args, before, after)
		}
	}
	code, out, errs := run(t, Env{}, "show", "eth2@3", "--help")
	if code != ExitOK || !strings.Contains(out, "EXAMPLE:") || errs != "" {
		t.Errorf("help after an argument: exit %d, %q, %q", code, out, errs)
	}
}

// commandNames returns the commands in the order of the help.
func commandNames() []string {
	p := &program{env: Env{Getenv: func(string) string { return "" }}}
	var names []string
	for _, c := range p.app().Commands {
		names = append(names, c.Name)
	}
	return append(names, "help")
}
