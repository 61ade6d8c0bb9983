// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"strings"
	"testing"

	"vipd/agent/control/api"
)

func TestPeerForget(t *testing.T) {
	n := &node{status: rotating(), forgotten: api.PeerForgotten{Groups: []string{"eth0@1", "eth1@7"}}}
	socket := n.serve(t)
	const believed = ": its advertisements are believed without a trailer again\n"
	for _, tt := range []struct {
		args    []string
		message string
		err     *api.Error
		code    int
		out     string
		asked   string
	}{
		{[]string{"192.0.2.12"}, "", nil, ExitOK, "forgot 192.0.2.12 in eth0@1, eth1@7" + believed, `forget 192.0.2.12 ""`},
		{
			[]string{"fe80::12", "--group", "eth0@1"},
			"in force, but", nil, ExitOK,
			"forgot fe80::12 in eth0@1, eth1@7" + believed + "in force, but\n", `forget fe80::12 "eth0@1"`,
		},
		{[]string{"fw2"}, "", nil, ExitUsage, "", ""},
		{[]string{"192.0.2.12"}, "", api.Errorf(api.CodeNotFound, "unknown"), ExitFailure, "", `forget 192.0.2.12 ""`},
	} {
		n.mu.Lock()
		n.asked, n.forgotten.Message, n.err = nil, tt.message, nil
		if tt.err != nil {
			n.err = tt.err
		}
		n.mu.Unlock()
		code, out, errs := run(t, Env{}, append([]string{"--socket", socket, "peer", "forget"}, tt.args...)...)
		if code != tt.code || out != tt.out || (errs == "") != (code == ExitOK) {
			t.Errorf("%v: exit %d, %q, %q; want %d, %q", tt.args, code, out, errs, tt.code, tt.out)
		}
		if got := strings.Join(n.asked, ","); got != tt.asked {
			t.Errorf("%v: asked for %q, want %q", tt.args, got, tt.asked)
		}
	}
}
