// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"vipd/tests/executable"
	"vipd/tests/lab"
)

// faulty is a MASTER whose state_dir is a tmpfs of 64 KiB in a mount namespace of its own, and what is asked of it
// after every fault: the command's answer was true, the state on disk is whole, the VIP is where it was.
type faulty struct {
	*single
	generation uint64
}

func newFaulty(t *testing.T) *faulty {
	t.Helper()
	s := newSingle(t, oneVIP(0))
	s.mountState(t, "size=64k")
	f := &faulty{single: s}
	f.startMaster()
	f.generation = f.node.Group(group).Generation
	return f
}

// mountState makes the node's state_dir a tmpfs with these options, in a mount namespace of the daemon's own.
func (s *single) mountState(t *testing.T, options string) {
	t.Helper()
	s.mount(t, func(n *lab.Node) string { return n.StateDir() }, options, "true")
}

// mount makes a directory of the node a tmpfs with these options, in a mount namespace of the daemon's own, in which it
// starts after a shell command.
func (s *single) mount(t *testing.T, of func(*lab.Node) string, options, first string) {
	t.Helper()
	built, wrapped := bin(t), filepath.Join(s.Dir(), "bin")
	if err := os.Mkdir(wrapped, 0o755); err != nil {
		t.Fatal(err)
	}
	s.node = s.node.NewNode(wrapped, oneVIP(0))
	dir := of(s.node)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(
		"exec unshare --mount -- "+
			"sh -euc 'mount --make-rprivate /; mount -t tmpfs -o %s tmpfs %s; cd %[2]s; %s; exec %s/vipd \"$@\"' sh \"$@\"",
		options,
		dir,
		first,
		built,
	)
	executable.Script(t, filepath.Join(wrapped, "vipd"), script)
	if err := os.Symlink(filepath.Join(built, "vipctl"), filepath.Join(wrapped, "vipctl")); err != nil {
		t.Fatal(err)
	}
}

// state returns a path below state_dir as the daemon sees it.
func (f *faulty) state(name string) string {
	return fmt.Sprintf("/proc/%d/root%s", f.node.Proc().PID(), filepath.Join(f.node.StateDir(), name))
}

// remount changes the daemon's state_dir.
func (f *faulty) remount(options string) {
	f.Helper()
	f.node.MustRun(toolTimeout, "nsenter", "-t", fmt.Sprint(f.node.Proc().PID()), "-m", "mount", "-o", "remount,"+options,
		f.node.StateDir())
}

// fill leaves no room on the disk; free gives it back.
func (f *faulty) fill(t *testing.T) (free func()) {
	t.Helper()
	path := f.state("filler")
	file, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for range 1000 {
		if _, err = file.Write(make([]byte, 4096)); err != nil {
			break
		}
	}
	if err == nil || !strings.Contains(err.Error(), "no space left") {
		t.Fatalf("the disk is not full: %v", err)
	}
	return func() {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// maintenanceOnDisk reads the mode as the next start would, and finds what a crash must not leave.
func maintenanceOnDisk(t *testing.T, dir string) bool {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(dir, "maintenance"))
	if os.IsNotExist(err) {
		return false
	}
	var record struct {
		Since time.Time `json:"since"`
	}
	if err != nil || json.Unmarshal(data, &record) != nil || record.Since.IsZero() {
		t.Errorf("the file on disk is not whole: %q, %v", data, err)
	}
	return true
}

// settled checks that disk and daemon say the same, and that the VIP is where it was.
func (f *faulty) settled(t *testing.T, maintenance bool) {
	t.Helper()
	if on, said := maintenanceOnDisk(t, f.state("")), f.node.Status().Maintenance; on != maintenance ||
		said != maintenance {
		t.Errorf("maintenance on disk %v, in the status %v, want %v", on, said, maintenance)
	}
	left, err := filepath.Glob(f.state(".maintenance*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	g := f.node.Group(group)
	if g.State != lab.Master || !g.Dataplane.Answering || g.Generation != f.generation {
		t.Errorf("the group is %s, answering %v, in generation %d; it was MASTER in %d",
			g.State, g.Dataplane.Answering, g.Generation, f.generation)
	}
}

// refused runs a command that must fail for that cause and say that nothing changed.
func (f *faulty) refused(t *testing.T, cause string, args ...string) {
	t.Helper()
	if code, out := f.node.CTL(args...); code != 1 || !strings.Contains(out, "nothing changed") ||
		!strings.Contains(out, cause) {
		t.Errorf("vipctl %s: exit code %d, want 1, \"nothing changed\" and %q:\n%s",
			strings.Join(args, " "), code, cause, out)
	}
}

// The list of faults (issue: must hold). Each begins with a MASTER.
func TestAnswersUnderFaultsMatchTheDisk(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault func(t *testing.T, f *faulty)
	}{
		{"two operators at once", twoOperators},
		{"clients that hang", hangingClients},
		{"full disk under maintenance", fullDiskMaintenance},
		{"full disk under the history", fullDiskHistory},
		{"read-only state_dir", readOnlyState},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tt.fault(t, newFaulty(t))
		})
	}
}

