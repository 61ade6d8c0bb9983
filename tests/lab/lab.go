// SPDX-License-Identifier: Apache-2.0

// Package lab builds small networks of real hosts out of network namespaces, for the integration tests and the demo.
//
// A [Segment] is one bridge in a namespace of its own; a [Host] is a namespace joined to it by a veth pair whose other
// end is a port of that bridge, where a [Sniffer] sees every frame that really crossed the wire (XDP hides from
// sniffers on the host itself). Everything a Lab makes carries its name, vipd-TEST-PID-N, and goes away with it.
package lab

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Prefix begins the name of everything a lab makes: namespaces, pins, directories.
const Prefix = "vipd-"

// BPFRoot is where the nodes' bpf_dirs are made.
const BPFRoot = "/sys/fs/bpf"

// TB is what a lab needs of its user; *testing.T has it, and the demo brings its own.
type TB interface {
	Helper()
	Name() string
	Cleanup(func())
	Context() context.Context // done when the user wants to leave
	Failed() bool
	Logf(format string, args ...any)
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// Lab is one test's network and everything that runs in it.
type Lab struct {
	TB
	name    string
	dir     string
	spawner *spawner
	procs   []*Proc
	macs    int
}

// New makes an empty lab that is removed, processes first, when t ends: also after a failure or a panic.
// A lab whose process was killed outright is removed by the next [Sweep].
func New(t TB) *Lab {
	t.Helper()
	l := &Lab{TB: t}
	for n := 0; ; n++ {
		l.name = fmt.Sprintf("%s%s-%d-%d", Prefix, sanitize(t.Name()), os.Getpid(), n)
		l.dir = filepath.Join(os.TempDir(), l.name)
		err := os.Mkdir(l.dir, 0o755)
		if err == nil {
			break
		}
		if !errors.Is(err, fs.ErrExist) {
			t.Fatalf("make the lab's directory: %v", err)
		}
	}
	t.Cleanup(func() {
		if err := removeAll(l.dir); err != nil {
			t.Errorf("remove the lab's directory: %v", err)
		}
	})
	l.spawner = newSpawner()
	t.Cleanup(l.stopAll)
	return l
}

// Name is unique among all labs of the machine.
func (l *Lab) Name() string { return l.name }

// Dir returns a short path (socket paths are limited to 107 bytes) for files of this lab.
func (l *Lab) Dir() string { return l.dir }

// check ends the test when err is not nil.
func (l *Lab) check(err error, format string, args ...any) {
	l.Helper()
	if err != nil {
		l.Fatalf("%s: %v", fmt.Sprintf(format, args...), err)
	}
}

// busyAllowance is how much longer than its timeout Eventually waits at most.
const busyAllowance = time.Minute

// Eventually polls condition every interval until it is true, and ends the test if it is not true in time. The
// condition returns what it still waits for.
//
// The time is over when timeout has passed and condition was polled as often as fits into it. A machine that is too
// busy to run the polls does not run the daemons either, so they get more time there, in the same proportion.
func (l *Lab) Eventually(timeout, interval time.Duration, condition func() (done bool, waiting string)) {
	l.Helper()
	began, polls := time.Now(), 0
	for {
		done, waiting := condition()
		if done {
			return
		}
		polls++
		took := time.Since(began)
		if took > timeout && (polls > int(timeout/interval) || took > timeout+busyAllowance) {
			l.Fatalf("not within %v (%d polls in %v): %s", timeout, polls, took.Round(time.Millisecond), waiting)
		}
		select {
		case <-time.After(interval):
		case <-l.Context().Done():
			l.Fatalf("interrupted while waiting: %s", waiting)
		}
	}
}

// stopAll kills what still runs, newest first, and shows its output when the test failed.
func (l *Lab) stopAll() {
	for _, p := range slices.Backward(l.procs) {
		p.Kill9()
		if l.Failed() {
			l.Logf("output of %s (%s):\n%s", p.Name, p.exit(), tail(p.Output(), 60))
		}
	}
	l.spawner.stop()
}

// sanitize makes a test's name short and fit for the name of a namespace.
func sanitize(name string) string {
	name = strings.ToLower(strings.TrimPrefix(name, "Test"))
	var b strings.Builder
	for _, r := range name {
		if b.Len() == 24 {
			break
		}
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func tail(text string, lines int) string {
	all := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// removeAll removes a tree of directories and regular files or pins; bpffs knows no os.RemoveAll of a directory that
// still holds pins made meanwhile, so what is left is an error and not a loop.
func removeAll(dir string) error {
	err := os.RemoveAll(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
