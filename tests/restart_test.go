// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/executable"
	"vipd/tests/lab"
	"vipd/tests/needs"
)

// restartGap is how long a MASTER may be without an advertisement beyond its interval when its vipd is replaced on this
// busy machine; the figures of a quiet one are logged.
const restartGap = 1500 * time.Millisecond

// dualPair returns a pair with a dual-stack group, a MASTER and b BACKUP.
func dualPair(t *testing.T) *pair {
	t.Helper()
	p := newPairWith(t, []string{"/24", "/64"}, dualStack(0), dualStack(10))
	return p
}

// restarted replaces the vipd of the MASTER by `vipctl restart`, with the test in the supervisor's place, and checks
// that nothing moves.
func restarted(t *testing.T, p *pair) {
	t.Helper()
	a, b := p.a.Group(group), p.b.Group(group)
	from := p.portA.Sniff()
	old := p.a.Proc()
	began := time.Now()
	ctl := p.a.Spawn("vipctl", filepath.Join(bin(t), "vipctl"), "--socket", p.a.Socket(), "restart")
	if code := old.Wait(patience); code != 0 {
		t.Errorf("vipd ended with exit code %d", code)
	}
	ended := time.Now()
	p.a.Launch()
	next := from.Await(patience, "an advert of the new process", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.FromHost && ad.VHID == vhid && f.At.After(ended)
	})
	if code := ctl.Wait(patience); code != 0 || !strings.Contains(ctl.Output(), "restarted: ") {
		t.Errorf("vipctl restart: exit code %d\n%s", code, ctl.Output())
	}
	last := time.Time{} // of the old process
	for _, f := range from.Frames().FromHost().Before(ended).Adverts(vhid) {
		last = f.At
	}
	t.Logf("asked to end: %v, end to the next advert: %v", ended.Sub(began), next.At.Sub(ended))
	if gap := next.At.Sub(last); !last.IsZero() && gap > time.Second+restartGap {
		t.Errorf("%v between two adverts", gap)
	}
	if got := p.a.WaitAnswering(group, patience); got.Generation != a.Generation || transitions(p.a) != 0 {
		t.Errorf("a: generation %d, was %d; %v transitions", got.Generation, a.Generation, transitions(p.a))
	}
	if got := p.b.Group(group); got.State != lab.Backup || !sameTime(got.Since, b.Since) {
		t.Errorf("b is %s (%s) since %v, was BACKUP since %v", got.State, got.Reason, got.Since, b.Since)
	}
}

// No client holds up a restart: neither a doctor that watches nor connections that say nothing or half a request, on
// either listener, nor a disk on which an fsync takes 600 ms.
func TestRestartWaitsForNoClient(t *testing.T) {
	t.Parallel()
	for name, hinder := range map[string]func(t *testing.T, p *pair){
		"doctor": func(t *testing.T, p *pair) {
			p.a.Spawn("doctor", filepath.Join(bin(t), "vipctl"), "--socket", p.a.Socket(), "doctor")
			time.Sleep(300 * time.Millisecond) // it watches for seconds
		},
		"silent clients": func(t *testing.T, p *pair) {
			for _, text := range []string{
				"", "GET /v1/status HTTP/1.1\r\nHost: ",
				"GET /v1/events HTTP/1.1\r\nHost: vipd\r\n\r\n",
			} {
				c, err := net.Dial("unix", p.a.Socket())
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { c.Close() })
				if _, err := c.Write([]byte(text)); err != nil {
					t.Fatal(err)
				}
			}
			open, err := p.a.Dial(netip.MustParseAddrPort(lab.MetricsAddress), 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, c := range open {
				t.Cleanup(func() { c.Close() })
			}
		},
		"slow disk": func(t *testing.T, p *pair) {
			p.a.Replace(slowDisk(t))
			leave(t, p.a)
			p.a.Start() // from now on every fsync takes its time
			p.a.WaitAnswering(group, patience)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := dualPair(t)
			asShipped(t, p.a, p.b)
			p.startNaturally()
			hinder(t, p)
			restarted(t, p)
		})
	}
}

// slowDisk returns a directory with a vipd for which every fsync takes 600 ms, and the usual vipctl.
func slowDisk(t *testing.T) string {
	t.Helper()
	require(t, needStrace)
	dir := t.TempDir()
	script := fmt.Sprintf("exec chrt -r 55 strace -D -f --seccomp-bpf -o /dev/null -e trace=fsync,fdatasync "+
		"-e inject=fsync,fdatasync:delay_enter=600000 %s/vipd \"$@\"", bin(t))
	executable.Script(t, filepath.Join(dir, "vipd"), script)
	if err := os.Symlink(filepath.Join(bin(t), "vipctl"), filepath.Join(dir, "vipctl")); err != nil {
		t.Fatal(err)
	}
	return dir
}

