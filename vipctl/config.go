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
	return &cli.Command{
		Name:        "config",
		Usage:       "check a configuration, or print an example",
		UsageText:   "vipctl config check FILE\nvipctl config example [NAME]",
		Description: example("The running configuration is not touched.", "vipctl config check /etc/vipd/vipd.toml"),
		Subcommands: []*cli.Command{
			{
				Name:      "check",
				Usage:     "check a file and list every problem",
				UsageText: "vipctl config check FILE",
				ArgsUsage: "FILE",
				Description: example(
					"Runs `vipd --check` of the vipd that is installed next to vipctl; no vipd needs to be running. It reads the\n"+
						"password files as well, so run it as the user that vipd runs as.",
					"vipctl config check /etc/vipd/vipd.toml && vipctl reload",
				),
				Action: withArguments(p.configCheck),
			},
			p.configExampleCommand(),
		},
	}
}

func (p *program) configCheck(c *cli.Context, args []string) error {
	out, problems, err := p.runDaemon(c.Context, "--config", args[0], "--check")
	if err == nil && problems != "" {
		err = fmt.Errorf("%s is not usable:\n%s", args[0], problems)
	}
	p.printf("%s", out)
	return err
}

// runDaemon runs vipd, and prints the warnings of its log. problems is its stderr if it failed.
func (p *program) runDaemon(ctx context.Context, args ...string) (out []byte, problems string, err error) {
	vipd, err := p.daemonBinary()
	if err != nil {
		return nil, "", err
	}
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, vipd, args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	exit, failed := errors.AsType[*exec.ExitError](err)
	switch {
	case ctx.Err() != nil:
		return nil, "", context.Canceled
	case failed && exit.ExitCode() > 0:
		return nil, strings.TrimPrefix(strings.TrimSpace(stderr.String()), "vipd: "), nil
	case err != nil:
		// Not wrapped: an exec.ExitError looks like an error of the flag library.
		return nil, "", fmt.Errorf("cannot run %s: %s; do the vipctl and vipd versions match? (`%s --version`)",
			vipd, err.Error(), vipd)
	}
	for line := range strings.Lines(stderr.String()) { // warnings of its log
		p.warn("%s", strings.TrimSpace(line))
	}
	return stdout.Bytes(), "", nil
}

// daemonBinary returns the vipd next to this vipctl, or the one in PATH.
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
		return "", fmt.Errorf("vipd not found next to vipctl or in PATH: %w; "+
			"install it, or run `vipd --config FILE --check` where it is installed", err)
	}
	return path, nil
}
