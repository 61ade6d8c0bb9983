// SPDX-License-Identifier: Apache-2.0

// Package executable writes programs that a test runs at once.
package executable

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// Write creates an executable file with that content.
//
// The kernel runs no file that a process has open for writing (ETXTBSY), and between fork and
// exec a child that another test starts has every file open that this process has. So no thread
// forks while the file is open (go.dev/issue/22315).
func Write(t testing.TB, path string, content []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, content, 0o755); err != nil {
		t.Fatal(err)
	}
}

// Script creates a shell script at path, or, if path has no directory, in a directory of
// the test's own, and returns where it is.
func Script(t testing.TB, path, text string) string {
	t.Helper()
	if filepath.Base(path) == path {
		path = filepath.Join(t.TempDir(), path)
	}
	Write(t, path, []byte("#!/bin/sh\n"+text+"\n"))
	return path
}
