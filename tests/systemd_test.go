// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// systemd is a systemd of its own in a node's network namespace, with vipd installed as make install does it.
type systemd struct {
	*single
	proc *lab.Proc
	pid  string // of process 1, seen from here
}

// etcFile is a file below /etc of a systemd.
type etcFile struct {
	path, text string
	mode       fs.FileMode
}

// unitFile returns a unit of that systemd, which starts it.
func unitFile(name, text string) etcFile {
	return etcFile{"systemd/system/" + name, text, 0o644}
}

// newSystemd boots a systemd that has vipd.service with that drop-in, and further files. One called vipd/more.toml is
// added to the config.
func newSystemd(t *testing.T, dropIn string, files ...etcFile) *systemd {
	t.Helper()
	require(t, needSystemd)
	s := &systemd{single: newSingle(t, oneVIP(0))}
	stage, etc := filepath.Join(s.Dir(), "stage"), filepath.Join(s.Dir(), "etc")
	install := exec.Command("../packaging/install.sh", bin(t))
	install.Env = append(os.Environ(), "DESTDIR="+stage, "PREFIX=/usr/local", "SYSCONFDIR=/etc")
	if out, err := install.CombinedOutput(); err != nil {
		t.Fatalf("install: %v\n%s", err, out)
	}
	write := func(path, text string, mode fs.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(etc, path)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(etc, path), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	more := ""
	for _, f := range files {
		if f.path == "vipd/more.toml" {
			more = f.text
		} else {
			write(f.path, f.text, f.mode)
		}
	}
	write("vipd/vipd.toml", fmt.Sprintf(`
[node]
name = "a"
bpf_dir = %q
[[vip]]
interface = "eth0"
vhid = 1
addresses = ["192.0.2.100/24"]
advbase = 5 # a lease that outlasts a restart on a busy machine
password_file = "credential:eth0-1"
hook = "/etc/vipd/hook"
%s
`, s.node.BPFDir(), more), 0o600)
	write("vipd/eth0-1.key", lab.Password+"\n", 0o600)
	write("vipd/hook", "#!/bin/sh\n{ echo \"$*\"; chrt -p $$; } >>/run/vipd/hook.log\n", 0o755)
	write(
		"systemd/system/vipd.service.d/test.conf",
		`[Service]
LoadCredential=eth0-1:/etc/vipd/eth0-1.key
StandardOutput=append:/run/vipd.log
StandardError=append:/run/vipd.log
`+dropIn,
		0o644,
	)
	name := s.Name()
	t.Cleanup(func() { removeGroups(t, name) })
	script, err := filepath.Abs("testdata/systemd.sh")
	if err != nil {
		t.Fatal(err)
	}
	s.proc = s.node.Spawn("systemd", script, stage, etc, name)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("vipd under systemd said:\n%s", s.read("/run/vipd.log"))
		}
		s.proc.Kill9() // and with it, by --kill-child, all that it runs
	})
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		if s.pid = processOne(s.proc); s.pid == "" {
			return false, "systemd is process 1: " + s.proc.Output()
		}
		code, out := s.inside("systemctl", "is-system-running")
		return code == 0, "systemd runs: " + out
	})
	return s
}

// processOne returns the process, seen from here, that is process 1 in the namespace that proc made; "" until it is
// there.
func processOne(proc *lab.Proc) string {
	children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", proc.PID(), proc.PID()))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(children))
}

// removeGroups removes the control groups that the script made.
func removeGroups(t *testing.T, name string) {
	t.Helper()
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/systemd", "/sys/fs/cgroup/unified"} {
		var dirs []string
		err := filepath.WalkDir(filepath.Join(root, name), func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				dirs = append(dirs, path)
			}
			return nil //nolint:nilerr // gone is what we want
		})
		if err != nil {
			t.Error(err)
		}
		for _, dir := range slices.Backward(dirs) {
			for range 200 { // its last process may be on its way out
				if err = os.Remove(dir); err == nil || os.IsNotExist(err) {
					err = nil
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			if err != nil {
				t.Errorf("left behind: %v", err)
			}
		}
	}
}

// inside runs a command where the systemd is.
func (s *systemd) inside(args ...string) (int, string) {
	s.Helper()
	return s.node.Run(toolTimeout, "nsenter", append([]string{"-t", s.pid, "-m", "-p", "--"}, args...)...)
}

func (s *systemd) mustInside(args ...string) string {
	s.Helper()
	code, out := s.inside(args...)
	if code != 0 {
		s.Fatalf("%s: exit code %d\n%s", strings.Join(args, " "), code, out)
	}
	return out
}

func (s *systemd) read(path string) string {
	data, err := os.ReadFile("/proc/" + s.pid + "/root" + path)
	if err != nil {
		return err.Error()
	}
	return string(data)
}

func (s *systemd) show(property string) string {
	s.Helper()
	return strings.TrimSpace(s.mustInside("systemctl", "show", "--value", "-p", property, "vipd"))
}

// state returns "STATE GENERATION" of the group, "" while vipd does not answer.
func (s *systemd) state() string {
	s.Helper()
	code, out := s.inside(
		"/bin/sh",
		"-c",
		`status=$(/usr/local/bin/vipctl status -o json 2>/dev/null) || exit
echo "$status" | jq -r '.groups[0] | "\(.state) \(.generation) \(.dataplane.answering)"'`,
	)
	if code != 0 {
		return ""
	}
	return strings.TrimSpace(out)
}

