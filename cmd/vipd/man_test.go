// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"

	"vipd/agent/control/api"
	"vipd/tests/goldenfile"
	"vipd/vipctl/manpage"
)

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
	goldenfile.Compare(t, path, page, "it is behind the help, run `make man`")
}