// A config that the next vipd would refuse keeps the running one: `vipctl restart` says why, and a signal changes
// nothing.
func TestRestartRefusesABadConfig(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	good, err := os.ReadFile(s.node.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	pid := s.node.Proc().PID()
	const none = "no file at all"
	for round, bad := range []string{"[carp]\nadvbase = ", string(good) + "\n[colour]\nred = 1\n", "", none} {
		s.node.WriteRawConfig(bad)
		if bad == none {
			if err := os.Remove(s.node.ConfigFile()); err != nil {
				t.Fatal(err)
			}
		}
		code, out := s.node.CTL("restart")
		if code != 1 || !strings.Contains(out, "the running") || !strings.Contains(out, "vipd.toml") {
			t.Errorf("vipctl restart with %.20q: exit code %d\n%s", bad, code, out)
		}
		leaveSignal(s.node)
		s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
			return strings.Count(s.node.Proc().Output(), "not leaving") == round+1, "the log says why it does not leave"
		})
		if !s.node.Proc().Running() || s.node.Proc().PID() != pid {
			t.Fatalf("vipd left with a bad config:\n%s", s.node.Proc().Output())
		}
	}
	s.node.WaitAnswering(group, patience)
	s.node.WriteRawConfig(string(good))
	leave(t, s.node) // control: with a good one it does
}

// On a disk that hangs a command fails soon, says why, and has no effect later. Runs alone: a sync(2) of another test's
// program would wait for the frozen file system.
func TestCommandsFailOnADiskThatHangs(t *testing.T) {
	s := newSingle(t, oneVIP(0))
	freeze := frozenDisk(t, s.node.StateDir())
	s.startMaster()
	since := s.node.Group(group).Since
	thaw := freeze()
	began := time.Now()
	code, out := s.node.CTL("maintenance", "enter")
	if took := time.Since(began); code != 1 || took > 9*time.Second ||
		!strings.Contains(out, "the disk does not answer") || !strings.Contains(out, "nothing changed") {
		t.Errorf("maintenance enter: exit code %d after %v\n%s", code, took, out)
	}
	if code, out := s.node.CTL("maintenance", "leave"); code != 1 || !strings.Contains(out, "the disk does not answer") {
		t.Errorf("maintenance leave: exit code %d\n%s", code, out)
	}
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("the election was held up: %s since %v", g.State, g.Since)
	}
	thaw()
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		code, out := s.node.CTL("maintenance", "leave") // the write that hung has ended
		return code == 0, out
	})
	if st := s.node.Status(); st.Maintenance {
		t.Error("in maintenance although the command had failed")
	}
	if _, err := os.Stat(filepath.Join(s.node.StateDir(), "maintenance")); err == nil {
		t.Error("the file of a command that had failed is there")
	}
	s.node.MustCTL("maintenance", "enter") // control: the disk works
	if !s.node.Status().Maintenance {
		t.Error("not in maintenance")
	}
}

