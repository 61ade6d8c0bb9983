// SPDX-License-Identifier: Apache-2.0

// Command vipctl shows and changes a running vipd.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"vipd/vipctl"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := vipctl.Run(ctx, os.Args, vipctl.Env{Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Getenv: os.Getenv})
	stop()
	os.Exit(code)
}
