// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

func (p *program) configCommand() *cli.Command {
	cmd := &cli.Command{
		Name:        "config",
		Usage:       "check a configuration",
		UsageText:   "vipctl config check FILE",
		Description: example("Nothing that runs is touched.", "vipctl config check /etc/vipd/vipd.toml"),
		Subcommands: []*cli.Command{{
			Name: "check", Usage: "check a file and list every problem", UsageText: "vipctl config check FILE",
			ArgsUsage: "FILE",
			Description: example("The vipd that is installed beside vipctl checks it, whether one is running or not: it is the one that would be started\n"+
				"with it. Password files are read as well, so run it as the user that vipd runs as.",
				"vipctl config check /etc/vipd/vipd.toml && vipctl reload"),
			Action: p.configCheck,
		}},
	}
	cmd.Action = func(c *cli.Context) error { return unknownCommand(c, cmd.Subcommands, "vipctl config") }
	return cmd
}

func (p *program) configCheck(c *cli.Context) error {
	args, err := arguments(c, "FILE")
	if err != nil {
		return err
	}
	vipd, err := p.daemonBinary()
	if err != nil {
		return err
	}
	var out, problems bytes.Buffer
	cmd := exec.CommandContext(c.Context, vipd, "--config", args[0], "--check")
	cmd.Stdout, cmd.Stderr = &out, &problems
	err = cmd.Run()
	if err == nil {
		p.printf("%s", out.String())
		for line := range strings.Lines(problems.String()) { // its log: warnings about what is allowed
			p.warn("%s", strings.TrimSpace(line))
		}
		return nil
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() > 0 {
		return fmt.Errorf("%s is not usable:\n%s", args[0], strings.TrimSpace(problems.String()))
	}
	if c.Err() != nil {
		return context.Canceled
	}
	// Not wrapped: an exec.ExitError looks like an error of the flag library.
	return fmt.Errorf("run %s: %s; is it the vipd of this version? `%s --version` tells", vipd, err.Error(), vipd)
}

// daemonBinary is the vipd that was installed with this vipctl, or the one in PATH.
func (p *program) daemonBinary() (string, error) {
	if p.env.Daemon != "" {
		return p.env.Daemon, nil
	}
	if own, err := os.Executable(); err == nil {
		beside := filepath.Join(filepath.Dir(own), "vipd")
		if info, err := os.Stat(beside); err == nil && info.Mode().IsRegular() {
			return beside, nil
		}
	}
	path, err := exec.LookPath("vipd")
	if err != nil {
		return "", fmt.Errorf("vipd is neither beside vipctl nor in PATH: %w; install it, or run `vipd --config FILE --check` where it is", err)
	}
	return path, nil
}
