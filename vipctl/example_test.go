// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
)

func TestConfigExample(t *testing.T) {
	code, list, errs := run(t, Env{}, "config", "example")
	if code != ExitOK || errs != "" || strings.Count(list, "\n") != len(exampleNames()) {
		t.Fatalf("exit %d, stdout %q, stderr %q", code, list, errs)
	}
	_, completed, _ := run(t, Env{}, "config", "example", "--generate-bash-completion")
	for _, name := range []string{"pfsense", "two-nodes", "active-active"} {
		code, text, errs := run(t, Env{}, "config", "example", name)
		title, _, _ := strings.Cut(text, "\n")
		title, ok := strings.CutPrefix(title, "# "+name+": ")
		if code != ExitOK || errs != "" || !ok {
			t.Errorf("%s: exit %d, stderr %q, stdout\n%s", name, code, errs, text)
		}
		if !strings.Contains(list, name+" ") || !strings.Contains(list, title+"\n") {
			t.Errorf("the list lacks %s, %q:\n%s", name, title, list)
		}
		if !strings.Contains(completed, name+"\n") {
			t.Errorf("completion lacks %s: %q", name, completed)
		}
	}
	code, out, errs := run(t, Env{}, "config", "example", "two-node")
	want := "vipctl: there is no example \"two-node\"; did you mean two-nodes? there are "
	if code != ExitUsage || out != "" || !strings.HasPrefix(errs, want) {
		t.Errorf("exit %d, stdout %q, stderr %q", code, out, errs)
	}
}
