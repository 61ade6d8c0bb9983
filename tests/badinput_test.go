// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"
)

// Config errors name file, line, key and what is allowed, all at once, with --check and at the start.
func TestConfigErrorsAreAllNamedAtOnce(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.node.WriteRawConfig(`[node]
name = "a"

[carp]
preempt = true
dead_ratio = 7.5
dscp = 99
colour = "blue"

[[vip]]
interface = "eth0"
vhid = 300
addresses = ["192.0.2.300/24"]
advskew = 255
password = "secret"
`)
	wants := []struct {
		line int
		key  string
		says string // what is allowed, or what is wrong
	}{
		{6, "dead_ratio", "3"},
		{7, "dscp", "63"},
		{8, "colour", ""},
		{12, "vhid", "255"},
		{13, "addresses", "192.0.2.300"},
		{14, "advskew", "254"},
	}
	for _, args := range [][]string{{"--check"}, nil} {
		code, out := s.node.VIPD(append([]string{"--config", s.node.ConfigFile()}, args...)...)
		if code != 2 {
			t.Errorf("vipd %v of a bad config: exit code %d, want 2", args, code)
		}
		for _, want := range wants {
			re := regexp.MustCompile(fmt.Sprintf(`(?m)^%s:%d: [^:]*%s[^:]*: .*%s`, regexp.QuoteMeta(s.node.ConfigFile()),
				want.line, want.key, regexp.QuoteMeta(want.says)))
			if !re.MatchString(out) {
				t.Errorf("vipd %v: no line for %s in line %d that says %q:\n%s", args, want.key, want.line, want.says, out)
			}
		}
		if strings.Contains(out, "secret") {
			t.Errorf("vipd %v prints a password:\n%s", args, out)
		}
	}
	s.node.WriteConfig(oneVIP(0))
	if code, out := s.node.VIPD("--config", s.node.ConfigFile(), "--check"); code != 0 {
		t.Errorf("--check of a good config: exit code %d\n%s", code, out)
	}
}

// A group whose interface is missing is INIT with that reason, and recovers when the interface appears; when it goes
// again the group is INIT again and the other group has not moved.
func TestMissingInterfaceRecoversWhenItAppears(t *testing.T) {
	t.Parallel()
	config := lab.NodeConfig{Groups: []lab.Group{
		{Addresses: []string{vip.String() + "/24"}},
		{Interface: "eth1", VHID: 2, Addresses: []string{"198.51.100.100/24"}},
	}}
	s := newSingle(t, config)
	s.startMaster()
	const late = "eth1@2"
	g := s.node.WaitState(late, lab.Init, patience)
	if g.Reason != "interface_missing" {
		t.Errorf("reason %q, want interface_missing", g.Reason)
	}
	if code, out := s.node.CTL("status", "--check"); code != 4 || !strings.Contains(out, "interface_missing") {
		t.Errorf("status --check: exit code %d, want 4 and the reason in:\n%s", code, out)
	}
	since := s.node.Group(group).Since
	other := s.NewSegment("dmz")
	for round := range 2 {
		port := other.Join(s.node.Host, "eth1", "198.51.100.11/24")
		s.node.WaitAnswering(late, upTimeout)
		port.Unplug()
		g = s.node.WaitState(late, lab.Init, patience)
		if g.Reason != "interface_missing" {
			t.Errorf("round %d: reason %q, want interface_missing", round, g.Reason)
		}
	}
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("%s is %s since %v: it had nothing to do with it", group, g.State, g.Since)
	}
	s.node.Stop()
}

// Where native XDP is wanted, a slot taken by another program puts the group in INIT and says in one sentence what to
// do; the other program stays, and when it has gone the group recovers.
func TestTakenXDPSlotIsNamed(t *testing.T) {
	t.Parallel()
	config := oneVIP(0)
	config.Mode = "native"
	s := newSingle(t, config)
	theirs := attachForeign(t, s.node.Host, "eth0")
	defer theirs.Close()
	taken := s.node.XDPProgram("eth0")

	s.node.Start()
	g := s.node.WaitFor(group, "is INIT for attach_failed", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Init && g.Reason == "attach_failed"
	})
	said := g.Detail + "\n" + s.node.Proc().Output()
	if !strings.Contains(said, "eth0") || !strings.Contains(said, "someone_else") {
		t.Errorf("neither the detail nor the log names the interface and the program:\n%s", said)
	}
	if code, out := s.node.CTL("show", group); code != 0 || !strings.Contains(out, "attach_failed") {
		t.Errorf("show: exit code %d\n%s", code, out)
	}
	says(t, finding(t, examine(t, s.node, "--for", "1"), "xdp_taken", group), "eth0", "another program")
	if got := s.node.XDPProgram("eth0"); got != taken {
		t.Errorf("the XDP program is %d, was %d: the other one did not stay", got, taken)
	}
	theirs.Close()
	s.node.WaitAnswering(group, patience)
}

