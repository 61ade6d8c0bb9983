// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/agent/control/api"
	"vipd/tests/lab"
)

// tshark reads a capture file and returns one line of tab-separated fields a frame.
func tshark(p *lab.Lab, h *lab.Host, file string, fields ...string) [][]string {
	p.Helper()
	args := []string{"-n", "-r", file, "-T", "fields", "-E", "separator=/t", "-E", "occurrence=a"}
	for _, f := range fields {
		args = append(args, "-e", f)
	}
	var out [][]string
	for line := range strings.Lines(h.MustRun(toolTimeout, "tshark", args...)) {
		if strings.HasPrefix(line, "Running as user") || strings.TrimSpace(line) == "" {
			continue
		}
		out = append(out, strings.Split(strings.TrimRight(line, "\n"), "\t"))
	}
	return out
}

// The better node comes back and takes over: the recorder of the other has frozen the advert that did it, and what it
// exports is read by tshark.
func TestRecorderHasTheAdvertThatCausedTheTransition(t *testing.T) {
	t.Parallel()
	require(t, needTShark)
	p := newPair(t, oneVIP(100), oneVIP(0))
	p.a.Start()
	p.a.WaitState(group, lab.Backup, patience)
	newPeer(p.clientPort, addrClient).goodbye()
	p.a.WaitAnswering(group, upTimeout)
	p.b.Start()
	p.b.WaitAnswering(group, upTimeout)
	p.a.WaitState(group, lab.Backup, patience)

	id := awaitIncident(t, p, "better_advert")
	if story := p.a.MustCTL("record", "show", group); !strings.Contains(story, "this caused the transition") ||
		!strings.Contains(story, "advert of "+addrB.String()) {
		t.Errorf("the story does not name its cause:\n%s", story)
	}
	file := filepath.Join(t.TempDir(), "incident.pcapng")
	p.a.MustCTL("record", "export", "-w", file, strconv.FormatUint(id, 10))
	causes := 0
	frames := tshark(p.Lab, p.a.Host, file, "frame.interface_name", "ip.src", "vrrp.virt_rtr_id", "frame.comment")
	for _, f := range frames {
		if f[0] != "eth0" || !strings.Contains(f[3], group) {
			t.Errorf("frame without its interface or comment: %q", f)
		}
		if !strings.Contains(f[3], "CAUSE of the transition") {
			continue
		}
		if causes++; f[1] != addrB.String() || !strings.Contains(f[3], "advbase 1, advskew 0") ||
			!strings.Contains(f[3], "trailer") {
			t.Errorf("the cause is %q", f)
		}
	}
	if causes != 1 {
		t.Errorf("%d causes, want 1, among\n%q", causes, frames)
	}
	// The better one dies: its last advert, then silence and our claim.
	p.b.Kill9()
	p.a.WaitAnswering(group, patience)
	out := p.a.MustCTL("record", "show", "-o", "json", strconv.FormatUint(awaitIncident(t, p, "master_timeout"), 10))
	var in api.Incident
	if err := json.Unmarshal([]byte(out), &in); err != nil {
		t.Fatal(err)
	}
	var last, claim time.Time
	for i := range in.Records {
		switch r := &in.Records[i]; {
		case r.Kind == "authentic" && r.Advert.Source == addrB.String():
			last = r.Time
		case r.Kind == "advert_sent" && claim.IsZero() && !last.IsZero() && r.Time.After(last):
			claim = r.Time
		}
		if r := &in.Records[i]; r.Cause {
			t.Errorf("silence has a cause: %+v", r)
		}
	}
	if silence := claim.Sub(last); last.IsZero() || silence < skewed(100)-50*time.Millisecond {
		t.Errorf("the last advert of b was received at %v, our claim left at %v, %v later:\n%s", last, claim, silence, out)
	}
	// What is on disk outlives the daemon.
	p.a.Stop()
	p.a.Start()
	p.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		code, out := p.a.CTL("record", "show", strconv.FormatUint(id, 10))
		return code == 0 &&
			strings.Contains(out, "this caused the transition"), "the incident is there after a restart:\n" + out
	})
}

