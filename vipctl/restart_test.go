// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestRestart(t *testing.T) {
	n := &node{status: healthy(), restart: api.Restart{PID: 1}} // not the process that answers
	n.status.Version = "0.3.0"
	socket := n.serve(t)
	code, out, errs := run(t, Env{}, "--socket", socket, "restart")
	want := fmt.Sprintf("restarted: vipd 0.3.0 answers (process %d), %s\n", os.Getpid(), summary(&n.status))
	if code != ExitOK || out != want || errs != "" {
		t.Errorf("exit %d, %q, %q, want %q", code, out, errs, want)
	}
	n.restart.PID = os.Getpid() // it never leaves
	code, out, errs = run(t, Env{}, "--socket", socket, "restart", "--timeout", "120ms")
	if code != ExitFailure || out != "" || !strings.Contains(errs, "none answers in its place after 120ms") ||
		!strings.Contains(errs, "systemctl start vipd") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
	if strings.Join(n.asked, ",") != "restart,restart" {
		t.Errorf("asked %q", n.asked)
	}
}
