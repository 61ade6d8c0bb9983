// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent"
	"vipd/agent/command"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/hostcheck"
	"vipd/agent/netio"
	"vipd/agent/sdnotify"
)

const description = `vipd keeps virtual IP addresses on exactly one of several hosts. It speaks CARP, the
protocol of FreeBSD, OpenBSD, pfSense, OPNsense and ucarp, and answers for the
addresses in XDP.

EXAMPLES:
   vipd --config /etc/vipd/vipd.toml            run with a config file
   vipd --config /etc/vipd/vipd.toml --check    check the file and exit
   vipd --interface eth0 --vhid 1 --address 192.0.2.100/24 --password-file /etc/vipd/key
   vipd --cleanup                               remove everything that a killed vipd left

SIGNALS:
   TERM, INT  stop: hand over, remove addresses and programs
   HUP        read the config again and apply what changed
   USR2       exit without a goodbye, for the next vipd (upgrades)`

// errUsage marks a wrong command line: exit code 2.
var errUsage = errors.New("usage")

// run runs the command and returns the exit code: 0 ok, 1 failure, 2 for a wrong command line or
// an invalid config.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	out := &output{w: stdout}
	err := newApp(ctx, out, stderr).RunContext(ctx, args)
	if err == nil && out.lost != nil {
		err = fmt.Errorf("the output could not be written: %w", out.lost)
	}
	switch {
	case err == nil:
		return 0
	case isInvalid(err):
		fmt.Fprintln(stderr, err) // one problem per line, file first, as editors parse it
		return 2
	case errors.Is(err, errUsage):
		fmt.Fprintln(stderr, "vipd:", strings.TrimPrefix(err.Error(), errUsage.Error()+": "))
		return 2
	default:
		fmt.Fprintln(stderr, "vipd:", err)
		return 1
	}
}

// output keeps the first error of a write to w: the library that prints the help drops it.
type output struct {
	w    io.Writer
	lost error
}

// Write implements io.Writer.
func (o *output) Write(b []byte) (int, error) {
	n, err := o.w.Write(b)
	o.lost = cmp.Or(o.lost, err)
	return n, err
}

