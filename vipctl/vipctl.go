// SPDX-License-Identifier: Apache-2.0

// Package vipctl is the operator's command as a library: one file per command. It knows
// nothing of the agent but the control API.
package vipctl

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sys/unix"

	"vipd/agent/control/api"
)

// Exit codes. They are a contract with scripts.
const (
	ExitOK          = 0
	ExitFailure     = 1
	ExitUsage       = 2
	ExitUnreachable = 3
	ExitDegraded    = 4
)

// Env is the environment of one run.
type Env struct {
	Stdin          io.Reader // may be nil
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Now is the clock for ages; nil means the host's.
	Now func() time.Time
	// Terminal treats Stdin and Stdout as a terminal; otherwise they are asked.
	Terminal bool
	// Daemon is the vipd binary that checks a config and looks at a segment; empty means the one next to vipctl or in
	// PATH.
	Daemon string

	every time.Duration // refresh interval of --watch, for tests; 0 means watchInterval
}

// program is one run of the command.
type program struct {
	env  Env
	args []string
	tty  bool
	// symbols convey state without colour.
	symbols, colour bool
	lost            error // why output could not be written
}

// Run executes one command line, args[0] being the program's name, and returns the exit code.
// Errors go to Stderr.
func Run(ctx context.Context, args []string, env Env) int {
	if env.Getenv == nil {
		env.Getenv = func(string) string { return "" }
	}
	if env.Now == nil {
		env.Now = time.Now
	}
	p := &program{env: env, args: args, tty: env.Terminal || isTerminal(env.Stdout)}
	p.symbols = p.tty
	p.colour = p.tty && env.Getenv("NO_COLOR") == "" && env.Getenv("TERM") != "dumb"
	err := p.app().RunContext(ctx, args)
	if errors.Is(err, errHelped) {
		err = nil
	}
	if err == nil && p.lost != nil {
		err = fmt.Errorf("the output could not be written: %w", p.lost)
	}
	if err == nil || errors.Is(err, context.Canceled) && ctx.Err() != nil {
		return ExitOK // Ctrl-C ends --watch
	}
	var degraded *degradedError
	var failed *checkFailedError // already on stdout
	if (!errors.As(err, &degraded) || !degraded.told) && !errors.As(err, &failed) {
		fmt.Fprintln(env.Stderr, "vipctl: "+err.Error())
	}
	return exitCode(err)
}

func (p *program) app() *cli.App {
	app := &cli.App{
		Name:      "vipctl",
		Usage:     "show and change the virtual IPs of this node",
		UsageText: "vipctl [--socket PATH] COMMAND [flags] [arguments]",
		Description: example(
			"Talks to the running vipd over its unix socket. Only root may change anything; members of vipd's control group\n"+
				"may read. The exit code is 0 on success, 1 on failure, 2 for a wrong command line, 3 if vipd does not answer,\n"+
				"and 4 if something is degraded.",
			"vipctl status",
			"vipctl maintenance enter --wait",
		),
		Version:                   api.Version,
		Writer:                    p,
		ErrWriter:                 p.env.Stderr,
		Suggest:                   true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // the default one exits
		Flags:                     []cli.Flag{socketFlag(p.env.Getenv), p.colorFlag()},
		Action:                    unknownCommand,
		// In the order of the help.
		Commands: []*cli.Command{
			p.statusCommand(),
			p.showCommand(),
			p.peersCommand(),
			p.whyCommand(),
			p.doctorCommand(),
			p.disableCommand(),
			p.enableCommand(),
			p.maintenanceCommand(),
			p.demotionCommand(),
			p.checkCommand(),
			p.peerCommand(),
			p.yieldCommand(),
			p.historyCommand(),
			p.eventsCommand(),
			p.recordCommand(),
			p.captureCommand(),
			p.planCommand(),
			p.reloadCommand(),
			p.restartCommand(),
			p.initCommand(),
			p.configCommand(),
			p.importCommand(),
			p.versionCommand(),
			p.completionCommand(),
		},
	}
	for _, c := range app.Commands {
		p.prepare(c)
	}
	app.BashComplete = p.completer(app.Commands, app.Flags, nil)
	return app
}

// prepare gives a command what all commands have.
func (p *program) prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	c.Flags = append(c.Flags, socketFlag(nil), p.colorFlag())
	c.BashComplete = p.completer(c.Subcommands, c.Flags, c.BashComplete)
	if c.Action == nil {
		c.Action = unknownCommand
	}
	for _, sub := range c.Subcommands {
		p.prepare(sub)
	}
}

// socketFlag is accepted before the command, where it defaults to VIPD_SOCKET, and after it.
func socketFlag(getenv func(string) string) *cli.StringFlag {
	f := &cli.StringFlag{
		Name:        "socket",
		Usage:       "unix socket of vipd at `PATH`, also set by VIPD_SOCKET",
		DefaultText: api.DefaultSocket,
	}
	if getenv != nil {
		if path := getenv("VIPD_SOCKET"); path != "" {
			f.Value, f.DefaultText = path, path
		}
	}
	return f
}

// client uses the --socket that is nearest to the command.
func (p *program) client(c *cli.Context) *api.Client {
	for _, level := range c.Lineage() {
		if s := level.String("socket"); s != "" {
			return &api.Client{Socket: s}
		}
	}
	return &api.Client{}
}

// columns is the width of the terminal, 80 if that cannot be read.
func (p *program) columns() int {
	if f, ok := p.env.Stdout.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col)
		}
	}
	return 80
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// example formats a command's description.
func example(text string, lines ...string) string {
	return text + "\n\nEXAMPLE:\n   " + strings.Join(lines, "\n   ")
}
