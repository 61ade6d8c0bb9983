// SPDX-License-Identifier: Apache-2.0

package checks

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/config"
)

// once runs a check's probe one time, as its task would.
func once(t *testing.T, c config.Check) string {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = 5 * time.Second
	}
	r := New(Options{})
	task := r.newTask(c, func() {})
	if err := task.once(t.Context()); err != nil {
		return err.Error()
	}
	return ""
}

// closedPort is a port that a socket holds and does not listen on. One where a listener was
// closed would not do: a command that another test starts has the listener until it is
// executed, and accepts.
func closedPort(t *testing.T) string {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) }) // nothing was written
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	addr, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(addr.(*unix.SockaddrInet4).Port))
}

func TestTCP(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	target := l.Addr().String()
	c := config.Check{Name: "a", Type: config.CheckTCP, Target: target}
	if got := once(t, c); got != "" {
		t.Errorf("open port: %s", got)
	}
	c.Target = closedPort(t)
	if got := once(t, c); got != "connection refused" {
		t.Errorf("closed port: %q", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := tcpProbe(target)(ctx); err == nil {
		t.Error("a probe that was cut off succeeded")
	}
}

func sh(script string) config.Check {
	return config.Check{Name: "a-b", Type: config.CheckCommand, Command: []string{"/bin/sh", "-c", script}}
}

func TestCommand(t *testing.T) {
	t.Setenv("VIPD_SECRET", "sesame")
	notExecutable := filepath.Join(t.TempDir(), "x")
	if err := os.WriteFile(notExecutable, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		check config.Check
		want  string
	}{
		{"good", sh("exit 0"), ""},
		{"status", sh("exit 3"), "exit status 3"},
		{"says why", sh("echo; echo 'no  peer' >&2; echo more; exit 1"), "exit status 1: no  peer"},
		{"escapes", sh(`printf '\033[2J\377x\n'; exit 1`), "exit status 1: [2J?x"},
		{
			"long line",
			sh("head -c 100000 /dev/zero | tr '\\0' y; exit 1"),
			"exit status 1: " + strings.Repeat("y", 100) + "...",
		},
		{"signal", sh("kill -TERM $$"), "signal: terminated"},
		{
			"missing",
			config.Check{Type: config.CheckCommand, Command: []string{"/none"}},
			"no such file or directory (or its interpreter)",
		},
		{
			"not executable",
			config.Check{Type: config.CheckCommand, Command: []string{notExecutable}},
			"permission denied; make it executable",
		},
		{
			"environment",
			sh(`[ "$VIPD_CHECK" = a-b ] && [ -z "$VIPD_SECRET" ] && [ "$PWD" = / ] && [ ! -t 0 ] && [ "$(cat)" = "" ]`),
			"",
		},
		{
			"no shell",
			config.Check{Type: config.CheckCommand, Command: []string{"/usr/bin/test", "$(echo x)", "=", "$(echo x)"}},
			"",
		},
		{"endless output", func() config.Check {
			c := sh("while :; do echo x; done")
			c.Timeout = 200 * time.Millisecond
			return c
		}(), "did not end within 200ms and was killed"},
		{"deaf to TERM", func() config.Check {
			c := sh("trap '' TERM INT HUP; sleep 100")
			c.Timeout = 200 * time.Millisecond
			return c
		}(), "did not end within 200ms and was killed"},
	} {
		start := time.Now()
		if got := once(t, tt.check); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		if d := time.Since(start); d > 3*time.Second {
			t.Errorf("%s took %v", tt.name, d)
		}
	}
}

// The processes that a command started are killed when it ends or exceeds its timeout.
func TestCommandChildrenAreKilled(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, end string
		timeout   time.Duration // a busy machine starts the command within it
		want      string
	}{
		{"ends", "exit 0", time.Minute, ""},
		{"fails", "exit 1", time.Minute, "exit status 1"},
		{"hangs", "wait", 3 * time.Second, "did not end within 3s and was killed"},
	} {
		file := filepath.Join(t.TempDir(), "pid")
		c := sh("sleep 100 & echo $! > " + file + ".new; mv " + file + ".new " + file + "; " + tt.end)
		c.Timeout = tt.timeout
		if got := once(t, c); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
		if err != nil {
			t.Fatal(err)
		}
		for deadline := time.Now().Add(30 * time.Second); alive(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Fatalf("%s: the child %d lives on", tt.name, pid)
			}
		}
	}
}

