// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"vipd/agent/control/api"
	"vipd/tests/goldenfile"
	"vipd/tests/needs"
	"vipd/vipctl/manpage"
)

const manDir = "../packaging/man"

func held(t *testing.T, name, page, to string) {
	t.Helper()
	goldenfile.Compare(t, filepath.Join(manDir, name), page, "it is behind "+to+", run `make man`")
}

// TestMan: the manual pages agree with the help of the command and with the reference config.
func TestMan(t *testing.T) {
	p := &program{env: Env{Getenv: func(string) string { return "" }}}
	held(t, "vipctl.8", manpage.Command(p.app(), api.Version, []manpage.Section{
		{Title: "Exit status", Terms: []manpage.Term{
			{Word: "0", Meaning: "Success."},
			{Word: "1", Meaning: "The command failed or was refused; the message says what to do."},
			{Word: "2", Meaning: "The command line is wrong."},
			{Word: "3", Meaning: "vipd does not answer."},
			{
				Word: "4",
				Meaning: "Degraded. `status --check`: a group is in INIT, or MASTER and not answering, " +
					"or the node is disabled, in maintenance or demoted; `doctor`: there is a fault or a warning.",
			},
		}},
		{Title: "Environment", Terms: []manpage.Term{
			{Word: "VIPD_SOCKET", Meaning: "The socket of vipd if `--socket` is not given."},
			{Word: "NO_COLOR", Meaning: "If set, no colours are used unless `--color always` is given."},
		}},
		{Title: "See also", Text: "vipd(8), vipd.toml(5)"},
	}), "the help")
	reference, err := os.ReadFile("../packaging/vipd.toml")
	if err != nil {
		t.Fatal(err)
	}
	page := manpage.Config(
		"vipd.toml",
		api.Version,
		"configuration of vipd",
		"/etc/vipd/vipd.toml",
		"A file in TOML. Every key is listed with its default, or with an example if it has no default; only a [[vip]] with "+
			"interface, vhid, addresses and a password is required. `vipd --config FILE --check` reports every problem "+
			"with its line, `vipctl plan` shows what a change would do to the running node, and `vipctl reload` (or "+
			"SIGHUP) applies it without moving an address that did not change.",
		reference,
		[]manpage.Section{{Title: "See also", Text: "vipd(8), vipctl(8)"}},
	)
	held(t, "vipd.toml.5", page, "packaging/vipd.toml")
	for line := range strings.Lines(string(reference)) { // every key is in the page
		key, _, isKey := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		if isKey && !strings.Contains(key, " ") && !strings.Contains(page, `\fB`+key+`\fR = `) {
			t.Errorf("vipd.toml(5) lacks %s", key)
		}
	}
}

// TestManEveryCommand: the page has every command.
func TestManEveryCommand(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(manDir, "vipctl.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range commandNames() {
		if name != "help" && !strings.Contains(string(page), `.SS \fBvipctl `+name) {
			t.Errorf("vipctl(8) lacks %s", name)
		}
	}
}

// TestManFormats: groff reports nothing.
func TestManFormats(t *testing.T) {
	groff := needs.Program(t, "groff")
	pages, err := filepath.Glob(filepath.Join(manDir, "*.[1-9]"))
	if err != nil || len(pages) != 3 {
		t.Fatal(pages, err)
	}
	for _, page := range pages {
		out, err := exec.CommandContext(t.Context(), groff, "-man", "-Tutf8", "-ww", "-z", page).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", page, err, out)
		}
	}
}
