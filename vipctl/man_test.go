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
	"vipd/vipctl/manpage"
)

const manDir = "../packaging/man"

func held(t *testing.T, name, page, to string) {
	t.Helper()
	goldenfile.Compare(t, filepath.Join(manDir, name), page, "it is behind "+to+", run `make man`")
}

// TestMan holds the manual pages to the help of the command and to the reference config.
func TestMan(t *testing.T) {
	p := &program{env: Env{Getenv: func(string) string { return "" }}}
	held(t, "vipctl.8", manpage.Command(p.app(), api.Version, []manpage.Section{
		{Title: "Exit status", Terms: []manpage.Term{
			{Word: "0", Meaning: "Done."},
			{Word: "1", Meaning: "It failed, or was refused; the message says what to do."},
			{Word: "2", Meaning: "The command line is wrong."},
			{Word: "3", Meaning: "vipd does not answer."},
			{Word: "4", Meaning: "Degraded (`status --check`): a group is in INIT, or MASTER and not answering, or the node is disabled, in maintenance or demoted; `doctor`: there is a fault or a warning."},
		}},
		{Title: "Environment", Terms: []manpage.Term{
			{Word: "VIPD_SOCKET", Meaning: "The socket of vipd, where `--socket` is not given."},
			{Word: "NO_COLOR", Meaning: "If set, nothing is coloured unless `--color always` is given."},
		}},
		{Title: "See also", Text: "vipd(8), vipd.toml(5)"},
	}), "the help")
	reference, err := os.ReadFile("../packaging/vipd.toml")
	if err != nil {
		t.Fatal(err)
	}
	page := manpage.Config("vipd.toml", api.Version, "configuration of vipd", "/etc/vipd/vipd.toml",
		"A file in TOML. Every key is here, with its default, or with an example where it has none; only a [[vip]] with interface, vhid, "+
			"addresses and a password is needed. `vipd --config FILE --check` tells every problem with its line, `vipctl plan` what a change "+
			"would do to the running node, and `vipctl reload` (or SIGHUP) puts it in force without moving an address that did not change.", reference,
		[]manpage.Section{{Title: "See also", Text: "vipd(8), vipctl(8)"}})
	held(t, "vipd.toml.5", page, "packaging/vipd.toml")
	for line := range strings.Lines(string(reference)) { // none is lost on the way
		key, _, isKey := strings.Cut(strings.TrimPrefix(line, "# "), " = ")
		if isKey && !strings.Contains(key, " ") && !strings.Contains(page, `\fB`+key+`\fR = `) {
			t.Errorf("vipd.toml(5) does not tell of %s", key)
		}
	}
}

// TestManEveryCommand: the page has what the help has.
func TestManEveryCommand(t *testing.T) {
	page, err := os.ReadFile(filepath.Join(manDir, "vipctl.8"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range commandNames() {
		if name != "help" && !strings.Contains(string(page), `.SS \fBvipctl `+name) {
			t.Errorf("vipctl(8) does not tell of %s", name)
		}
	}
}

// TestManFormats: groff has nothing to complain about, where there is one.
func TestManFormats(t *testing.T) {
	groff, err := exec.LookPath("groff")
	if err != nil {
		t.Skip("no groff here")
	}
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