// awaitIncident waits until a's newest incident for a reason is whole, and returns its number.
func awaitIncident(t *testing.T, p *pair, reason string) (id uint64) {
	t.Helper()
	p.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		var list api.Incidents
		out := p.a.MustCTL("record", "list", "-o", "json", group)
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatal(err)
		}
		for _, in := range list.Incidents {
			if in.Reason == reason && !in.Open {
				id = in.ID
			}
		}
		return id != 0, "an incident for " + reason + " is whole:\n" + out
	})
	return id
}

// startCapture runs vipctl capture on the node into a file and waits until it has begun.
func startCapture(t *testing.T, s *single, file string, flags ...string) *lab.Proc {
	t.Helper()
	args := append([]string{"--socket", s.node.Socket(), "capture", "-w", file}, flags...)
	p := s.node.Spawn("capture", filepath.Join(bin(t), "vipctl"), append(args, group)...)
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		st, err := os.Stat(file)
		return err == nil && st.Size() > 0, "the capture has begun: " + p.Output()
	})
	return p
}

// stopCapture is Ctrl-C; it returns how many frames were captured and lost, as the command told at its end.
func stopCapture(t *testing.T, p *lab.Proc) (captured, lost int) {
	t.Helper()
	p.Signal(syscall.SIGINT)
	if code := p.Wait(patience); code != 0 {
		t.Fatalf("the capture ended with exit code %d:\n%s", code, p.Output())
	}
	if _, err := fmt.Sscanf(p.Output(), "vipctl: %d frames captured, %d lost", &captured, &lost); err != nil {
		t.Fatalf("the capture said at its end: %s", p.Output())
	}
	return captured, lost
}

// What XDP answers tcpdump on the same host cannot see; vipctl capture has the requests and the answers.
func TestCaptureSeesWhatTCPDumpCannot(t *testing.T) {
	t.Parallel()
	require(t, needTShark, needTCPDump)
	s := newSingle(t, inMode("generic", oneVIP(0))) // tcpdump sees what tc ingress takes
	s.startMaster()
	file := filepath.Join(t.TempDir(), "capture.pcapng")
	capture := startCapture(t, s, file)
	dump := s.node.Spawn("tcpdump", "tcpdump", "-i", "eth0", "-l", "-n", "arp")
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return strings.Contains(dump.Output(), "listening on"), "tcpdump listens: " + dump.Output()
	})
	const asked = 7
	for range asked {
		if n := len(s.clientPort.AnswersARP(addrClient, vip, 100*time.Millisecond)); n != 1 {
			t.Fatalf("%d answers for the VIP", n)
		}
	}
	s.clientPort.AskARP(addrClient, addrA, 100*time.Millisecond) // the control: the stack answers that
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return strings.Contains(dump.Output(), addrA.String()+" is-at"), "tcpdump sees what the stack answers: " +
			dump.Output()
	})
	captured, lost := stopCapture(t, capture)
	dump.Signal(syscall.SIGINT)
	dump.Wait(patience)
	if strings.Contains(dump.Output(), "who-has "+vip.String()+" tell "+addrClient.String()) ||
		strings.Contains(dump.Output(), vip.String()+" is-at") && strings.Contains(dump.Output(), "Reply "+vip.String()) {
		t.Errorf("tcpdump saw it, too: the test proves nothing\n%s", dump.Output())
	}
	count := map[string]int{}
	frames := tshark(s.Lab, s.node.Host, file, "arp.opcode", "arp.src.proto_ipv4", "arp.dst.proto_ipv4", "frame.comment")
	for _, f := range frames {
		switch {
		case f[0] == "1" && f[1] == addrClient.String() && f[2] == vip.String() && strings.Contains(f[3], "answered by XDP"):
			count["asked"]++
		case f[0] == "2" && f[1] == vip.String() && f[2] == addrClient.String() &&
			strings.Contains(f[3], "XDP answers: "+vip.String()+" is at 00:00:5e:00:01:01"):
			count["answered"]++
		case strings.Contains(f[3], "our advert"):
			count["advert"]++
		}
	}
	if count["asked"] != asked || count["answered"] != asked {
		t.Errorf("captured %v, want %d requests and answers, among\n%q", count, asked, frames)
	}
	if captured != len(frames) || lost != 0 {
		t.Errorf("%d frames in the file; the command says %d captured and %d lost", len(frames), captured, lost)
	}

	// --count ends by itself, with a whole file.
	file = filepath.Join(t.TempDir(), "three.pcapng")
	capture = startCapture(t, s, file, "--count", "3")
	for capture.Running() {
		s.clientPort.AskARP(addrClient, vip, 30*time.Millisecond)
	}
	if code, n := capture.Wait(patience), len(tshark(s.Lab, s.node.Host, file, "frame.number")); code != 0 || n != 3 {
		t.Errorf("exit code %d, %d frames in the file, want 3:\n%s", code, n, capture.Output())
	}
}

