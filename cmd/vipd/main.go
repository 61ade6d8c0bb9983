// SPDX-License-Identifier: Apache-2.0

// Command vipd is the daemon: CARP virtual IPs with the packet path in XDP.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"vipd/agent"
	"vipd/agent/command"
	"vipd/agent/sdnotify"
)

// The main thread runs nothing else. A goroutine that leaves real-time priority ends with its thread
// (agent/ordinary), but the runtime cannot end the main thread: it would keep the low priority, unused.
func init() { runtime.LockOSThread() }

// together is within which signals to stop count as one.
const together = time.Second

func main() {
	exit := make(chan int)
	go func() { exit <- run(context.Background(), os.Args, os.Stdout, os.Stderr) }()
	os.Exit(<-exit)
}

// serve runs the daemon and handles its signals (docs/decisions/operations.md): TERM and INT stop
// with a handover (a later one kills), HUP reloads, USR2 exits without a goodbye for the next vipd.
func serve(ctx context.Context, opts agent.Options) error {
	ctx, cancel := signal.NotifyContext(ctx, syscall.SIGTERM, os.Interrupt)
	defer cancel()
	// A further signal has its default effect, but not at once: timeout(1) and a terminal's process group send two.
	context.AfterFunc(ctx, func() { time.AfterFunc(together, cancel) })
	// A log reader that exits must not kill vipd. Not signal.Ignore, which hooks and checks would
	// inherit.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	// Before the start waits for anything: HUP would end the process.
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGUSR2)
	defer signal.Stop(signals)
	if err := command.KeepFiles(); err != nil {
		return err
	}

	notify, err := sdnotify.FromEnvironment(os.Getenv)
	if err != nil {
		opts.Log.Warn("running without a supervisor", "err", err)
	}
	defer notify.Close() //nolint:errcheck // the last message was sent
	opts.Notify = notify

	// A crash ends by SIGABRT: with exit status 2 systemd would not start vipd again.
	debug.SetTraceback("crash")
	patience := newPatience(opts.Config.Node.RuntimeDir, notify)
	patience.begin(ctx)
	steady := time.AfterFunc(lasting, patience.forget)
	defer steady.Stop()

	a := agent.New(opts)
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
	err = a.Run(ctx)
	if err == nil {
		patience.forget()
	}
	return err
}
