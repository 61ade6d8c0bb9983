// SPDX-License-Identifier: Apache-2.0

// Package vipctl is the operator's command as a library.
package vipctl

import (
	"context"
	"io"
)

// Env is what the command takes from its surroundings.
type Env struct {
	Stdout, Stderr io.Writer
	Getenv         func(string) string
}

// Run executes one command line, args[0] being the program's name, and returns the
// exit code.
func Run(ctx context.Context, args []string, env Env) int {
	return 1
}