// Behind another owner's XDP program the data plane works on tc ingress: both nodes, pings, and a failover.
func TestFailoverBehindAnotherXDPProgram(t *testing.T) {
	t.Parallel()
	p := newPair(t, inMode("generic", oneVIP(0)), inMode("generic", oneVIP(100)))
	for _, n := range []*lab.Node{p.a, p.b} {
		theirs := attachForeign(t, n.Host, "eth0")
		defer theirs.Close()
	}
	taken := p.a.XDPProgram("eth0")
	p.start()
	if g := p.a.Group(group); !onTC(g) ||
		!strings.Contains(g.Dataplane.Note, "someone_else") {
		t.Errorf("a's data plane is %+v: mode or reason is wrong", g.Dataplane)
	}
	if m := p.a.Metrics(); !strings.Contains(m, `vipd_xdp_info{interface="eth0",mode="tc"} 1`) {
		t.Error("the metrics do not show the mode")
	}
	pinger := p.client.Ping(vip, 5*time.Millisecond)
	pinger.AwaitAnswer(time.Now(), patience)
	if mac := p.client.Neighbour("eth0", vip); mac != net.HardwareAddr(vmac[:]).String() {
		t.Errorf("the client knows the VIP at %s", mac)
	}
	killed := p.a.Kill9()
	p.b.WaitAnswering(group, patience)
	pinger.AwaitAnswer(time.Now(), patience)
	r := pinger.Stop()
	assertGap(t, r, killed, skewed(100)+100*time.Millisecond)
	if g := p.b.Group(group); g.Counters.Packets == 0 {
		t.Errorf("b has delivered nothing: %+v", g.Counters)
	}
	p.client.Forget("eth0", vip)
	again := p.client.Ping(vip, 20*time.Millisecond)
	again.AwaitAnswer(time.Now(), patience)
	again.Stop()
	if g := p.b.Group(group); g.Counters.ARPReplies == 0 {
		t.Error("b has answered no ARP request")
	}
	p.b.Stop()
	p.a.Cleanup()
	if got := p.a.XDPProgram("eth0"); got != taken {
		t.Errorf("the XDP program is %d, was %d: the other one did not stay", got, taken)
	}
}

// Without the capability for BPF the daemon ends with one sentence that says what to do.
func TestMissingCapabilityIsOneSentence(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	code, out := s.node.Run(toolTimeout, "setpriv", "--bounding-set=-bpf,-sys_admin", "--inh-caps=-bpf,-sys_admin",
		filepath.Join(bin(t), "vipd"), "--config", s.node.ConfigFile())
	if code != 1 {
		t.Errorf("exit code %d, want 1\n%s", code, out)
	}
	if !strings.Contains(out, "CAP_BPF") {
		t.Errorf("the capability is not named:\n%s", out)
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n"); lines > 0 {
		t.Errorf("more than one line:\n%s", out)
	}
}

// Without the kernel's type information the daemon ends with one sentence that says what to do.
func TestMissingBTFIsOneSentence(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	script := "mount -t tmpfs none /sys/kernel/btf && exec " + filepath.Join(bin(t), "vipd") + " --config " +
		s.node.ConfigFile()
	code, out := s.node.Run(toolTimeout, "unshare", "--mount", "sh", "-c", script)
	if code != 1 || !strings.Contains(out, "BTF") {
		t.Errorf("exit code %d, want 1 and BTF named:\n%s", code, out)
	}
	if lines := strings.Count(strings.TrimSpace(out), "\n"); lines > 0 {
		t.Errorf("more than one line:\n%s", out)
	}
}