func twoOperators(t *testing.T, f *faulty) {
	vipctl := filepath.Join(bin(t), "vipctl")
	var wg sync.WaitGroup
	var mu sync.Mutex
	changed := map[string]int{}
	for _, verb := range []string{"enter", "leave"} {
		for range 2 {
			wg.Go(func() {
				for range 6 {
					// Not the lab's own way, which is for one at a time.
					data, err := exec.Command(vipctl, "--socket", f.node.Socket(), "maintenance", verb).CombinedOutput()
					out := string(data)
					if err != nil {
						t.Errorf("maintenance %s: %v\n%s", verb, err, out)
					}
					lines := strings.Split(strings.TrimSpace(out), "\n") // who would take over comes first
					last := lines[len(lines)-1]
					if !strings.HasPrefix(last, "already") && !strings.HasPrefix(last, "not ") {
						mu.Lock()
						changed[verb]++
						mu.Unlock()
					}
				}
			})
		}
	}
	wg.Wait()
	if changed["enter"] == 0 || changed["leave"] == 0 {
		t.Errorf("entered %d times, left %d times: the commands did not meet", changed["enter"], changed["leave"])
	}
	// Each "entered" is followed by one "left", or is the last word: otherwise an answer was false.
	on := f.node.Status().Maintenance
	if n := changed["enter"] - changed["leave"]; n != map[bool]int{true: 1, false: 0}[on] {
		t.Errorf("%d times entered, %d times left, and maintenance is %v", changed["enter"], changed["leave"], on)
	}
	f.settled(t, on)
	f.node.MustCTL("maintenance", "leave")
	f.settled(t, false)
}

// hangingClients takes every place for clients and lets go of none.
func hangingClients(t *testing.T, f *faulty) {
	for i := range 200 {
		conn, err := net.Dial("unix", f.node.Socket())
		if err != nil {
			break // no more are let in, which is well
		}
		t.Cleanup(func() { conn.Close() }) // cut off by the other side already, perhaps
		text := "POST /v1/maintenance/enter HTTP/1.1\r\nHost: vipd\r\nContent-Length: 100\r\n\r\n{"
		switch i % 3 {
		case 0:
			text = "GET /v1/status HT"
		case 1:
			text = "GET /v1/events HTTP/1.1\r\nHost: vipd\r\n\r\n" // and never reads
		}
		if _, err := conn.Write([]byte(text)); err != nil {
			continue
		}
	}
	start := time.Now()
	f.Eventually(patience, 200*time.Millisecond, func() (bool, string) {
		code, out := f.node.CTL("maintenance", "enter")
		return code == 0, "the command comes through: " + out
	})
	t.Logf("a command came through after %v", time.Since(start))
	f.Eventually(patience, 200*time.Millisecond, func() (bool, string) {
		_, err := f.node.TryStatus()
		return err == nil, fmt.Sprint("the status comes through: ", err)
	})
	f.settled(t, true)
}

func fullDiskMaintenance(t *testing.T, f *faulty) {
	free := f.fill(t)
	f.refused(t, "no space left on device", "maintenance", "enter")
	f.settled(t, false)
	f.refused(t, "no space left on device", "maintenance", "enter", "--wait")
	f.settled(t, false)
	free()
	f.node.MustCTL("maintenance", "enter")
	f.settled(t, true)
	f.fill(t)
	f.node.MustCTL("maintenance", "leave") // needs no room
	f.settled(t, false)
}

func fullDiskHistory(t *testing.T, f *faulty) {
	path := f.state("history")
	f.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		data, err := os.ReadFile(path)
		return err == nil &&
				strings.Count(string(data), "\n") == 2, fmt.Sprintf(
				"both transitions are on disk: %q, %v",
				data,
				err,
			)
	})
	free := f.fill(t)
	// Blank lines up to the end of its page, or the next line would find room there.
	file, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fi, err := file.Stat()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(strings.Repeat("\n", int(4096-fi.Size()%4096))); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	again := func() {
		t.Helper()
		f.node.MustCTL("disable")
		f.node.MustCTL("enable")
		f.node.WaitState(group, lab.Backup, patience)
		newPeer(f.clientPort, addrClient).goodbye()
		f.generation = f.node.WaitAnswering(group, patience).Generation
	}
	again()
	f.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		_, out := f.node.CTL("history")
		return strings.Contains(out, "the history is not on disk and is lost when vipd exits: ") &&
				strings.Contains(out, "no space left on device"),
			"the command says that it is not saved: " + out
	})
	if n := len(history(t, f.node)); n != 5 {
		t.Errorf("%d transitions in memory, want 5", n)
	}
	f.settled(t, false)
	free()
	again()
	f.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		data, err := os.ReadFile(path)
		n := strings.Count(string(data), "\"group\"")
		return err == nil && n == 8, fmt.Sprintf("all 8 are on disk: %d, %v", n, err)
	})
	if _, out := f.node.CTL("history"); strings.Contains(out, "not on disk") {
		t.Errorf("still said not to be saved:\n%s", out)
	}
	f.settled(t, false)
}

