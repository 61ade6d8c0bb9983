// SPDX-License-Identifier: Apache-2.0

package helper

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/tests/executable"
	"vipd/tests/needs"
)

// world is a helper with its config and a client.
type world struct {
	t      *testing.T
	dir    string
	client *Client
	fell   atomic.Int32 // runs of the fallback
	end    context.CancelFunc
	ended  chan error
}

const head = `[node]
name = "a"
[[vip]]
interface = "eth0"
vhid = 1
addresses = ["192.0.2.100/24"]
password_file = "credential:x"
`

// fallback counts its runs.
type fallback struct{ w *world }

func (f fallback) Run(context.Context, command.Job) command.Result {
	f.w.fell.Add(1)
	return command.Result{Output: []byte("fallback")}
}

func newWorld(t *testing.T) *world {
	t.Helper()
	needs.Root(t) // programs and config are root's
	w := &world{t: t, dir: t.TempDir()}
	w.client = &Client{Socket: filepath.Join(w.dir, "sock"), Version: "1", Fallback: fallback{w}}
	return w
}

// serve starts a helper of a version on the socket, as systemd does.
func (w *world) serve(version string) {
	w.t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.client.Socket, Net: "unix"})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, end := context.WithCancel(w.t.Context())
	w.end, w.ended = end, make(chan error, 1)
	s := New(Options{Config: w.config(), Version: version})
	go func() { w.ended <- s.Run(ctx, l) }()
	w.t.Cleanup(w.stop)
}

func (w *world) stop() {
	w.end()
	select {
	case err := <-w.ended:
		if err != nil {
			w.t.Error(err)
		}
		w.ended <- nil
	case <-time.After(10 * time.Second):
		w.t.Error("the helper does not end")
	}
	_ = os.Remove(w.client.Socket)
}

func (w *world) config() string { return filepath.Join(w.dir, "vipd.toml") }

func (w *world) write(path, text string, mode os.FileMode) string {
	w.t.Helper()
	executable.Write(w.t, path, []byte(text)) // some are run at once
	if err := os.Chmod(path, mode); err != nil {
		w.t.Fatal(err)
	}
	return path
}

func (w *world) script(name, text string) string {
	return w.write(filepath.Join(w.dir, name), "#!/bin/sh\n"+text+"\n", 0o755)
}

// configure writes a config with one check per name and command.
func (w *world) configure(checks ...string) {
	conf := head
	for i := 0; i < len(checks); i += 2 {
		conf += fmt.Sprintf("[[check]]\nname = %q\ntype = \"command\"\ncommand = [%q]\n", checks[i], checks[i+1])
	}
	// As an editor does: the file is another one.
	if err := os.Rename(w.write(filepath.Join(w.dir, "new"), conf, 0o600), w.config()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) run(name, path string) command.Result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 10*time.Second)
	defer cancel()
	return w.client.Run(
		ctx,
		command.Job{Kind: command.Check, Name: name, Argv: []string{path}, Env: []string{"VIPD_CHECK=" + name}},
	)
}

// helped checks that the helper ran the command.
func (w *world) helped(name, path string) {
	w.t.Helper()
	before := w.fell.Load()
	if res := w.run(name, path); res.Err != nil || w.fell.Load() != before {
		w.t.Errorf("%s: %+v (%s), fallback %v; %v", name, res, res.Output, w.fell.Load() != before, w.client.Faults())
	}
}

// refused checks that the helper did not run the command, and the reason.
func (w *world) refused(name, path, why string) {
	w.t.Helper()
	before := w.fell.Load()
	if res := w.run(name, path); w.fell.Load() != before+1 {
		w.t.Errorf("%s was run: %+v", name, res)
	}
	if got := strings.Join(w.client.Faults(), "\n"); !strings.Contains(got, why) {
		w.t.Errorf("%s: the reason is %q, want %q", name, got, why)
	}
}

// The result of a command is the same as that of a child process.
func TestResultsAreThoseOfAChildProcess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if err := command.KeepFiles(); err != nil { // what this test was started with
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		text, output string
		want         error
		cut          bool
	}{
		"good":     {text: `echo "$VIPD_CHECK $* $(pwd) $HOME"`, output: "good  / /\n"},
		"three":    {text: "echo no >&2; exit 3", output: "no\n", want: &command.ExitError{Code: 3}},
		"signal":   {text: "kill -SEGV $$", want: &command.ExitError{Code: -1, Signal: syscall.SIGSEGV}},
		"chatty":   {text: "yes | head -c 100000", output: strings.Repeat("y\n", command.MaxOutput/2), cut: true},
		"no-files": {text: "ls /proc/self/fd | wc -l", output: "4\n"},
		"group":    {text: "test $(ps -o pgid= $$) = $$ && ps -o cls= $$ | xargs", output: "TS\n"},
	} {
		if name == "signal" {
			tt.want = &command.ExitError{Code: -1, Signal: syscall.SIGSEGV}
		}
		path := w.script(name, tt.text)
		w.configure(name, path)
		if w.end == nil {
			w.serve("1")
		}
		res := w.run(name, path)
		if exit, ok := errors.AsType[*command.ExitError](res.Err); ok {
			exit.Core = false // as the host has it
		}
		if fmt.Sprint(res.Err) != fmt.Sprint(tt.want) || string(res.Output) != tt.output || res.Cut != tt.cut {
			t.Errorf("%s: %v, cut %v, %.200q", name, res.Err, res.Cut, res.Output)
		}
	}
	if n := w.fell.Load(); n != 0 {
		t.Errorf("the fallback ran %d times: %v", n, w.client.Faults())
	}
	gone := filepath.Join(w.dir, "gone")
	w.configure("gone", gone)
	if _, ok := errors.AsType[*command.NotStartedError](w.run("gone", gone).Err); !ok {
		t.Error("a missing program was started")
	}
}

