// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/tests/executable"
)

func TestConfigCheck(t *testing.T) {
	script := "[ \"$1\" = --config ] && [ \"$3\" = --check ] || exit 9\n" +
		"case $2 in\n*good) echo \"$2: ok, 1 groups\";;\n*warned) echo \"$2: ok, 1 groups\"; echo careful >&2;;\n" +
		"*killed) kill -9 $$;;\n*) echo \"$2:3: vhid: is 0, allowed are 1..255\" >&2\n" +
		"echo \"$2:4: x: unknown\" >&2; exit 2;;\nesac\n"
	vipd := executable.Script(t, "vipd", script)
	for _, tt := range []struct {
		args, daemon string
		code         int
		out, errs    string
	}{
		{"config check good", vipd, ExitOK, "good: ok, 1 groups\n", ""},
		{"config check warned", vipd, ExitOK, "warned: ok, 1 groups\n", "vipctl: careful\n"},
		{
			"config check bad",
			vipd,
			ExitFailure,
			"",
			"vipctl: bad is not usable:\nbad:3: vhid: is 0, allowed are 1..255\nbad:4: x: unknown\n",
		},
		{
			"config check killed",
			vipd,
			ExitFailure,
			"",
			"vipctl: cannot run " + vipd + ": signal: killed; do the vipctl and vipd versions match?",
		},
		{"config check good", vipd + ".none", ExitFailure, "", "vipctl: cannot run " + vipd + ".none: "},
		{"config check", vipd, ExitUsage, "", "vipctl: FILE is missing: `vipctl config check [flags] FILE`"},
		{"config", vipd, ExitUsage, "", "vipctl: which command? There are check, example, help"},
	} {
		code, out, errs := run(t, Env{Daemon: tt.daemon}, strings.Fields(tt.args)...)
		if code != tt.code || out != tt.out || !strings.HasPrefix(errs, tt.errs) || tt.errs == "" && errs != "" {
			t.Errorf("%s: exit %d, stdout %q, stderr %q", tt.args, code, out, errs)
		}
	}
}
