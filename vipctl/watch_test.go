// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/agent/control/api"
)

// lockedBuffer is written by Run while the test reads it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func TestWatch(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	for _, tty := range []bool{false, true} {
		ctx, cancel := context.WithCancel(t.Context())
		var out, errs lockedBuffer
		ended := make(chan int)
		go func() {
			ended <- Run(ctx, []string{"vipctl", "--socket", socket, "status", "--watch"}, Env{
				Stdout:   &out,
				Stderr:   &errs,
				Now:      testNow,
				Terminal: tty,
				every:    20 * time.Millisecond,
			})
		}()
		for deadline := time.Now().Add(10 * time.Second); strings.Count(out.String(),
			"eth2@20") < 2; time.Sleep(5 * time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("no second frame: %q, %q", out.String(), errs.String())
			}
		}
		cancel()
		if code := <-ended; code != ExitOK || errs.String() != "" {
			t.Errorf("exit %d, %q", code, errs.String())
		}
		if redrawn := strings.Count(out.String(), "\x1b[H"); tty != (redrawn >= 2) {
			t.Errorf("terminal %v: redrawn %d times", tty, redrawn)
		}
	}
}

// watching runs status --watch until the test ends it.
type watching struct {
	t         *testing.T
	out, errs lockedBuffer
	mu        sync.Mutex
	now       time.Time
	cancel    func()
	ended     chan int
}

func startWatch(t *testing.T, tty bool, args ...string) *watching {
	w := &watching{t: t, now: testNow(), ended: make(chan int)}
	ctx, cancel := context.WithCancel(t.Context())
	w.cancel = cancel
	env := Env{every: 20 * time.Millisecond, Stdout: &w.out, Stderr: &w.errs, Terminal: tty, Now: func() time.Time {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.now = w.now.Add(time.Second) // each look takes a second
		return w.now
	}}
	go func() { w.ended <- Run(ctx, append([]string{"vipctl", "status", "--watch"}, args...), env) }()
	return w
}

func (w *watching) await(what string, holds func(out string) bool) {
	w.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); !holds(w.out.String()); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatalf("never %s: %q, %q", what, w.out.String(), w.errs.String())
		}
	}
}

func (w *watching) end() int {
	w.cancel()
	return <-w.ended
}

// While the daemon is gone, the last data do not look fresh.
func TestWatchSurvivesARestart(t *testing.T) {
	for _, tty := range []bool{false, true} {
		n := &node{status: healthy()}
		socket := filepath.Join(t.TempDir(), "s")
		stop := n.serveAt(t, socket)
		w := startWatch(t, tty, "--socket", socket)
		w.await("shown", func(out string) bool { return strings.Contains(out, "MASTER") })
		stop()
		lost := regexp.MustCompile(`daemon unreachable, last data \d+ s old: vipd is not reachable at ` + socket)
		w.await("lost", lost.MatchString)
		at := lost.FindStringIndex(w.out.String())[0]
		w.await("lost twice", func(out string) bool { return len(lost.FindAllString(out, -1)) > 1 })
		if rest := w.out.String()[at:]; strings.Contains(rest, "\x1b["+green+"m") ||
			tty != strings.Contains(rest, "Last known state:") {
			t.Errorf("terminal %v: stale data look fresh: %q", tty, rest)
		}
		seen := len(w.out.String())
		n.serveAt(t, socket)
		w.await("back", func(out string) bool {
			return strings.Contains(out[seen:], "▶ MASTER") || !tty && strings.Contains(out[seen:], "MASTER")
		})
		if code := w.end(); code != ExitOK || w.errs.String() != "" {
			t.Errorf("exit %d, %q", code, w.errs.String())
		}
		out := w.out.String()
		if tty != strings.HasPrefix(out, termBegin) || tty != strings.HasSuffix(out, termEnd) ||
			tty != strings.Contains(out, "\x1b") {
			t.Errorf("terminal %v: begins %q, ends %q", tty, out[:20], out[len(out)-20:])
		}
	}
}

