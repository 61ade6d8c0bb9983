// SPDX-License-Identifier: Apache-2.0

// Package programs examines the operator's programs, those of checks and hooks, on this host: whether
// they can be run, whether only root can change them, and whether they run outside the daemon's
// sandbox.
package programs

import (
	"context"
	"log/slog"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"vipd/agent/command"
	"vipd/agent/config"
)

// lookEvery is how often the programs are examined.
const lookEvery = 15 * time.Second

// Host runs and examines programs. The zero value does both from this process.
type Host struct {
	// Runner runs them; nil runs them as child processes.
	Runner command.Runner
	// Examine examines one; nil examines it from this process.
	Examine func(path string) []command.Fault
}

// helped is a runner with a helper outside the sandbox.
type helped interface {
	// Faults returns the reasons why the helper did not run commands.
	Faults() []string
	// Forget clears them.
	Forget()
}

// Watch keeps the problems of a config's programs. [Watch.Warnings] and [Watch.Again] are safe for
// concurrent use.
type Watch struct {
	host  Host
	found atomic.Pointer[[]string]
	again chan struct{} // holds a token after a reload
}

// NewWatch returns a watch that has not examined anything yet.
func NewWatch(host Host) *Watch {
	if host.Examine == nil {
		host.Examine = command.Examine
	}
	w := &Watch{host: host, again: make(chan struct{}, 1)}
	w.found.Store(&[]string{})
	return w
}

// Warnings returns sentences about programs that cannot be run, are not safe to run, or run in the
// sandbox, where they may fail.
func (w *Watch) Warnings() []string { return *w.found.Load() }

// Again requests an examination, after a reload. It never blocks.
func (w *Watch) Again() {
	select {
	case w.again <- struct{}{}:
	default:
	}
}

// Look examines the programs of a config.
func (w *Watch) Look(cfg *config.Config) {
	out := []string{}
	seen := map[string]bool{}
	add := func(what, path string) {
		if seen[what+path] {
			return
		}
		seen[what+path] = true
		for _, f := range w.host.Examine(path) {
			out = append(out, what+": "+f.Text)
		}
	}
	for _, c := range cfg.Checks {
		if c.Type == config.CheckCommand {
			add("check "+c.Name, c.Command[0])
		}
	}
	for _, g := range cfg.Groups {
		if g.Hook != "" {
			add("hook", g.Hook)
		}
	}
	if len(seen) > 0 {
		out = append(out, w.inSandbox()...)
	}
	w.found.Store(&out)
}

// inSandbox returns the reasons why programs run in the daemon's sandbox.
func (w *Watch) inSandbox() []string {
	if h, ok := w.host.Runner.(helped); ok {
		return h.Faults()
	}
	if noNewPrivileges() {
		return []string{"commands of checks and hooks run in the sandbox of vipd (NoNewPrivileges), where ping, su and " +
			"programs that need files of other users fail; run them by vipd-commands.socket (docs/hooks.md)"}
	}
	return nil
}

// noNewPrivileges reports whether this process runs with NoNewPrivileges.
func noNewPrivileges() bool {
	status, err := os.ReadFile("/proc/self/status")
	return err == nil && strings.Contains(string(status), "\nNoNewPrivs:\t1\n")
}

// Run examines the programs of the config in force every 15 s until ctx ends: files and owners may
// change. The findings of the first examination are logged.
func (w *Watch) Run(ctx context.Context, log *slog.Logger, inForce func() *config.Config) {
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	cfg := inForce()
	w.Look(cfg)
	for _, found := range w.Warnings() {
		log.Warn("problem of a command", "warning", found)
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		case <-w.again:
		}
		if next := inForce(); next != cfg {
			cfg = next
			if h, ok := w.host.Runner.(helped); ok {
				h.Forget()
			}
		}
		w.Look(cfg)
	}
}
