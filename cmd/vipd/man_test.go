// SPDX-License-Identifier: Apache-2.0

package main

import (
	"io"
	"testing"

	"vipd/agent/control/api"
	"vipd/tests/goldenfile"
	"vipd/vipctl/manpage"
)

// vipd(8) matches the command's help.
func TestMan(t *testing.T) {
	const path = "../../packaging/man/vipd.8"
	page := manpage.Command(newApp(t.Context(), io.Discard, io.Discard), api.Version, []manpage.Section{
		{Title: "Exit status", Terms: []manpage.Term{
			{Word: "0", Meaning: "It stopped gracefully, or the configuration is valid."},
			{Word: "1", Meaning: "It failed; the last line of the log has the reason and what to do."},
			{
				Word: "2",
				Meaning: "The command line or the configuration is wrong; every problem is reported. The unit does not start " +
					"vipd again then (RestartPreventExitStatus=).",
			},
			{Word: "signal ABRT", Meaning: "It crashed; the log has the trace. The unit starts it again."},
		}},
		{Title: "Files", Terms: []manpage.Term{
			{Word: "/etc/vipd/vipd.toml", Meaning: "The configuration, see vipd.toml(5)."},
			{Word: "/run/vipd/vipd.sock", Meaning: "The socket of vipctl."},
			{
				Word: "/run/vipd-commands.sock",
				Meaning: "The socket of the helper that runs the programs of checks and hooks outside the sandbox; " +
					"the unit sets VIPD_COMMANDS to it.",
			},
			{Word: "/var/lib/vipd", Meaning: "State that survives a reboot: maintenance mode, the history."},
			{Word: "/sys/fs/bpf/vipd", Meaning: "Pinned programs and maps; `vipd --cleanup` removes what a killed vipd left."},
		}},
		{Title: "See also", Text: "vipctl(8), vipd.toml(5)"},
	})
	goldenfile.Compare(t, path, page, "it is behind the help, run `make man`")
}