func newApp(ctx context.Context, stdout, stderr io.Writer) *cli.App {
	return &cli.App{
		Name:  "vipd",
		Usage: "CARP virtual IPs for Linux",
		UsageText: "vipd [--config FILE] [--check]\n" +
			"vipd --interface IF --vhid N --address ADDR/LEN --password-file FILE\n" +
			"vipd --cleanup",
		Description:               description,
		HideHelpCommand:           true,
		HideVersion:               true, // our own flag below leaves -v free
		Suggest:                   true,
		DisableSliceFlagSeparator: true,
		Writer:                    stdout,
		ErrWriter:                 stderr,
		ExitErrHandler:            func(*cli.Context, error) {},
		OnUsageError: func(_ *cli.Context, err error, _ bool) error {
			return fmt.Errorf("%w: %w; see vipd --help", errUsage, err)
		},
		Flags: []cli.Flag{
			&cli.StringFlag{
				Name:        "config",
				Usage:       "read the configuration from `FILE`",
				DefaultText: config.DefaultPath,
				EnvVars:     []string{"VIPD_CONFIG"},
			},
			&cli.BoolFlag{Name: "check", Usage: "check the configuration and exit: 0, or 2 and every problem"},
			&cli.BoolFlag{Name: "cleanup", Usage: "remove programs, addresses and pins left by a killed vipd, and exit"},
			&cli.BoolFlag{
				Name:  "run-commands",
				Usage: "run the programs of checks and hooks for a vipd in a sandbox; started by vipd-commands.socket",
			},
			&cli.StringFlag{
				Name: "survey",
				Usage: "look at the segment of `INTERFACE` for a few seconds and print as JSON which VHIDs are in use and who " +
					"answers for each --address; changes nothing; vipctl init runs it",
			},
			&cli.BoolFlag{
				Name: "takes-over",
				Usage: "print as JSON whether this vipd can continue in the roles of the running one; changes nothing; " +
					"vipctl restart runs it",
			},
			&cli.BoolFlag{Name: "version", Usage: "print the version and exit"},
			&cli.StringFlag{Name: "interface", Usage: "one group without a file: its `INTERFACE`"},
			&cli.IntFlag{Name: "vhid", Usage: "its virtual host ID, 1..255"},
			&cli.StringSliceFlag{Name: "address", Usage: "its virtual `ADDRESS/LENGTH`; may be given several times"},
			&cli.StringFlag{Name: "password-file", Usage: "`FILE` with its password in the first line"},
			&cli.IntFlag{Name: "advbase", Value: 1, Usage: "its advertisement interval in seconds"},
			&cli.IntFlag{Name: "advskew", Value: 0, Usage: "its skew in 1/256 s; the node with the lowest interval is MASTER"},
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
	lines := newLogWriter(stderr)
	defer lines.Close() //nolint:errcheck // never fails
	log, err := newLogger(lines, c.String("log-level"), c.String("log-format"))
	if err != nil {
		return err
	}
	if c.Bool("run-commands") {
		return runCommands(ctx, configPath(c), log)
	}
	if c.IsSet("survey") {
		return printSurvey(ctx, c, stdout)
	}
	host := operatorPrograms(log)
	load := loadFile(c, host.Examine)
	if c.IsSet("interface") {
		load = func() (*config.Config, []config.Problem, error) { return fromFlags(c) }
	}
	if c.Bool("cleanup") && !c.IsSet("config") && !exists(config.DefaultPath) {
		// Without a file, clean up the default directories.
		load = func() (*config.Config, []config.Problem, error) { return config.Default(), nil, nil }
	}
	cfg, warnings, err := load()
	if err != nil {
		if !c.Bool("check") {
			notifyRefused(err)
		}
		return err
	}
	for _, w := range warnings {
		log.Warn("config", "warning", w.String())
	}
	if c.Bool("check") {
		if err := compareWithHost(cfg, log); err != nil {
			return err
		}
		many := "groups"
		if len(cfg.Groups) == 1 {
			many = "group"
		}
		fmt.Fprintf(stdout, "%s: ok, %d %s\n", cfg.Source, len(cfg.Groups), many)
		return nil
	}
	opts := agent.Options{
		Config: cfg, Log: log, Programs: host, Next: agent.ThisProgram(os.Args[1:]),
		ForceClsact: os.Getenv("VIPD_EGRESS") == "clsact",
	}
	switch {
	case c.Bool("cleanup"):
		return agent.Cleanup(opts)
	case c.Bool("takes-over"):
		return printTakesOver(opts, stdout)
	}
	if !c.IsSet("interface") {
		opts.Load = load
	}
	return serve(ctx, opts)
}

func printTakesOver(opts agent.Options, stdout io.Writer) error {
	answer := api.TakeOver{TakesOver: true}
	if err := agent.CanTakeOver(opts); err != nil {
		answer = api.TakeOver{Why: err.Error()}
	}
	return json.NewEncoder(stdout).Encode(answer)
}

// compareWithHost compares the config with this host. A host that cannot be read may be a build
// machine: only the file is checked then.
func compareWithHost(cfg *config.Config, log *slog.Logger) error {
	facts, err := readHost(cfg)
	if err != nil {
		log.Warn("config not compared with this host", "err", err)
		return nil
	}
	refused, warnings := hostcheck.Compare(cfg, facts)
	for _, w := range warnings {
		log.Warn("config", "warning", w.String())
	}
	if len(refused) > 0 {
		return &config.Error{Problems: refused}
	}
	return nil
}

func readHost(cfg *config.Config) (*hostcheck.Facts, error) {
	host, err := netio.NewHost()
	if err != nil {
		return nil, err
	}
	defer host.Close()
	return hostcheck.Read(host, cfg)
}

// notifyRefused shows the reason in `systemctl status`, since systemd does not start the unit again.
func notifyRefused(err error) {
	notify, notifyErr := sdnotify.FromEnvironment(os.Getenv)
	if notifyErr != nil || notify == nil {
		return
	}
	text := err.Error()
	if bad, ok := errors.AsType[*config.Error](err); ok && len(bad.Problems) > 0 {
		text = bad.Problems[0].String()
		if more := len(bad.Problems) - 1; more > 0 {
			text += fmt.Sprintf(" (and %d more, see the log)", more)
		}
	}
	_ = notify.Send(sdnotify.Status("not started, config refused: " + text))
	_ = notify.Close()
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return !errors.Is(err, fs.ErrNotExist)
}

func isInvalid(err error) bool {
	_, ok := errors.AsType[*config.Error](err)
	return ok
}

func configPath(c *cli.Context) string { return cmp.Or(c.String("config"), config.DefaultPath) }

func loadFile(c *cli.Context, examine func(string) []command.Fault) func() (*config.Config, []config.Problem, error) {
	path := configPath(c)
	return func() (*config.Config, []config.Problem, error) {
		return config.Load(path, config.Options{Examine: examine})
	}
}

func fromFlags(c *cli.Context) (*config.Config, []config.Problem, error) {
	return config.FromFlags(config.Flags{
		Interface: c.String("interface"), VHID: c.Int("vhid"), Addresses: c.StringSlice("address"),
		PasswordFile: c.String("password-file"), AdvBase: c.Int("advbase"), AdvSkew: c.Int("advskew"),
	}, config.Options{})
}

// newLogger logs to w. It omits time stamps under journald, which adds its own.
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