// A flood during a capture costs the agent little and the election nothing; what is too much is counted as lost. Runs
// alone: it takes a core.
func TestFloodDuringACaptureHarmsNothing(t *testing.T) {
	require(t, needTShark)
	s := newSingle(t, oneVIP(0))
	s.startMaster()
	forger := foreignKey(newPeer(s.clientPort, addrClient))
	frames := make([][]byte, 64)
	for i := range frames {
		frames[i] = forger.build(nil)
	}
	flood := func(long time.Duration) (forged int, took, cpu time.Duration) {
		start, cpuBefore := time.Now(), s.node.Proc().CPU()
		for ; time.Since(start) < long; forged++ {
			forger.injector.Send(frames[forged%len(frames)])
		}
		return forged, time.Since(start), s.node.Proc().CPU() - cpuBefore
	}
	// Without a capture the recorder alone looks on.
	if _, took, cpu := flood(2 * time.Second); cpu > took/10 {
		t.Errorf("the agent took %v of CPU in %v without a capture", cpu, took)
	}
	file := filepath.Join(t.TempDir(), "flood.pcapng")
	capture := startCapture(t, s, file)
	before := s.node.Group(group)
	forged, took, cpu := flood(4 * time.Second)
	after := s.node.Group(group)
	captured, lost := stopCapture(t, capture)
	t.Logf("%.0f forged adverts a second for %v; captured %d, lost %d; the agent took %v of CPU",
		float64(forged)/took.Seconds(), took.Round(time.Second), captured, lost, cpu)
	if after.State != lab.Master || !after.Dataplane.Answering || !sameTime(after.Since, before.Since) {
		t.Errorf("the node is %s (%s) since %v, was MASTER since %v", after.State, after.Reason, after.Since, before.Since)
	}
	if sent := after.Counters.Sent - before.Counters.Sent; float64(sent) < took.Seconds()-1.5 {
		t.Errorf("only %d adverts of ours in %v", sent, took)
	}
	// A tenth of a core as a rule. What bounds it is the number of frames, and a busy host takes twice as long for each.
	if cpu > took/2 {
		t.Errorf("the agent took %v of CPU in %v", cpu, took)
	}
	refused := func(g lab.GroupStatus) int {
		return int(g.Counters.Rejected["bad_hmac"] + g.Counters.Rejected["rate_limited"])
	}
	if rejected := refused(after) - refused(before); captured+lost < rejected*9/10 || lost == 0 || captured == 0 {
		t.Errorf("%d captured and %d lost of %d that were refused", captured, lost, rejected)
	}
	if n := len(tshark(s.Lab, s.node.Host, file, "frame.number")); n != captured {
		t.Errorf("%d frames in the file, %d captured", n, captured)
	}
}
