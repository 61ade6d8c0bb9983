// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// /livez and /readyz stay 200 where /healthz does not: a lost link or `vipctl disable` calls for no restart.
// An interface that is gone makes the node unready, with the reason; vipd lives on.
func TestProbesOfARunningNode(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	expect := func(when string, want map[string]int) {
		t.Helper()
		for path, code := range want {
			var body string
			s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
				var got int
				got, body = s.node.Get(path)
				return got == code, when + ": " + path + " is " + body
			})
			if ok := code == 200; ok != (strings.TrimSpace(body) == "ok") {
				t.Errorf("%s: %s says %q", when, path, body)
			}
		}
	}
	expect("as MASTER", map[string]int{"/livez": 200, "/readyz": 200, "/healthz": 200})
	s.node.MustCTL("disable")
	expect("disabled", map[string]int{"/healthz": 503, "/livez": 200, "/readyz": 200})
	s.node.MustCTL("enable")
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "down")
	s.node.WaitState(group, lab.Init, patience)
	expect("without a link", map[string]int{"/healthz": 503, "/livez": 200, "/readyz": 200})
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "name", "elsewhere")
	expect("without the interface", map[string]int{"/readyz": 503, "/livez": 200})
	if _, body := s.node.Get("/readyz"); !strings.Contains(body, "of eth0@1 is not attached: interface eth0 is called") {
		t.Errorf("the reason is %q", body)
	}
}