// Only commands of the config are run, and only if no user but root can change them.
func TestOnlyCommandsOfTheConfigAreRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good, other := w.script("good", "exit 0"), w.script("other", "exit 0")
	w.configure("good", good)
	w.serve("1")
	w.helped("good", good)
	w.refused("good", other, "not in")
	w.refused("other", good, "not in")
	w.refused("x", "/bin/sh", "not in")
	for what, job := range map[string]command.Job{
		"further arguments":     {Kind: command.Check, Args: []string{"-c", "evil"}},
		"another variable":      {Kind: command.Check, Env: []string{"LD_PRELOAD=/tmp/x"}},
		"a variable's disguise": {Kind: command.Check, Env: []string{"VIPD_\nPATH=/tmp"}},
		"a line break":          {Kind: command.Check, Env: []string{"VIPD_REASON=a\nb"}},
		"another kind":          {Kind: command.Hook, Args: []string{"good", "INIT", "BACKUP"}},
		"no kind":               {},
	} {
		job.Name, job.Argv = "good", []string{good}
		before := w.fell.Load()
		if w.client.Run(t.Context(), job); w.fell.Load() != before+1 {
			t.Errorf("%s: was run", what)
		}
	}
	w.helped("good", good) // the witness
	for what, spoil := range map[string]func() error{
		"any user can change": func() error { return os.Chmod(good, 0o757) },
		"belongs to":          func() error { return os.Chown(good, 12345, 0) },
		"members of":          func() error { return errors.Join(os.Chown(good, 0, 50), os.Chmod(good, 0o775)) },
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		w.refused("good", good, what)
		if err := errors.Join(os.Chown(good, 0, 0), os.Chmod(good, 0o755)); err != nil {
			t.Fatal(err)
		}
		w.helped("good", good)
	}
}

// Jobs of hooks must have their group and two states as arguments.
func TestHookJobsTakeAGroupAndTwoStates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	hook := w.script("hook", `echo "$*"`)
	w.write(w.config(), head+fmt.Sprintf("hook = %q\n", hook), 0o600)
	w.serve("1")
	job := func(args ...string) command.Job {
		return command.Job{
			Kind: command.Hook,
			Name: "eth0@1",
			Argv: []string{hook},
			Args: args,
			Tail: true,
			Env:  []string{"VIPD_ADDRESSES=192.0.2.100/24 2001:db8::1/64"},
		}
	}
	if res := w.client.Run(t.Context(), job("eth0@1", "BACKUP", "MASTER")); res.Err != nil ||
		string(res.Output) != "eth0@1 BACKUP MASTER\n" {
		t.Errorf("%+v %v", res, w.client.Faults())
	}
	for _, bad := range [][]string{
		nil,
		{"eth0@1", "BACKUP"},
		{"eth0@2", "BACKUP", "MASTER"},
		{"eth0@1", "BACKUP", "$(x)"},
		{"eth0@1", "INIT", "MASTER", "x"},
	} {
		before := w.fell.Load()
		if w.client.Run(t.Context(), job(bad...)); w.fell.Load() != before+1 {
			t.Errorf("%q was run", bad)
		}
	}
}

// Changes of the config take effect; versions that are refused or half written do not.
func TestHelperFollowsAcceptedConfigsOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	one, two := w.script("one", "exit 0"), w.script("two", "exit 0")
	w.serve("1") // there is no file yet
	w.refused("one", one, "no such file")
	w.configure("one", one)
	w.helped("one", one)
	w.configure("two", two)
	w.helped("two", two)
	w.helped("one", one) // the daemon has not reloaded yet
	w.write(w.config(), "[[vip", 0o600)
	w.helped("two", two)
	w.refused("three", one, "it is not valid")
	w.write(w.config(), "", 0o600)
	w.helped("two", two)
	if err := os.Remove(w.config()); err != nil {
		t.Fatal(err)
	}
	w.helped("two", two)
	w.configure("three", one)
	if err := os.Chmod(w.config(), 0o666); err != nil {
		t.Fatal(err)
	}
	w.refused("three", one, "any user can change")
	if err := os.Chmod(w.config(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.helped("three", one)
}

// process waits until a command has written its process number.
func (w *world) process(file string) int {
	w.t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		var pid int
		data, err := os.ReadFile(file)
		if _, scanErr := fmt.Sscan(string(data), &pid); err == nil && scanErr == nil {
			return pid
		}
	}
	w.t.Fatal("the command does not start")
	return 0
}