// A socket that accepts but does not answer counts as unreachable.
func TestWatchReportsAHungDaemon(t *testing.T) {
	n := &node{status: healthy()}
	socket := filepath.Join(t.TempDir(), "s")
	stop := n.serveAt(t, socket)
	w := startWatch(t, true, "--socket", socket)
	w.await("shown", func(out string) bool { return strings.Contains(out, "MASTER") })
	stop()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() }) // only listens
	w.await("hung", func(out string) bool {
		return strings.Contains(out, "daemon unreachable") && strings.Contains(out, "no answer in time")
	})
	if code := w.end(); code != ExitOK {
		t.Errorf("exit %d", code)
	}
}

func TestWatchWithoutADaemon(t *testing.T) {
	code, out, errs := run(t, Env{Terminal: true}, "--socket", "/none", "status", "--watch")
	if code != ExitUnreachable || out != "" || !strings.Contains(errs, "not reachable at /none") {
		t.Errorf("exit %d, %q, %q", code, out, errs)
	}
}

// Every answer is one JSON document, and stdout has nothing else.
func TestWatchJSON(t *testing.T) {
	n := &node{status: healthy()}
	socket := filepath.Join(t.TempDir(), "s")
	stop := n.serveAt(t, socket)
	w := startWatch(t, true, "--socket", socket, "-o", "json")
	w.await("shown", func(out string) bool { return strings.Contains(out, "}\n") })
	stop()
	w.await("lost", func(string) bool { return strings.Contains(w.errs.String(), "daemon unreachable, last data") })
	w.end()
	d := json.NewDecoder(strings.NewReader(w.out.String()))
	for {
		var st api.Status
		if err := d.Decode(&st); errors.Is(err, io.EOF) {
			break
		} else if err != nil || st.Node != "fw1" {
			t.Fatalf("%v: %q", err, w.out.String())
		}
	}
}

func TestFit(t *testing.T) {
	t.Parallel()
	frame := "a\nb\nc\nd\ne\nf\n"
	for rows, want := range map[int]string{
		0:  frame,
		3:  frame,
		10: frame,
		7:  frame,
		5:  "a\nb\nc\n... and 3 more lines: make the window higher, or omit --watch\n",
	} {
		if got := fit(frame, rows); got != want {
			t.Errorf("%d rows: %q, want %q", rows, got, want)
		}
	}
}

func TestColor(t *testing.T) {
	n := &node{status: healthy()}
	socket := n.serve(t)
	noColor := func(k string) string { return map[string]string{"NO_COLOR": "1"}[k] }
	for _, tt := range []struct {
		name            string
		env             Env
		args            []string
		colour, symbols bool
	}{
		{"pipe", Env{}, nil, false, false},
		{"terminal", Env{Terminal: true}, nil, true, true},
		{"auto", Env{Terminal: true}, []string{"--color", "auto"}, true, true},
		{"never", Env{Terminal: true}, []string{"--color=never"}, false, true},
		{"always", Env{}, []string{"--color", "always"}, true, true},
		{"NO_COLOR", Env{Terminal: true, Getenv: noColor}, nil, false, true},
		{"always over NO_COLOR", Env{Terminal: true, Getenv: noColor}, []string{"--color", "always"}, true, true},
		{
			"dumb",
			Env{Terminal: true, Getenv: func(k string) string { return map[string]string{"TERM": "dumb"}[k] }},
			nil,
			false,
			true,
		},
	} {
		for _, args := range [][]string{
			append(append([]string{"--socket", socket}, tt.args...), "show", "eth2@3"),
			append([]string{"show", "eth2@3", "--socket", socket}, tt.args...),
		} {
			code, out, errs := run(t, tt.env, args...)
			if code != ExitOK || strings.Contains(out, "\x1b[32m") != tt.colour || strings.Contains(out, "▶") != tt.symbols {
				t.Errorf("%s, %q: exit %d, %q, %s", tt.name, args, code, out, errs)
			}
		}
	}
	if code, _, errs := run(t, Env{}, "status", "--color", "blue"); code != ExitUsage ||
		errs != "vipctl: --color \"blue\" is unknown; allowed are auto, always, never\n" {
		t.Errorf("exit %d, %q", code, errs)
	}
}
