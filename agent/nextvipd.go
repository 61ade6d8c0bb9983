// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	program "vipd/agent/command"
	"vipd/agent/config"
	"vipd/agent/control/api"
	"vipd/agent/operator"
)

// checkLimit bounds the check of the config by the next vipd.
const checkLimit = 10 * time.Second

// Program is the vipd that a supervisor would start next.
type Program struct {
	// Path and Args are those of this process; an empty path means unknown.
	Path string
	Args []string
	// started is the running file, which an upgrade replaces.
	started os.FileInfo
}

// ThisProgram returns the program of this process.
func ThisProgram(args []string) Program {
	p := Program{Args: args}
	path, err := os.Executable()
	if err != nil {
		return p
	}
	p.Path = strings.TrimSuffix(path, " (deleted)")
	p.started, _ = os.Stat("/proc/self/exe") // nil: taken for replaced
	return p
}

// replaced reports whether the file at the path is no longer the running one.
func (p Program) replaced() bool {
	there, err := os.Stat(p.Path)
	return err != nil || p.started == nil || !os.SameFile(there, p.started) || !there.ModTime().Equal(p.started.ModTime())
}

// checkNext checks the config as the next vipd will read it: with this process if the program is the same, else with
// the program that replaced it. The error is an [api.Error] if the config is refused.
func (o Options) checkNext(ctx context.Context, running *config.Config) error {
	if o.Next.Path == "" || !o.Next.replaced() {
		if o.Load == nil {
			return nil // from the command line: the same as the running one
		}
		next, _, err := o.Load()
		if err != nil {
			return refusedNext(err)
		}
		return keepsGroups(running, len(next.Groups) == 0)
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	dir, err := os.Getwd()
	if err != nil {
		dir = "/"
	}
	var out bytes.Buffer
	err = program.Run(ctx, program.Spec{
		Argv: append(append([]string{o.Next.Path}, o.Next.Args...), "--check"), Dir: dir, Env: os.Environ(), Output: &out,
	})
	const invalid = 2 // exit status of vipd --check
	text := strings.TrimSpace(out.String())
	exit, exited := errors.AsType[*program.ExitError](err)
	switch {
	case err == nil:
		return keepsGroups(running, strings.HasSuffix(text, noGroups))
	case ctx.Err() != nil:
		return fmt.Errorf("%s --check did not end within %v; nothing was changed", o.Next.Path, checkLimit)
	case exited && exit.Code == invalid:
		e := api.Errorf(api.CodeInvalidConfig, "%s refuses the config, the running vipd stays:", o.Next.Path)
		e.Problems = strings.Split(text, "\n")
		return e
	case exited:
		return fmt.Errorf("%s --check failed (%w), the running vipd stays: %s", o.Next.Path, err, text)
	default:
		return fmt.Errorf("cannot run %s, the running vipd stays: %w; install it again", o.Next.Path, err)
	}
}

// noGroups ends what vipd --check prints for a config without any.
const noGroups = ": ok, 0 groups"

// keepsGroups refuses a config without groups: a restart is not meant to give up everything.
func keepsGroups(running *config.Config, none bool) error {
	if !none || len(running.Groups) == 0 {
		return nil
	}
	return api.Errorf(api.CodeInvalidConfig, "%s no longer has a group, the running vipd stays and keeps its %d; "+
		"to give them all up use `vipctl reload --force`", running.Source, len(running.Groups))
}

func refusedNext(err error) error {
	e := operator.InvalidConfig(err)
	if of, ok := errors.AsType[*api.Error](e); ok {
		of.Message = strings.Replace(of.Message, "the running one stays", "the running vipd stays", 1)
	}
	return e
}