func (w *world) dies(pid int, within time.Duration) {
	w.t.Helper()
	for end := time.Now().Add(within); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") { // a zombie
			return
		}
	}
	w.t.Errorf("process %d still runs", pid)
	_ = unix.Kill(pid, unix.SIGKILL)
}

// A command is killed when the client gives up, dies or hangs, and when the helper is stopped.
func TestCommandsAreKilledWithTheirClientOrHelper(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	file := filepath.Join(w.dir, "pid")
	slow := w.script("slow", "sleep 1000 & echo $! >"+file+"; wait")
	const patience = 100 * time.Second // of the check "slow": what ends it sooner is not its timeout
	const soon = patience / 4
	w.write(w.config(), head+fmt.Sprintf(`[[check]]
name = "slow"
type = "command"
command = [%[1]q]
interval = "%[2]v"
timeout = "%[2]v"
[[check]]
name = "short"
type = "command"
command = [%[1]q]
interval = "2s"
timeout = "2s"
`, slow, patience), 0o600)
	w.serve("1")
	job := func(check string) command.Job {
		return command.Job{Kind: command.Check, Name: check, Argv: []string{slow}}
	}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan command.Result, 1)
	go func() { ended <- w.client.Run(ctx, job("slow")) }()
	pid := w.process(file)
	began := time.Now()
	cancel()
	res := <-ended
	if took := time.Since(began); took > soon || res.Err == nil {
		t.Errorf("ended after %v with %v", took, res.Err)
	}
	w.dies(pid, soon)

	ask := func(check string) net.Conn { // a daemon that never says anything again
		_ = os.Remove(file)
		conn, err := net.Dial("unix", w.client.Socket)
		if err == nil {
			j := job(check)
			err = send(conn, request{Version: "1", Job: &j})
		}
		if err != nil {
			t.Fatal(err)
		}
		return conn
	}
	conn := ask("slow")
	pid = w.process(file)
	_ = conn.Close() // it has died
	w.dies(pid, soon)

	began = time.Now()
	conn = ask("short")
	w.dies(w.process(file), soon) // it hangs
	if took := time.Since(began); took < 2*time.Second {
		t.Errorf("killed after %v, before its timeout", took)
	}
	_ = conn.Close()

	conn = ask("slow")
	pid = w.process(file)
	w.stop()
	w.dies(pid, soon)
	_ = conn.Close()
	if n := w.fell.Load(); n != 0 {
		t.Errorf("the fallback ran as well, %d times", n)
	}
}

// Without a helper the fallback runs the command; once there is a helper, it is no longer used.
func TestFallbackRunsCommandsWithoutAHelper(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.script("good", "exit 0")
	w.configure("good", good)
	w.refused("good", good, "cannot reach the helper")
	w.serve("1")
	w.helped("good", good)
	if f := w.client.Faults(); len(f) != 0 {
		t.Errorf("still %v", f)
	}
}

// A helper of another version ends, and the client asks the next one.
func TestHelperOfAnotherVersionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.script("good", "exit 0")
	w.configure("good", good)
	held, err := net.ListenUnix("unix", &net.UnixAddr{Name: w.client.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	file, err := held.File() // systemd's, which goes on to listen
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	held.SetUnlinkOnClose(false)
	_ = held.Close()
	ctx, end := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		for _, version := range []string{"0", "1"} {
			l, err := net.FileListener(file)
			if err == nil {
				err = New(Options{Config: w.config(), Version: version}).Run(ctx, l.(*net.UnixListener))
			}
			if err != nil {
				ended <- err
				return
			}
		}
		ended <- nil
	}()
	w.helped("good", good)
	end()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// The helper examines programs of the config only.
func TestExamine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	gone := filepath.Join(w.dir, "gone")
	w.configure("gone", gone)
	w.serve("1")
	if f := w.client.Examine(gone); len(f) != 1 || !strings.Contains(f[0].Text, "no such file") {
		t.Errorf("%+v", f)
	}
	a, err := w.client.ask(t.Context(), request{Version: "1", Examine: "/etc/shadow"})
	if err == nil {
		t.Errorf("examined what is not in the config: %+v", a)
	}
}

// Other users are refused, and invalid requests do no harm.
func TestOtherUsersAreRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	good := w.script("good", "exit 0")
	w.configure("good", good)
	w.serve("1")
	for _, text := range []string{
		"", "\n", "rubbish\n", "{}\n", `{"version":"1"}` + "\n", `{"version":"1","job":{}}` + "\n",
		`{"version":"1","job":{"kind":"check","name":"good","argv":[]}}` + "\n", strings.Repeat("[", 1<<16),
	} {
		conn, err := net.Dial("unix", w.client.Socket)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = conn.Write([]byte(text))
		_ = conn.Close()
	}
	w.helped("good", good)
}
