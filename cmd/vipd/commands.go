// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/agent/control/api"
	"vipd/agent/helper"
	"vipd/agent/programs"
)

// helperSocket is the variable with the socket of the helper; the unit sets it.
const helperSocket = "VIPD_COMMANDS"

// operatorPrograms runs the operator's programs, through the helper if the unit has one.
func operatorPrograms(log *slog.Logger) programs.Host {
	socket := os.Getenv(helperSocket)
	if socket == "" {
		return programs.Host{}
	}
	c := &helper.Client{Socket: socket, Version: api.ReadBuild().String(), Fallback: command.Local{}, Log: log}
	return programs.Host{Runner: c, Examine: c.Examine}
}

// runCommands is the helper. It serves the socket that systemd passes (sd_listen_fds(3)).
func runCommands(ctx context.Context, config string, log *slog.Logger) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	l, err := passedListener(os.Getenv)
	if err != nil {
		return err
	}
	if err := command.KeepFiles(); err != nil {
		return err
	}
	log.Info("running commands for vipd", "version", api.ReadBuild().String(), "config", config)
	return helper.New(helper.Options{Config: config, Version: api.ReadBuild().String(), Log: log}).Run(ctx, l)
}

// passedListener returns the socket that systemd passes.
func passedListener(getenv func(string) string) (*net.UnixListener, error) {
	const first = 3 // SD_LISTEN_FDS_START
	if getenv("LISTEN_FDS") != "1" || getenv("LISTEN_PID") != strconv.Itoa(os.Getpid()) {
		return nil, fmt.Errorf("%w: --run-commands needs the socket of vipd-commands.socket; "+
			"run `systemctl start vipd-commands.socket`", errUsage)
	}
	unix.CloseOnExec(first)
	f := os.NewFile(first, "vipd-commands.socket")
	defer f.Close()
	l, err := net.FileListener(f)
	if err != nil {
		return nil, fmt.Errorf("cannot use the socket that systemd passed: %w", err)
	}
	u, ok := l.(*net.UnixListener)
	if !ok {
		return nil, errors.Join(
			errors.New("cannot use the socket that systemd passed: not a unix socket; restore vipd-commands.socket"),
			l.Close(),
		)
	}
	return u, nil
}
