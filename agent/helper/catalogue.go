// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"vipd/agent/command"
	"vipd/agent/config"
)

// maxReadings is how many versions of the config are kept: until `vipctl reload`, the daemon uses an
// earlier version than the file.
const maxReadings = 8

// entry is a command of the config.
type entry struct {
	argv    []string
	timeout time.Duration
}

type key struct {
	kind command.Kind
	name string
}

// catalogue holds the commands that the config file allows. The file is read again when it has
// changed; a version that is refused, or half written, changes nothing.
type catalogue struct {
	path string
	log  *slog.Logger

	mu       sync.Mutex
	stamp    stamp
	refused  error
	readings []map[key]entry // of the accepted versions, newest first
}

// stamp changes with every version of a file.
type stamp struct {
	dev, ino         uint64
	size             int64
	changed, altered syscall.Timespec
}

// find returns the command if one of the accepted versions of the config has it.
func (c *catalogue) find(kind command.Kind, name string, argv []string) (entry, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	for _, r := range c.readings {
		if e, ok := r[key{kind, name}]; ok && slices.Equal(e.argv, argv) {
			return e, nil
		}
	}
	return entry{}, c.absent(fmt.Sprintf("the command of %s %q", kind, name))
}

// names returns an error unless the config has the program.
func (c *catalogue) names(path string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refresh()
	for _, r := range c.readings {
		for _, e := range r {
			if e.argv[0] == path {
				return nil
			}
		}
	}
	return c.absent(path)
}

func (c *catalogue) absent(what string) error {
	if c.refused != nil {
		return fmt.Errorf("%s is not in the last accepted config, and the present file is not accepted: %w", what, c.refused)
	}
	return fmt.Errorf("%s is not in %s; run `vipctl reload` if the file was changed", what, c.path)
}

// refresh reads the file if it has changed.
func (c *catalogue) refresh() {
	now, err := stampOf(c.path)
	if err == nil && now == c.stamp {
		return
	}
	var reading map[key]entry
	if err == nil {
		reading, err = read(c.path)
	}
	c.stamp = now
	if err != nil {
		if c.refused == nil || c.refused.Error() != err.Error() {
			c.log.Warn("config not accepted; the previous version stays in use", "config", c.path, "err", err)
		}
		c.refused = err
		return
	}
	c.refused = nil
	c.readings = slices.Insert(c.readings, 0, reading)
	c.readings = c.readings[:min(len(c.readings), maxReadings)]
	c.log.Info("config read", "config", c.path, "commands", len(reading))
}

func stampOf(path string) (stamp, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return stamp{}, err
	}
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok {
		return stamp{}, fmt.Errorf("stat %s: unknown format", path)
	}
	return stamp{st.Dev, st.Ino, st.Size, st.Ctim, st.Mtim}, nil
}

// read returns the commands of a config that only root can change.
func read(path string) (map[key]entry, error) {
	if why := command.Exposed(path); why != "" {
		return nil, fmt.Errorf("its commands are not run outside the sandbox: %s", why)
	}
	cfg, err := config.LoadWithoutSecrets(path)
	if err != nil {
		return nil, fmt.Errorf("it is not valid: %w", err)
	}
	out := map[key]entry{}
	for _, c := range cfg.Checks {
		if c.Type == config.CheckCommand {
			out[key{command.Check, c.Name}] = entry{c.Command, c.Timeout}
		}
	}
	for _, g := range cfg.Groups {
		if g.Hook != "" {
			out[key{command.Hook, g.Name()}] = entry{[]string{g.Hook}, g.HookTimeout}
		}
	}
	return out, nil
}
