// SPDX-License-Identifier: Apache-2.0

package main

import (
	"flag"
	"io"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"vipd/agent/control/api"
	"vipd/vipctl/manpage"
)

var update = flag.Bool("update", false, "write the manual page anew")

// TestMan holds vipd(8) to the command's help.
func TestMan(t *testing.T) {
	const path = "../../packaging/man/vipd.8"
	page := manpage.Command(newApp(t.Context(), io.Discard, io.Discard), api.Version, []manpage.Section{
		{Title: "Exit status", Terms: []manpage.Term{
			{Word: "0", Meaning: "It stopped in order, or the configuration is valid."},
			{Word: "1", Meaning: "It failed; the last line of the log says why and what to do."},
			{Word: "2", Meaning: "The command line or the configuration is wrong; every problem is told."},
		}},
		{Title: "Files", Terms: []manpage.Term{
			{Word: "/etc/vipd/vipd.toml", Meaning: "The configuration, see vipd.toml(5)."},
			{Word: "/run/vipd/vipd.sock", Meaning: "The socket of vipctl."},
			{Word: "/var/lib/vipd", Meaning: "What survives a reboot: maintenance mode, the history."},
			{Word: "/sys/fs/bpf/vipd", Meaning: "Pinned programs and maps; `vipd --cleanup` removes what a dead vipd left."},
		}},
		{Title: "See also", Text: "vipctl(8), vipd.toml(5)"},
	})
	if *update {
		if err := os.WriteFile(path, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(old), page); diff != "" {
		t.Errorf("%s is behind the help; run `make man` (-file +help):\n%s", path, diff)
	}
}
