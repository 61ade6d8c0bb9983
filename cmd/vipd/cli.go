// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent"
	"vipd/agent/config"
	"vipd/agent/control/api"
)

const description = `vipd keeps virtual IP addresses on exactly one of several hosts with CARP, the
protocol of FreeBSD, OpenBSD, pfSense, OPNsense and ucarp, and answers for
them in XDP.

EXAMPLES:
   vipd --config /etc/vipd/vipd.toml            run with a config file
   vipd --config /etc/vipd/vipd.toml --check    check the file and exit
   vipd --interface eth0 --vhid 1 --address 192.0.2.100/24 --password-file /etc/vipd/key
   vipd --cleanup                               remove what a killed vipd left

SIGNALS:
   TERM, INT  stop: hand over, take addresses and programs off
   HUP        read the config again and apply what changed
   USR2       leave without goodbye for the next vipd (upgrades)`

// errUsage marks what is the caller's mistake: exit code 2.
var errUsage = errors.New("usage")

// run is the whole command; it returns the exit code: 0 ok, 1 failure, 2 usage
// or an invalid config.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	err := newApp(ctx, stdout, stderr).RunContext(ctx, args)
	switch {
	case err == nil:
		return 0
	case isInvalid(err):
		fmt.Fprintln(stderr, err) // one problem a line, file first: for editors
		return 2
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "vipd:", strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return 2
	default:
		fmt.Fprintln(stderr, "vipd:", err)
		return 1
	}
}

func newApp(ctx context.Context, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:                      "vipd",
		Usage:                     "CARP virtual IPs for Linux",
		UsageText:                 "vipd [--config FILE] [--check]\nvipd --interface IF --vhid N --address ADDR/LEN --password-file FILE\nvipd --cleanup",
		Description:               description,
		HideHelpCommand:           true,
		HideVersion:               true, // our own flag below, so that -v stays free
		Suggest:                   true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return fmt.Errorf("%w: %w; see vipd --help", errUsage, err)
		},
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "config", Usage: "read the configuration from `FILE`", DefaultText: config.DefaultPath, EnvVars: []string{"VIPD_CONFIG"}},
			&cli.BoolFlag{Name: "check", Usage: "check the configuration and exit (0, or 2 with every problem)"},
			&cli.BoolFlag{Name: "cleanup", Usage: "remove the programs, addresses and pins that a dead vipd left, and exit"},
			&cli.BoolFlag{Name: "version", Usage: "print the version and exit"},
			&cli.StringFlag{Name: "interface", Usage: "one group without a file: the `INTERFACE` it is on"},
			&cli.IntFlag{Name: "vhid", Usage: "its virtual host id, 1..255"},
			&cli.StringSliceFlag{Name: "address", Usage: "its virtual `ADDRESS/LENGTH`; may be repeated"},
			&cli.StringFlag{Name: "password-file", Usage: "the `FILE` whose first line is its password"},
			&cli.IntFlag{Name: "advbase", Value: 1, Usage: "its advertisement interval in seconds"},
			&cli.IntFlag{Name: "advskew", Value: 0, Usage: "its skew in 1/256 s; the lowest node is MASTER"},
			&cli.StringFlag{Name: "log-level", Value: "info", Usage: "debug, info, warn or error"},
			&cli.StringFlag{Name: "log-format", Value: "text", Usage: "text or json"},
		},
		Action: func(c *cli.Context) error { return action(ctx, c, stdout, stderr) },
	}
}

func action(ctx context.Context, c *cli.Context, stdout, stderr io.Writer) error {
	if c.Bool("version") {
		fmt.Fprintln(stdout, "vipd", api.ReadBuild())
		return nil
	}
	if c.Args().Present() {
		return fmt.Errorf("%w: unexpected argument %q; see vipd --help", errUsage, c.Args().First())
	}
	lines := agent.NewLogWriter(stderr)
	defer lines.Close() //nolint:errcheck // it never fails
	log, err := newLogger(lines, c.String("log-level"), c.String("log-format"))
	if err != nil {
		return err
	}
	load := loadFile(c)
	if c.IsSet("interface") {
		load = func() (*config.Config, []config.Problem, error) { return fromFlags(c) }
	}
	if c.Bool("cleanup") && !c.IsSet("config") && !exists(config.DefaultPath) {
		// No file: the standard places are meant.
		load = func() (*config.Config, []config.Problem, error) { return config.Default(), nil, nil }
	}
	cfg, warnings, err := load()
	if err != nil {
		return err
	}
	for _, w := range warnings {
		log.Warn("config", "warning", w.String())
	}
	if c.Bool("check") {
		fmt.Fprintf(stdout, "%s: ok, %d groups\n", cfg.Source, len(cfg.Groups))
		return nil
	}
	opts := agent.Options{Config: cfg, Log: log, ForceClsact: os.Getenv("VIPD_EGRESS") == "clsact"}
	if c.Bool("cleanup") {
		return agent.Cleanup(opts)
	}
	if !c.IsSet("interface") {
		opts.Load = load
	}
	return serve(ctx, opts)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*config.Error](err)
	return ok
}

func loadFile(c *cli.Context) func() (*config.Config, []config.Problem, error) {
	path := c.String("config")
	if path == "" {
		path = config.DefaultPath
	}
	return func() (*config.Config, []config.Problem, error) { return config.Load(path) }
}

func fromFlags(c *cli.Context) (*config.Config, []config.Problem, error) {
	return config.FromFlags(config.Flags{
		Interface: c.String("interface"), VHID: c.Int("vhid"), Addresses: c.StringSlice("address"),
		PasswordFile: c.String("password-file"), AdvBase: c.Int("advbase"), AdvSkew: c.Int("advskew"),
	}, config.Options{})
}

// newLogger logs to w without time stamps under journald, which has its own.
func newLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, fmt.Errorf("%w: --log-level %q: allowed are debug, info, warn, error", errUsage, level)
	}
	opts := &slog.HandlerOptions{Level: l}
	if os.Getenv("JOURNAL_STREAM") != "" {
		opts.ReplaceAttr = func(groups []string, a slog.Attr) slog.Attr {
			if len(groups) == 0 && a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, opts)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, opts)), nil
	default:
		return nil, fmt.Errorf("%w: --log-format %q: allowed are text, json", errUsage, format)
	}
}