// alive reports whether a process runs. It returns false for a zombie.
func alive(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

// A child in a session of its own survives, and its open output does not delay the result.
func TestEscapedChildDelaysNothing(t *testing.T) {
	t.Parallel()
	setsid := "/usr/bin/setsid"
	if unix.Access(setsid, unix.X_OK) != nil {
		t.Skip("no " + setsid)
	}
	file := filepath.Join(t.TempDir(), "pid")
	c := sh(setsid + " sleep 100 & echo $! >" + file + "; sleep 0.1; exit 0")
	c.Timeout = 30 * time.Second
	start := time.Now()
	if got := once(t, c); got != "" {
		t.Errorf("%q", got)
	}
	if d := time.Since(start); d > 20*time.Second { // its child has the output for 100 s
		t.Errorf("took %v", d)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil || !alive(pid) {
		t.Fatalf("the child %q has ended: the test proves nothing", data)
	}
	if err := unix.Kill(pid, unix.SIGKILL); err != nil {
		t.Error(err)
	}
}

func TestUnknownType(t *testing.T) {
	t.Parallel()
	if got := once(t, config.Check{Type: "gossip"}); got != `unknown check type "gossip"` {
		t.Errorf("%q", got)
	}
}

func TestSubject(t *testing.T) {
	t.Parallel()
	for want, c := range map[string]config.Check{
		"tcp 192.0.2.1:80":        {Type: config.CheckTCP, Target: "192.0.2.1:80"},
		"http http://h/x":         {Type: config.CheckHTTP, Target: "http://h/x"},
		"arp 192.0.2.1 on eth0":   {Type: config.CheckARP, Target: "192.0.2.1", Interface: "eth0"},
		"command /usr/bin/thing":  {Type: config.CheckCommand, Command: []string{"/usr/bin/thing", "--password=x"}},
		"route 0.0.0.0/0":         {Type: config.CheckRoute, Target: "0.0.0.0/0"},
		"interface eth1":          {Type: config.CheckInterface, Target: "eth1"},
		"icmp 2001:db8::1 on br0": {Type: config.CheckICMP, Target: "2001:db8::1", Interface: "br0"},
	} {
		if got := subject(c); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestEchoAnswers(t *testing.T) {
	t.Parallel()
	v4, v6 := mustAddr("192.0.2.1"), mustAddr("2001:db8::1")
	q := echoRequest(v4, 0x1234, 7)
	reply := append([]byte{}, q...)
	reply[0] = echoReply4
	header := append([]byte{0x45}, make([]byte, 19)...)
	options := append([]byte{0x46}, make([]byte, 23)...)
	packet := func(h, b []byte) []byte { return append(append([]byte{}, h...), b...) }
	other := append([]byte{}, reply...)
	other[7] = 8 // the answer to another run
	q6 := echoRequest(v6, 1, 2)
	reply6 := append([]byte{}, q6...)
	reply6[0] = echoReply6
	for _, tt := range []struct {
		name   string
		v6     bool
		answer []byte
		want   bool
	}{
		{"reply", false, packet(header, reply), true},
		{"reply with options", false, packet(options, reply), true},
		{"our own request", false, packet(header, q), false},
		{"another run", false, packet(header, other), false},
		{"cut in the header", false, packet(options, nil)[:21], false},
		{"cut", false, packet(header, reply)[:25], false},
		{"header of nothing", false, packet([]byte{0x40}, reply), false},
		{"empty", false, nil, false},
		{"reply", true, reply6, true},
		{"our own request", true, q6, false},
		{"empty", true, nil, false},
	} {
		dst, question := v4, q
		if tt.v6 {
			dst, question = v6, q6
		}
		if got := echoAnswers(dst, question, tt.answer); got != tt.want {
			t.Errorf("%s (IPv6 %v): %v, want %v", tt.name, tt.v6, got, tt.want)
		}
	}
}

func contextFor(t *testing.T, d time.Duration) (context.Context, context.CancelFunc) {
	t.Helper()
	return context.WithTimeout(t.Context(), d)
}

// FuzzEchoAnswers: no panic, and only a whole echo reply is an answer.
func FuzzEchoAnswers(f *testing.F) {
	v4, v6 := mustAddr("192.0.2.1"), mustAddr("2001:db8::1")
	q4, q6 := echoRequest(v4, 1, 2), echoRequest(v6, 1, 2)
	f.Add(append(append([]byte{0x45}, make([]byte, 19)...), q4...))
	f.Add(append([]byte{echoReply6}, q6[1:]...))
	f.Fuzz(func(t *testing.T, answer []byte) {
		if echoAnswers(v4, q4, answer) && !bytes.HasSuffix(answer, q4[4:]) {
			t.Errorf("answer %x to %x", answer, q4)
		}
		if echoAnswers(v6, q6, answer) && !bytes.HasSuffix(answer, q6[4:]) {
			t.Errorf("answer %x to %x", answer, q6)
		}
	})
}