// A second daemon on the same state names the process that holds it, and changes nothing.
func TestSecondDaemonSaysWhoHoldsTheState(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	since := s.node.Group(group).Since
	code, out := s.node.VIPD("--config", s.node.ConfigFile())
	if code == 0 || !strings.Contains(out, fmt.Sprint(s.node.Proc().PID())) {
		t.Errorf("second daemon: exit code %d, want a failure that names PID %d:\n%s", code, s.node.Proc().PID(), out)
	}
	if code, out := s.node.VIPD("--config", s.node.ConfigFile(), "--cleanup"); code == 0 {
		t.Errorf("--cleanup under a running daemon succeeds:\n%s", out)
	}
	g := s.node.Group(group)
	if g.State != lab.Master || !sameTime(g.Since, since) || !g.Dataplane.Answering {
		t.Errorf("the first is %s since %v, answering %v", g.State, g.Since, g.Dataplane.Answering)
	}
	if n := len(s.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond)); n != 1 {
		t.Errorf("%d answers for the VIP, want 1", n)
	}
}

// Garbage on the control socket gets an error and disturbs nothing, however much of it comes.
func TestGarbageOnTheSocketHarmsNobody(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	since := s.node.Group(group).Since
	garbage := map[string]string{
		"noise":          "\x00\xff\x13\x37 what is this\r\n\r\n",
		"no such route":  "GET /v1/nonsense HTTP/1.1\r\nHost: vipd\r\nConnection: close\r\n\r\n",
		"wrong method":   "GET /v1/disable HTTP/1.1\r\nHost: vipd\r\nConnection: close\r\n\r\n",
		"unknown group":  "GET /v1/groups/eth9@9 HTTP/1.1\r\nHost: vipd\r\nConnection: close\r\n\r\n",
		"endless header": "GET /v1/status HTTP/1.1\r\nHost: vipd\r\nX: " + strings.Repeat("x", 4<<20),
		"huge body": "POST /v1/reload HTTP/1.1\r\nHost: vipd\r\nContent-Length: 99999999\r\n\r\n" +
			strings.Repeat("x", 4<<20),
	}
	for name, text := range garbage {
		conn, err := net.Dial("unix", s.node.Socket())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_ = conn.SetDeadline(time.Now().Add(15 * time.Second))
		_, _ = conn.Write([]byte(text)) // it may hang up on us half way
		answer := make([]byte, 4096)
		n, _ := conn.Read(answer)
		conn.Close()
		status := string(answer[:n])
		if name != "huge body" && name != "endless header" && !regexp.MustCompile(`^HTTP/1\.[01] 4\d\d`).MatchString(status) {
			t.Errorf("%s is answered with %q, want a 4xx", name, status)
		}
		if strings.Contains(status, " 200 ") && name != "huge body" {
			t.Errorf("%s succeeds: %q", name, status)
		}
	}
	// Many clients that say nothing.
	for range 200 {
		conn, err := net.Dial("unix", s.node.Socket())
		if err != nil {
			break // refused is fine
		}
		defer conn.Close()
	}
	time.Sleep(1500 * time.Millisecond)
	if n := len(s.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond)); n != 1 {
		t.Errorf("%d answers for the VIP, want 1", n)
	}
	g := s.node.WaitFor(group, "is still served", patience, func(lab.GroupStatus) bool { return true })
	if g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("the node is %s since %v, was MASTER since %v", g.State, g.Since, since)
	}
}

// A bridge port is refused: INIT with the reason, naming the bridge to use.
func TestBridgePortIsRefused(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	s.node.MustRun(toolTimeout, "ip", "link", "add", "br7", "type", "bridge")
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "master", "br7")
	s.node.Start()
	g := s.node.WaitFor(group, "is INIT for interface_enslaved", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Init && g.Reason == "interface_enslaved"
	})
	if !strings.Contains(g.Detail, "br7") {
		t.Errorf("the detail %q does not name br7", g.Detail)
	}
	s.node.MustRun(toolTimeout, "ip", "link", "set", "eth0", "nomaster")
	s.node.WaitAnswering(group, upTimeout)
}

