// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"os"
	"testing"
)

func TestRestartLeaves(t *testing.T) {
	b := newBench(t, testGroup("eth0", 1, "192.0.2.100/24"))
	b.master()
	l := b.run()
	ctl := backend{b.Agent}
	if r, err := ctl.Restart(t.Context()); err != nil || r.PID != os.Getpid() {
		t.Errorf("%+v, %v", r, err)
	}
	select {
	case <-b.leave:
	default:
		t.Error("not asked to leave")
	}
	l.at(func() {
		b.expect() // no goodbye, no role, no address touched
		b.releaseAll()
	})
	if _, err := ctl.Restart(t.Context()); !errors.Is(err, errStopping) || len(b.leave) > 0 {
		t.Errorf("while stopping: %v, leave asked for: %v", err, len(b.leave) > 0)
	}
}
