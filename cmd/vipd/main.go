// SPDX-License-Identifier: Apache-2.0

// Command vipd is the daemon: CARP virtual IPs with the data plane in XDP.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"vipd/agent"
	"vipd/agent/command"
	"vipd/agent/sdnotify"
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Stdout, os.Stderr))
}

// serve runs the daemon under the signals of docs/architecture.md: TERM and INT
// stop with a handover (a second one kills), HUP reloads, USR2 leaves without
// goodbye for the next vipd.
func serve(ctx context.Context, opts agent.Options) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	context.AfterFunc(ctx, cancel) // a second signal has its default effect
	// A log reader that goes away must not take the addresses with it. Not Ignore, which
	// hooks and checks would inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if err := command.KeepFiles(); err != nil {
		return err
	}

	notify, err := sdnotify.FromEnvironment(os.Getenv)
	if err != nil {
		opts.Log.Warn("running without a supervisor", "err", err)
	}
	defer notify.Close() //nolint:errcheck // nothing is left to be said
	opts.Notify = notify

	a := agent.New(opts)
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGHUP {
					a.Reload()
				} else {
					a.Leave()
				}
			case <-done:
				return
			}
		}
	}()
	return a.Run(ctx)
}
