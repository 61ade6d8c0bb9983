// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The demo shows a failover and its gap, and leaves nothing.
func TestDemoShowsAFailoverAndLeavesNothing(t *testing.T) {
	t.Parallel()
	cmd, out := startDemo(t)
	if err := cmd.Wait(); err != nil {
		t.Fatalf("demo: %v\n%s", err, out)
	}
	for _, want := range []string{
		"MASTER", "BACKUP", "in mode tc, not native: native xdp on a veth", "longest gap seen by the client",
		"Nothing is left",
	} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("the demo does not show %q:\n%s", want, out)
		}
	}
	assertDemoLeftNothing(t, cmd.Process.Pid)
}

// Interrupted in the midst of it, by Ctrl-C or by SIGTERM, it removes everything too.
func TestInterruptedDemoLeavesNothing(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		cmd, out := startDemo(t)
		deadline := time.Now().Add(2 * patience)
		for !strings.Contains(out.String(), "The client pings") {
			if time.Now().After(deadline) {
				t.Fatalf("the demo does not get as far as pinging:\n%s", out)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if len(demoTraces(t, cmd.Process.Pid)) == 0 {
			t.Error("a running demo has made nothing: the test proves nothing")
		}
		at := time.Now()
		if err := cmd.Process.Signal(sig); err != nil {
			t.Fatal(err)
		}
		err := cmd.Wait()
		t.Logf("after %v it ended in %v: %v", sig, time.Since(at), err)
		if err == nil || cmd.ProcessState.ExitCode() != 1 || !strings.Contains(out.String(), "interrupted") {
			t.Errorf("after %v: %v\n%s", sig, err, out)
		}
		assertDemoLeftNothing(t, cmd.Process.Pid)
	}
}

func startDemo(t *testing.T) (*exec.Cmd, *syncBuffer) {
	t.Helper()
	require(t, needNetNS, needBPF)
	program := filepath.Join(t.TempDir(), "demo")
	if out, err := exec.Command("go", "build", "-o", program, "./demo").CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	out := &syncBuffer{}
	cmd := exec.Command(program, "-bin", bin(t))
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has exited, unless the test failed
	return cmd, out
}

// demoTraces returns the namespaces, pins and directories of a demo.
func demoTraces(t *testing.T, pid int) []string {
	t.Helper()
	var traces []string
	for _, dir := range []string{"/run/netns", "/sys/fs/bpf", os.TempDir()} {
		found, err := filepath.Glob(filepath.Join(dir, fmt.Sprintf("vipd-demo-%d-*", pid)))
		if err != nil {
			t.Fatal(err)
		}
		traces = append(traces, found...)
	}
	return traces
}

func assertDemoLeftNothing(t *testing.T, pid int) {
	t.Helper()
	if left := demoTraces(t, pid); len(left) > 0 {
		t.Errorf("the demo left %v", left)
	}
	environs, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range environs {
		env, err := os.ReadFile(path)
		if err == nil && bytes.Contains(env, fmt.Appendf(nil, "VIPD_LAB=vipd-demo-%d-", pid)) {
			t.Errorf("the demo left the process %s", filepath.Base(filepath.Dir(path)))
		}
	}
}

// syncBuffer is a buffer that may be read while a process writes it.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