func (s *systemd) waitState(want string) {
	s.Helper()
	s.Eventually(patience, 30*time.Millisecond, func() (bool, string) {
		got := s.state()
		return got == want, fmt.Sprintf("the group is %s, it is %q", want, got)
	})
}

// The unit as it is installed, under a real systemd: it starts, says how it does, is hardened as it says, reloads or
// says why not, comes back after a crash and a hang, keeps the disable switch, hands over and leaves nothing.
func TestUnitUnderSystemd(t *testing.T) {
	t.Parallel()
	// A watchdog of a second would now and then end a vipd that a busy machine does not run, and count as a restart.
	s := newSystemd(t, "WatchdogSec=5s\nTimeoutAbortSec=300ms\n")
	s.mustInside("systemctl", "start", "vipd") // returns at READY=1
	s.waitState("BACKUP 0 false")
	newPeer(s.clientPort, addrClient).goodbye()
	s.waitState("MASTER 1 true")
	s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		text := s.show("StatusText")
		return text == "eth0@1 MASTER", "the status line shows the state: " + text
	})
	main := s.show("MainPID")
	t.Run("hardened", func(t *testing.T) {
		status := s.read("/proc/" + main + "/status")
		for _, want := range []string{
			"NoNewPrivs:\t1\n", "Seccomp:\t2\n", "CapBnd:\t000000c000003001\n",
			"CapEff:\t000000c000003001\n",
		} {
			if !strings.Contains(status, want) {
				t.Errorf("no %q in\n%s", want, status)
			}
		}
		s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			log := s.read("/run/vipd/hook.log")
			return strings.Contains(log, "eth0@1 BACKUP MASTER\n") && strings.Contains(log, "SCHED_OTHER") &&
					!strings.Contains(log, "SCHED_RR"),
				"the hook has run without real-time priority: " + log
		})
		// A thread that works for a client, or has started a hook, has ordinary priority, and ends with that.
		// It is there for a millisecond at a time.
		seen := s.mustInside("/bin/sh", "-c", "(while /usr/local/bin/vipctl status; do :; done) >/dev/null & "+
			"for i in $(seq 500); do chrt -a -p "+main+" | grep -m 1 SCHED_OTHER && break; done; kill $!")
		if !strings.Contains(seen, "SCHED_OTHER") {
			t.Errorf("no client is served without real-time priority: %s", seen)
		}
		s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			sched := s.mustInside("chrt", "-a", "-p", main)
			return strings.Count(sched, "SCHED_RR") >= 5 &&
				!strings.Contains(sched, "SCHED_OTHER"), "all threads have real-time priority:\n" + sched
		})
	})
	t.Run("reload", func(t *testing.T) {
		s.mustInside("systemctl", "reload", "vipd")
		s.mustInside("/bin/sh", "-c", "cp -p /etc/vipd/vipd.toml /etc/good; echo 'vhid = 300' >>/etc/vipd/vipd.toml")
		if code, out := s.inside("systemctl", "reload", "vipd"); code == 0 {
			t.Errorf("a refused config is a reload that worked:\n%s", out)
		}
		s.mustInside("cp", "-p", "/etc/good", "/etc/vipd/vipd.toml")
		if got := s.show("ActiveState") + " " + s.state(); got != "active MASTER 1 true" {
			t.Errorf("after a refused reload: %s", got)
		}
	})
	t.Run("crash", func(t *testing.T) {
		s.mustInside("systemctl", "kill", "-s", "KILL", "vipd")
		s.waitState("MASTER 1 true") // the same generation: within the lease
		if n := s.show("NRestarts"); n != "1" {
			t.Errorf("restarted %s times, want 1", n)
		}
	})
	t.Run("restart without goodbye", func(*testing.T) {
		s.mustInside("/usr/local/bin/vipctl", "restart")
		s.waitState("MASTER 1 true")
	})
	t.Run("hang", func(*testing.T) {
		before, _ := strconv.Atoi(s.show("NRestarts"))
		s.mustInside("systemctl", "kill", "--kill-whom=main", "-s", "STOP", "vipd")
		s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			n, _ := strconv.Atoi(s.show("NRestarts"))
			return n > before && s.state() != "", "the watchdog brings another one up; it is " + s.show("SubState")
		})
	})
	t.Run("disabled over a stop", func(*testing.T) {
		s.mustInside("/usr/local/bin/vipctl", "disable")
		s.mustInside("systemctl", "restart", "vipd")
		s.Eventually(patience, 30*time.Millisecond, func() (bool, string) {
			got := s.state()
			return strings.HasPrefix(got, "INIT"), "still disabled, it is " + got
		})
		s.mustInside("/usr/local/bin/vipctl", "enable")
	})
	t.Run("stop", func(t *testing.T) {
		s.mustInside("systemctl", "stop", "vipd")
		if got := s.show("ActiveState") + " " + s.show("Result"); got != "inactive success" {
			t.Errorf("stopped as %s", got)
		}
		if receives(t, s.node.Host, "eth0") {
			t.Error("a program is still attached")
		}
		if log := s.read("/run/vipd/hook.log"); !strings.Contains(log, " INIT\n") {
			t.Errorf("the hook was not told of the stop:\n%s", log)
		}
	})
}
