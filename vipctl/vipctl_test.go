// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/goldenfile"
)

// These tests do not run in parallel, since the flag library keeps its help flag in a package
// variable.

func testNow() time.Time { return time.Date(2026, 11, 22, 14, 0, 0, 0, time.UTC) }

// run executes vipctl and returns its exit code and output.
func run(t *testing.T, env Env, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	env.Stdout, env.Stderr, env.Now = &out, &errs, testNow
	code = Run(t.Context(), append([]string{"vipctl"}, args...), env)
	return code, out.String(), errs.String()
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	goldenfile.Compare(t, filepath.Join("testdata", name+".golden"), got, "-update if meant")
}

// The socket may be set before the command, after it and in the environment; the nearest wins.
func TestSocket(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	env := Env{Getenv: func(k string) string {
		if k == "VIPD_SOCKET" {
			return socket
		}
		return ""
	}}
	for _, args := range [][]string{
		{"status"},
		{"--socket", socket, "status"},
		{"status", "--socket", socket},
		{"--socket", "/none", "status", "--socket", socket},
		{"maintenance", "--socket", socket, "status"},
		{"maintenance", "status", "--socket", socket},
	} {
		if code, _, errs := run(t, env, args...); code != ExitOK {
			t.Errorf("%q: exit %d, %s", args, code, errs)
		}
	}
	for _, args := range [][]string{{"--socket", "/none", "status"}, {"--socket", socket, "status", "--socket", "/none"}} {
		code, out, errs := run(t, env, args...)
		if code != ExitUnreachable || out != "" || !strings.Contains(errs, "not reachable at /none") ||
			!strings.Contains(errs, "systemctl start vipd") {
			t.Errorf("%q: exit %d, %q, %q", args, code, out, errs)
		}
	}
	if code, _, errs := run(t, Env{}, "disable"); code != ExitUnreachable || !strings.Contains(errs, api.DefaultSocket) {
		t.Errorf("default socket: exit %d, %s", code, errs)
	}
}

func TestOutputLost(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, args := range [][]string{
		{"--socket", socket, "status"},
		{"--help"},
		{"status", "--help"},
		{"--version"},
	} {
		var errs bytes.Buffer
		code := Run(t.Context(), append([]string{"vipctl"}, args...), Env{Stdout: full, Stderr: &errs})
		if code != ExitFailure || !strings.Contains(errs.String(), "the output could not be written") {
			t.Errorf("%q: exit %d, %q", args, code, errs.String())
		}
	}
}
