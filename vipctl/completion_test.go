// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
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
	if _, out, _ := run(t, Env{}, "--socket", socket, "show", "--generate-bash-completion"); out != "eth2@3\neth2@20\neth10@1\n" {
		t.Errorf("groups: %q", out)
	}
}
