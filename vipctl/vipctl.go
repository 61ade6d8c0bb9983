// SPDX-License-Identifier: Apache-2.0

// Package vipctl is the operator's command as a library: one file a command. Of the
// agent it knows the control API and nothing else.
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

// Env is what the command takes from its surroundings.
type Env struct {
	Stdin          io.Reader // nil means that there is none
	Stdout, Stderr io.Writer
	Getenv         func(string) string
	// Now is the clock for ages; nil means the host's.
	Now func() time.Time
	// Terminal forces colours and redrawing; otherwise Stdout is asked what it is.
	Terminal bool
	// Daemon is the vipd that checks a config; empty means the one beside vipctl, or
	// else in PATH.
	Daemon string

	every time.Duration // how often --watch looks, for tests; 0 means watchInterval
}

// program is one run of the command.
type program struct {
	env  Env
	args []string
	tty  bool
	// symbols say what colours say, to whom does not see them.
	symbols, colour bool
	lost            error // what kept the output from being written
}

// Run executes one command line, args[0] being the program's name, and returns the
// exit code. Errors are told on Stderr.
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
		return ExitOK // Ctrl-C is how --watch ends
	}
	var d *degradedError
	if !errors.As(err, &d) || !d.told {
		fmt.Fprintln(env.Stderr, "vipctl: "+err.Error())
	}
	return exitCode(err)
}

func (p *program) app() *cli.App {
	app := &cli.App{
		Name:      "vipctl",
		Usage:     "show and change the virtual IPs of this node",
		UsageText: "vipctl [--socket PATH] COMMAND [flags] [arguments]",
		Description: example("Asks the running vipd over its unix socket. Root may change things, members of vipd's control group may look.\n"+
			"The exit code is 0 when done, 1 for a failure, 2 for a wrong command line, 3 when vipd does not answer, and 4 when\n"+
			"something is degraded.", "vipctl status", "vipctl maintenance enter --wait"),
		Version:                   api.Version,
		Writer:                    p.env.Stdout,
		ErrWriter:                 p.env.Stderr,
		Suggest:                   true,
		EnableBashCompletion:      true,
		DisableSliceFlagSeparator: true,
		OnUsageError:              onUsageError,
		ExitErrHandler:            func(*cli.Context, error) {}, // the library would end the process
		Flags:                     []cli.Flag{socketFlag(p.env.Getenv), p.colorFlag()},
		Action: func(c *cli.Context) error {
			return unknownCommand(c, c.App.Commands, "vipctl")
		},
		// One a line, in the order of the help.
		Commands: []*cli.Command{
			p.statusCommand(),
			p.showCommand(),
			p.whyCommand(),
			p.doctorCommand(),
			p.disableCommand(),
			p.enableCommand(),
			p.maintenanceCommand(),
			p.demotionCommand(),
			p.yieldCommand(),
			p.historyCommand(),
			p.eventsCommand(),
			p.recordCommand(),
			p.captureCommand(),
			p.planCommand(),
			p.reloadCommand(),
			p.restartCommand(),
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

// prepare gives every command what all have.
func (p *program) prepare(c *cli.Command) {
	c.OnUsageError = onUsageError
	c.Flags = append(c.Flags, socketFlag(nil), p.colorFlag())
	c.BashComplete = p.completer(c.Subcommands, c.Flags, c.BashComplete)
	for _, sub := range c.Subcommands {
		p.prepare(sub)
	}
}

// socketFlag stands before the command, where it takes VIPD_SOCKET, and after it.
func socketFlag(getenv func(string) string) *cli.StringFlag {
	f := &cli.StringFlag{Name: "socket", Usage: "socket of vipd at `PATH`, also by VIPD_SOCKET", DefaultText: api.DefaultSocket}
	if getenv != nil {
		if path := getenv("VIPD_SOCKET"); path != "" {
			f.Value, f.DefaultText = path, path
		}
	}
	return f
}

// client speaks to the socket that was named nearest to the command.
func (p *program) client(c *cli.Context) *api.Client {
	for _, level := range c.Lineage() {
		if s := level.String("socket"); s != "" {
			return &api.Client{Socket: s}
		}
	}
	return &api.Client{}
}

// printf remembers that it failed: a command whose answer was lost has not worked.
func (p *program) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(p.env.Stdout, format, args...); err != nil && p.lost == nil {
		p.lost = err
	}
}

// warn is for what does not belong into a command's output.
func (p *program) warn(format string, args ...any) {
	fmt.Fprintf(p.env.Stderr, "vipctl: "+format+"\n", args...)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// example is the form of every command's description.
func example(text string, lines ...string) string {
	return text + "\n\nEXAMPLE:\n   " + strings.Join(lines, "\n   ")
}
