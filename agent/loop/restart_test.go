// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"os"
	"testing"

	"vipd/agent/view"
)

// A restart that may be is not begun before the server has answered.
func TestRestartLeaves(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ctl := b.operator
	if r, err := ctl.Restart(t.Context()); err != nil || r.PID != os.Getpid() {
		t.Errorf("%+v, %v", r, err)
	}
	if b.leaves != 0 {
		t.Error("asked to leave before the answer")
	}
	if ctl.Leave(); b.leaves != 1 {
		t.Error("not asked to leave")
	}
	l.at(func() {
		b.expect() // no goodbye, no role, no address touched
		b.releaseAll()
	})
	if _, err := ctl.Restart(t.Context()); !errors.Is(err, view.ErrStopping) || b.leaves != 1 {
		t.Errorf("while stopping: %v, asked to leave %d times", err, b.leaves)
	}
}