// SIGHUP applies the difference or says why not; it never ends the daemon and moves nothing that it does not touch.
func TestReloadAppliesTheDifferenceOrLogsWhyNot(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	sniffer := s.port.Sniff()
	s.startMaster()
	since := s.node.Group(group).Since
	pid := s.node.Proc().PID()

	for _, bad := range []string{"this is no TOML", "[node]\nnonsense = 1\n"} {
		s.node.WriteRawConfig(bad)
		length := len(s.node.Proc().Output())
		s.node.Proc().Signal(syscall.SIGHUP)
		s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
			said := s.node.Proc().Output()[length:]
			return strings.Contains(said, filepath.Base(s.node.ConfigFile())+":"), "the log names file and line: " + said
		})
		if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
			t.Fatalf("after a bad reload: %s since %v", g.State, g.Since)
		}
	}

	// A second group, and a new skew for the first.
	changed := lab.NodeConfig{Groups: []lab.Group{
		{Addresses: []string{vip.String() + "/24"}, AdvSkew: 20},
		{VHID: 2, Addresses: []string{"192.0.2.200/24"}},
	}}
	s.node.WriteConfig(changed)
	at := s.node.Proc().Signal(syscall.SIGHUP)
	s.node.WaitAnswering("eth0@2", upTimeout)
	sniffer.Await(patience, "an advert with the new skew", func(f lab.Frame) bool {
		ad, ok := f.Advert()
		return ok && f.At.After(at) && ad.VHID == vhid && ad.AdvSkew == 20
	})
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) || g.AdvSkew != 20 {
		t.Errorf("after the reload: %s since %v, advskew %d", g.State, g.Since, g.AdvSkew)
	}

	// And the second group goes again, by vipctl; the first stays.
	s.node.WriteConfig(oneVIP(20))
	s.node.MustCTL("reload")
	s.Eventually(
		patience,
		20*time.Millisecond,
		func() (bool, string) { return len(s.node.Status().Groups) == 1, "one group is left" },
	)
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		return !s.node.HasAddress("eth0", netipAddr("192.0.2.200")), "the address of the removed group is gone"
	})
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("after the second reload: %s since %v", g.State, g.Since)
	}

	// A bad one through vipctl is an error of the command.
	s.node.WriteRawConfig("[carp]\ndscp = 64\n")
	if code, out := s.node.CTL("reload"); code == 0 || !strings.Contains(out, "dscp") {
		t.Errorf("vipctl reload of a bad config: exit code %d\n%s", code, out)
	}
	if !s.node.Proc().Running() || s.node.Proc().PID() != pid {
		t.Error("the daemon has ended")
	}
	if err := os.Remove(s.node.ConfigFile()); err != nil {
		t.Fatal(err)
	}
	length := len(s.node.Proc().Output())
	s.node.Proc().Signal(syscall.SIGHUP)
	s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
		said := s.node.Proc().Output()[length:]
		return strings.Contains(said, filepath.Base(s.node.ConfigFile())), "the log names the missing file: " + said
	})
	if g := s.node.Group(group); g.State != lab.Master || !sameTime(g.Since, since) {
		t.Errorf("after a reload without a file: %s since %v", g.State, g.Since)
	}
}

// What stands in the place of a state file never blocks the start: a file that only helps is reported and done without,
// and a switch whose position is unknown refuses the start in one sentence.
func TestStateFilesThatAreNone(t *testing.T) {
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	for _, dir := range []string{s.node.StateDir(), s.node.RuntimeDir()} {
		if err := os.MkdirAll(dir, 0o750); err != nil {
			t.Fatal(err)
		}
	}
	fifo := func(path string) {
		t.Helper()
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{s.node.StateDir(), s.node.RuntimeDir()} {
		for _, name := range []string{"history", "peers", "sequence", "memory.json", "vipd.lock"} {
			fifo(filepath.Join(dir, name))
		}
	}
	s.startMaster()
	if out := s.node.Proc().Output(); strings.Count(out, "not a regular file") < 4 {
		t.Errorf("the log does not name each file that is not one:\n%s", out)
	}
	s.node.Stop()

	for _, path := range []string{
		filepath.Join(s.node.StateDir(), "maintenance"), filepath.Join(s.node.RuntimeDir(), "disabled"),
	} {
		fifo(path)
		code, out := s.node.VIPD("--config", s.node.ConfigFile())
		if code != 1 || !strings.Contains(out, path+" is not a regular file") || strings.Count(out, "\n") != 1 {
			t.Errorf("start with a FIFO as %s: exit code %d, want 1 and one sentence:\n%s", path, code, out)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}