func readOnlyState(t *testing.T, f *faulty) {
	f.remount("ro")
	f.refused(t, "read-only file system", "maintenance", "enter")
	f.settled(t, false)
	f.remount("rw")
	f.node.MustCTL("maintenance", "enter")
	f.settled(t, true)
	f.remount("ro")
	f.refused(t, "read-only file system", "maintenance", "leave")
	f.settled(t, true)
	f.remount("rw")
	f.node.MustCTL("maintenance", "leave")
	f.settled(t, false)
}

// A daemon whose state_dir is read-only from the start serves its VIP, and refuses only what it could not keep.
func TestStartsOnAReadOnlyStateDir(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.mountState(t, "ro")
	s.startMaster()
	if code, out := s.node.CTL("maintenance", "enter"); code != 1 || !strings.Contains(out, "read-only file system") {
		t.Errorf("maintenance enter: exit code %d\n%s", code, out)
	}
	if st := s.node.Status(); st.Maintenance || st.Groups[0].State != lab.Master {
		t.Errorf("%+v", st)
	}
}

// What stands where the control socket belongs: a file and a live socket keep the daemon from starting and stay as they
// are, a dead one is replaced.
func TestTakenSocketPathIsRefused(t *testing.T) {
	t.Parallel()
	refusal := func(t *testing.T, s *single, why string) {
		t.Helper()
		code, out := s.node.VIPD("--config", s.node.ConfigFile())
		if code != 1 || !strings.Contains(out, why) || !strings.Contains(out, s.node.Socket()) {
			t.Errorf("exit code %d, want 1 and %q:\n%s", code, why, out)
		}
		if receives(t, s.node.Host, "eth0") || s.node.HasAddress("eth0", vip) {
			t.Error("it left something behind")
		}
	}
	prepare := func(t *testing.T) *single {
		t.Helper()
		s := newSingle(t, oneVIP(0))
		if err := os.MkdirAll(s.node.RuntimeDir(), 0o750); err != nil {
			t.Fatal(err)
		}
		return s
	}
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		s := prepare(t)
		if err := os.WriteFile(s.node.Socket(), []byte("precious"), 0o600); err != nil {
			t.Fatal(err)
		}
		refusal(t, s, "exists and is not a socket")
		if data, err := os.ReadFile(s.node.Socket()); err != nil || string(data) != "precious" {
			t.Errorf("the file is %q now, %v", data, err)
		}
	})
	t.Run("live socket", func(t *testing.T) {
		t.Parallel()
		s := prepare(t)
		l, err := net.Listen("unix", s.node.Socket())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() //nolint:errcheck // at the end of the test
		refusal(t, s, "stop it first")
		conn, err := net.Dial("unix", s.node.Socket())
		if err != nil {
			t.Fatalf("the other one's socket is gone: %v", err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Run("dead socket", func(t *testing.T) {
		t.Parallel()
		s := prepare(t)
		l, err := net.Listen("unix", s.node.Socket())
		if err != nil {
			t.Fatal(err)
		}
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		s.startMaster()
		s.node.Stop()
		if _, err := os.Stat(s.node.Socket()); !os.IsNotExist(err) {
			t.Errorf("its socket outlives it: %v", err)
		}
	})
}

// A full /run is no reason to leave the addresses without an owner: the node serves, and commands that cannot be kept
// say so.
func TestFullRuntimeDir(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.mount(t, (*lab.Node).RuntimeDir, "size=4k", "head -c 4096 /dev/zero > filler")
	launched := s.node.Launch()
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		n := len(s.clientPort.AnswersARP(addrClient, vip, 100*time.Millisecond))
		return n == 1, "an answer for the VIP; vipd is running: " + fmt.Sprint(launched.Running())
	})
	if out := launched.Output(); !strings.Contains(out, "is runtime_dir full?") {
		t.Errorf("the log does not say that runtime_dir is full:\n%s", out)
	}
}
