// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"
)

func TestVersion(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "version")
	if code != ExitOK || !strings.HasPrefix(out, "vipctl 0.1.0 (go1.") ||
		!strings.HasSuffix(out, "\nvipd 0.1.0 (node fw1)\n") ||
		errs != "" {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	n.status.Version = "0.2.0"
	if _, _, errs = run(t, Env{}, "--socket", socket, "version"); !strings.Contains(errs, "the versions differ") {
		t.Errorf("other version: %q", errs)
	}
	code, out, errs = run(t, Env{}, "--socket", "/none", "version")
	if code != ExitOK || !strings.HasPrefix(out, "vipctl 0.1.0") || !strings.Contains(errs, "not reachable at /none") {
		t.Errorf("no daemon: exit %d, %q, %q", code, out, errs)
	}
}
