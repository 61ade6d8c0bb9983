// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"errors"
	"testing"

	"vipd/agent/view"
)

// A command that was taken and not run when the loop ends is answered all the same.
func TestCommandTakenByAnEndingLoop(t *testing.T) {
	t.Parallel()
	for name, ran := range map[string]bool{"run": true, "not run": false} {
		in := newInbox()
		go func() {
			c := <-in.commands
			if ran {
				c.run()
				close(c.done)
			}
			close(in.done)
		}()
		done := false
		err := in.do(t.Context(), func() { done = true })
		if done != ran || ran != (err == nil) || !ran && !errors.Is(err, view.ErrStopping) {
			t.Errorf("%s: done %v, %v", name, done, err)
		}
	}
}
