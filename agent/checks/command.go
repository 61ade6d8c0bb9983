// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"vipd/agent/command"
)

const (
	// maxOutput is how much of a command's output is looked at; the rest is read and
	// forgotten, so that the command is not held up.
	maxOutput = 4 << 10
	// maxSaid is how much of it goes into a reason.
	maxSaid = 100
)

// commandProbe wants a program to end with status 0.
func commandProbe(name string, argv []string) Probe {
	return func(ctx context.Context) error {
		var out head
		err := command.Run(ctx, command.Spec{Argv: argv, Env: []string{"VIPD_CHECK=" + name}, Output: &out})
		if ee, ok := errors.AsType[*exec.ExitError](err); ok {
			err = errors.New(ee.String())
		}
		if said := out.firstLine(); err != nil && said != "" {
			return fmt.Errorf("%w: %s", err, said)
		}
		return err
	}
}

// head keeps the beginning of what is written to it. os/exec writes from one goroutine
// and has ended it when Wait returns.
type head struct{ b bytes.Buffer }

// Write implements io.Writer and never fails.
func (h *head) Write(p []byte) (int, error) {
	h.b.Write(p[:min(len(p), maxOutput-h.b.Len())])
	return len(p), nil
}

func (h *head) firstLine() string {
	for line := range strings.Lines(h.b.String()) {
		if line = oneLine(line, maxSaid); line != "" {
			return line
		}
	}
	return ""
}