// frozenDisk mounts a file system of its own on the directory. The result freezes it, and gives what thaws it.
func frozenDisk(t *testing.T, dir string) (freeze func() (thaw func())) {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := os.MkdirAll(dir, 0o750); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) error {
		out, err := exec.Command(args[0], args[1:]...).CombinedOutput()
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, bytes.TrimSpace(out))
		}
		return nil
	}
	for _, cmd := range [][]string{
		{"truncate", "-s", "16M", image}, {"mkfs.ext4", "-q", "-F", image}, {"mount", "-o", "loop", image, dir},
	} {
		needs.Met(t, "loop", run(cmd...)) // a file system that can be frozen
	}
	frozen := false
	thaw := func() {
		if frozen {
			frozen = false
			if err := run("fsfreeze", "-u", dir); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(func() {
		thaw()
		if err := run("umount", "-l", dir); err != nil {
			t.Error(err)
		}
	})
	return func() func() {
		t.Helper()
		frozen = true
		if err := run("fsfreeze", "-f", dir); err != nil {
			frozen = false
			t.Fatal(err)
		}
		return thaw
	}
}

// leaveSignal asks the daemon to leave and does not wait.
func leaveSignal(n *lab.Node) { n.Proc().Signal(syscall.SIGUSR2) }

// wide is two nodes on many wires of their own, each with a dual-stack group.
type wide struct {
	*lab.Lab
	a, b *lab.Node
	n    int
}

func newWide(t *testing.T, n int) *wide {
	t.Helper()
	require(t, needNetNS, needBPF)
	w := &wide{Lab: lab.New(t), n: n}
	hosts := []*lab.Host{w.NewHost("a"), w.NewHost("b")}
	var links strings.Builder
	for i := range n {
		fmt.Fprintf(&links, "link add e%d type veth peer name e%d netns %s\n", i, i, filepath.Base(hosts[1].NetNS()))
	}
	w.batch(hosts[0], links.String())
	for i, h := range hosts {
		var text strings.Builder
		for j := range n {
			fmt.Fprintf(&text, "addr add 10.%d.%d.%d/24 dev e%d\naddr add fd00:%x::%d/64 dev e%d nodad\nlink set e%d up\n",
				j/200, j%200, i+1, j, j+1, i+1, j, j)
		}
		w.batch(h, text.String())
	}
	w.a, w.b = hosts[0].NewNode(bin(t), wideConfig(n, 0)), hosts[1].NewNode(bin(t), wideConfig(n, 100))
	asShipped(t, w.a, w.b)
	return w
}

func (w *wide) batch(h *lab.Host, text string) {
	w.Helper()
	file := filepath.Join(w.Dir(), h.Name+".batch")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.Fatalf("%v", err)
	}
	h.MustRun(toolTimeout, "ip", "-batch", file)
}

func wideConfig(n, advskew int) (c lab.NodeConfig) {
	for i := range n {
		c.Groups = append(c.Groups, lab.Group{
			Interface: fmt.Sprintf("e%d", i), AdvSkew: advskew,
			Addresses: []string{fmt.Sprintf("10.%d.%d.100/24", i/200, i%200), fmt.Sprintf("fd00:%x::100/64", i+1)},
		})
	}
	return c
}

// start brings a up as MASTER of all and b as BACKUP.
func (w *wide) start() {
	w.Helper()
	w.a.Start()
	waitAll(w.a, w.Lab, "answers", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Master && g.Dataplane.Answering
	})
	w.b.Start()
	waitAll(w.b, w.Lab, "hears a", patience, hearsMaster)
}

// 300 dual-stack interfaces: a restart moves none of the groups.
func TestRestartWithManyInterfacesMovesNothing(t *testing.T) {
	w := newWide(t, 300)
	w.start()
	before := w.b.Status()
	began := time.Now()
	leave(t, w.a)
	ended := time.Now()
	w.a.Start()
	t.Logf("left after %v; programs exchanged and answering its socket %v after that", ended.Sub(began), time.Since(ended))
	time.Sleep(4 * time.Second) // more than a master-down interval
	if n := transitions(w.a); n != 0 {
		t.Errorf("a: %v transitions", n)
	}
	after := w.b.Status()
	moved := 0
	for i, g := range after.Groups {
		if g.State != lab.Backup || !sameTime(g.Since, before.Groups[i].Since) {
			moved++
		}
	}
	if moved > 0 {
		t.Errorf("b: %d of %d groups moved", moved, len(after.Groups))
	}
}

// A stop with 500 interfaces takes less than 2 s and leaves no program behind.
func TestStopWithManyInterfacesIsQuick(t *testing.T) {
	w := newWide(t, 500)
	w.a.Start()
	waitAll(w.a, w.Lab, "has started", patience, func(g lab.GroupStatus) bool { return g.State != "INIT" })
	began := time.Now()
	w.a.Proc().Signal(syscall.SIGTERM)
	if code := w.a.Proc().Wait(patience); code != 0 {
		t.Errorf("exit code %d", code)
	}
	took := time.Since(began)
	t.Logf("stopped after %v", took)
	if took > 2*time.Second {
		t.Errorf("stopped after %v, want under 2 s", took)
	}
	if _, err := os.ReadDir(w.a.BPFDir()); !os.IsNotExist(err) {
		t.Errorf("pins are left: %v", err)
	}
	w.Eventually(patience, 50*time.Millisecond, func() (bool, string) { // the kernel detaches the last ones by itself
		left := 0
		for i := range w.n {
			if receives(t, w.a.Host, fmt.Sprintf("e%d", i)) {
				left++
			}
		}
		return left == 0, fmt.Sprintf("programs are detached; %d are left", left)
	})
}
