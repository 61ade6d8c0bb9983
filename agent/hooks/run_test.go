// SPDX-License-Identifier: Apache-2.0

package hooks

import (
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/tests/executable"
)

func script(t *testing.T, text string) string {
	t.Helper()
	return executable.Script(t, "hook", text)
}

func runOnce(t *testing.T, h Hook) Result {
	t.Helper()
	return execute(t.Context(), command.Local{}, h, Transition{
		Group: "eth0@1", From: "BACKUP", To: "MASTER", Reason: "master_timeout",
		Addresses: []string{"192.0.2.100/24", "2001:db8::100/64"}, Generation: 7,
	}, 2)
}

// Arguments and environment are the contract: they contain nothing else, and no file is inherited.
func TestHookArgumentsAndEnvironment(t *testing.T) {
	t.Setenv("VIPD_TEST_LEAK", "must not be seen")
	l, err := net.Listen("tcp", "127.0.0.1:0") // a socket that must not be inherited
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()                             //nolint:errcheck // only its descriptor matters
	if err := command.KeepFiles(); err != nil { // what this test inherited itself
		t.Fatal(err)
	}
	res := runOnce(t, Hook{Path: script(t, `echo "args: $*"; env | sort; pwd; echo err >&2`), Timeout: 10 * time.Second})
	if res.Outcome != OK || res.ExitCode != 0 || res.Fault != "" || res.Cut {
		t.Fatalf("%+v", res)
	}
	var env []string
	for line := range strings.Lines(res.Output) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "=") && !strings.HasPrefix(line, "PWD=") && !strings.HasPrefix(line, "_=") {
			env = append(env, line)
		}
	}
	want := []string{
		"HOME=/", "LC_ALL=C", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"VIPD_ADDRESSES=192.0.2.100/24 2001:db8::100/64", "VIPD_FROM=BACKUP", "VIPD_GENERATION=7",
		"VIPD_GROUP=eth0@1", "VIPD_REASON=master_timeout", "VIPD_SKIPPED=2", "VIPD_TO=MASTER",
	}
	if got := strings.Join(env, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("environment:\n%s\nwant:\n%s", got, strings.Join(want, "\n"))
	}
	files := runOnce(t, Hook{Path: script(t, "exec ls -l /proc/self/fd"), Timeout: 10 * time.Second})
	for line := range strings.Lines(files.Output) {
		f := strings.Fields(line)
		if len(f) < 3 || f[len(f)-2] != "->" {
			continue
		}
		fd, what := f[len(f)-3], f[len(f)-1]
		switch {
		case fd == "0" && what == "/dev/null",
			fd == "1" || fd == "2",
			strings.HasSuffix(what, "/fd"): // the last is what ls reads
		default:
			t.Errorf("inherited %s", line)
		}
	}
	if files.Outcome != OK || !strings.Contains(files.Output, " 2 -> ") {
		t.Errorf("%+v", files)
	}
	if !strings.HasPrefix(res.Output, "args: eth0@1 BACKUP MASTER\n") || !strings.HasSuffix(res.Output, "\n/\nerr") {
		t.Errorf("output:\n%s", res.Output)
	}
}

type outcomeTest struct {
	name, path string
	outcome    Outcome
	code       int
	fault      string
}

func (tt *outcomeTest) timeout() time.Duration {
	if tt.outcome == TimedOut {
		return 300 * time.Millisecond
	}
	return 10 * time.Second
}

func TestOutcomes(t *testing.T) {
	t.Parallel()
	plain := filepath.Join(t.TempDir(), "plain")
	if err := os.WriteFile(plain, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	tests := []outcomeTest{
		{"status", script(t, "echo why; exit 3"), Failed, 3, "exit status 3"},
		{"signal", script(t, "kill -9 $$"), Failed, -1, "signal: killed"},
		{"no such file", "/nonexistent/hook", NotStarted, -1, "no such file or directory (or its interpreter)"},
		{"not executable", plain, NotStarted, -1, "make it executable"},
		{"no shell", script(t, "exit 0") + "; exit 1", NotStarted, -1, "no such file"},
		{"hangs", script(t, "sleep 600 & sleep 600"), TimedOut, -1, "did not end within 300ms and was killed"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			res := runOnce(t, Hook{Path: tt.path, Timeout: tt.timeout()})
			if res.Outcome != tt.outcome || res.ExitCode != tt.code || !strings.Contains(res.Fault, tt.fault) {
				t.Errorf("%+v", res)
			}
		})
	}
}

// Processes that a hook leaves in its process group are killed, also at its timeout.
func TestProcessGroupIsKilled(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		text    string
		timeout time.Duration // a busy machine starts the hook within it
	}{
		"left":  {"", time.Minute},
		"hangs": {"sleep 600", 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			hook := Hook{Path: script(t, "sleep 600 >/dev/null 2>&1 & echo $!; "+tt.text), Timeout: tt.timeout}
			res := runOnce(t, hook)
			pid, err := strconv.Atoi(strings.TrimSpace(res.Output))
			if err != nil {
				t.Fatalf("%+v", res)
			}
			for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
				stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
				if err != nil || strings.Contains(string(stat), ") Z ") {
					return
				}
			}
			t.Errorf("process %d still runs", pid)
			_ = unix.Kill(pid, unix.SIGKILL)
		})
	}
}

// Output is limited to its end and contains no control characters.
func TestOutputIsBounded(t *testing.T) {
	t.Parallel()
	res := runOnce(
		t,
		Hook{
			Path:    script(t, `i=0; while [ $i -lt 3000 ]; do echo "line $i"; i=$((i+1)); done; printf '\033[31mlast\377\n'`),
			Timeout: 10 * time.Second,
		},
	)
	if res.Outcome != OK || !res.Cut || len(res.Output) > MaxOutput ||
		!strings.HasSuffix(res.Output, "line 2999\n [31mlast?") {
		t.Errorf("%v %v, %d bytes: ...%q", res.Outcome, res.Cut, len(res.Output), res.Output[max(0, len(res.Output)-40):])
	}
}
