// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"vipd/tests/lab"
)

// containerCommands returns the command lines of docs/howto/container.md that run the image, by engine.
func containerCommands(t *testing.T) map[string][]string {
	t.Helper()
	page, err := os.ReadFile("../docs/howto/container.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := map[string][]string{}
	for line := range strings.Lines(strings.ReplaceAll(string(page), "\\\n", " ")) {
		if words := strings.Fields(line); len(words) > 2 && words[1] == "run" && words[2] == "-d" {
			commands[words[0]] = words
		}
	}
	if len(commands) != 2 {
		t.Fatalf("the page has commands for %v", commands)
	}
	return commands
}

// inForeground returns the arguments of podman for a command of the page: with the image in the archive, attached to
// the caller, and with directories below dir instead of the host's, except for bpffs.
func inForeground(words []string, dir, archive string) (args []string, user string) {
	words = slices.Clone(words[1 : len(words)-1])
	for i, word := range words {
		switch {
		case word == "-d":
			words[i] = "--rm"
		case word == "always" && words[i-1] == "--restart":
			words[i] = "no"
		case words[max(i-1, 0)] == "-v" && !strings.HasPrefix(word, "/sys/fs/bpf:"):
			words[i] = dir + word
		case words[max(i-1, 0)] == "--user":
			user, _, _ = strings.Cut(word, ":")
		}
	}
	// podman adds a writable /tmp and /run otherwise, and Docker does not.
	return append(words, "--read-only-tmpfs=false", "oci-archive:"+archive), user
}

// processIn returns the process of a program in the network namespace of a host.
func processIn(host *lab.Host, program string) (pid int) {
	home, err := os.Stat(host.NetNS())
	if err != nil {
		return 0
	}
	all, _ := filepath.Glob("/proc/[0-9]*") // the pattern is right
	for _, dir := range all {
		args, err := os.ReadFile(dir + "/cmdline")
		if err != nil || !strings.HasPrefix(string(args), program+"\x00") {
			continue
		}
		if ns, err := os.Stat(dir + "/ns/net"); err == nil && os.SameFile(ns, home) {
			pid, _ = strconv.Atoi(filepath.Base(dir))
		}
	}
	return pid
}

// TestContainer runs the image by the commands of docs/howto/container.md, for podman without root and for Docker as
// root: vipd becomes MASTER and answers, with the documented capabilities and mounts and nothing else, and stops
// without a trace. Both commands are run by podman.
func TestContainer(t *testing.T) {
	archive := os.Getenv("VIPD_IMAGE")
	if archive == "" {
		t.Skip("the image is tested by make test-packages")
	}
	require(t, needNetNS, needBPF)
	for engine, words := range containerCommands(t) {
		t.Run(engine, func(t *testing.T) { runContainer(t, words, archive) })
	}
}

func runContainer(t *testing.T, words []string, archive string) {
	l := lab.New(t)
	lan := l.NewSegment("lan")
	client, host := l.NewHost("client"), l.NewHost("node")
	port := lan.Join(client, "eth0", addrClient.String()+"/24")
	lan.Join(host, "eth0", addrA.String()+"/24")
	host.SetUp("lo")
	args, user := inForeground(words, l.Dir(), archive)
	uid, err := strconv.Atoi(user)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"etc/vipd", "run/vipd", "var/lib/vipd"} {
		if err := os.MkdirAll(filepath.Join(l.Dir(), dir), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	config := "[[vip]]\ninterface = \"eth0\"\nvhid = 1\naddresses = [\"" + vip.String() + "/24\"]\n" +
		"password_file = \"/etc/vipd/eth0-1.key\"\n"
	for name, text := range map[string]string{"vipd.toml": config, "eth0-1.key": lab.Password + "\n"} {
		if err := os.WriteFile(filepath.Join(l.Dir(), "etc/vipd", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	host.MustRun(toolTimeout, "chown", "-R", user, filepath.Join(l.Dir(), "etc"), filepath.Join(l.Dir(), "run"),
		filepath.Join(l.Dir(), "var"))

	script, err := filepath.Abs("testdata/container.sh")
	if err != nil {
		t.Fatal(err)
	}
	engine := host.Spawn("podman", script, append([]string{l.Dir(), user, "podman"}, args...)...)
	ctl := filepath.Join(bin(t), "vipctl")
	socket := filepath.Join(l.Dir(), "run/vipd/vipd.sock")
	l.Eventually(time.Minute, 100*time.Millisecond, func() (bool, string) {
		if !engine.Running() {
			t.Fatalf("podman ended:\n%s", engine.Output())
		}
		if _, err := os.Stat(socket); err != nil {
			return false, err.Error() + "\n" + engine.Output()
		}
		_, out := host.Run(toolTimeout, ctl, "--socket", socket, "status")
		return strings.Contains(out, " MASTER"), "vipd is MASTER:\n" + out
	})
	if n := len(port.AnswersARP(addrClient, vip, 200*time.Millisecond)); n != 1 {
		t.Errorf("ARP is answered %d times, want once", n)
	}
	pid := processIn(host, "/usr/sbin/vipd")
	if pid == 0 {
		t.Fatal("no process of vipd found")
	}
	holds(t, pid, uid)
	if strings.Contains(engine.Output(), "level=WARN") {
		t.Errorf("it warns:\n%s", engine.Output())
	}

	if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if code := engine.Wait(patience); code != 0 {
		t.Errorf("exit code %d:\n%s", code, engine.Output())
	}
	if host.HasAddress("eth0", vip) || host.ClsactFilters("eth0") != 0 || host.XDPProgram("eth0") != 0 {
		t.Error("an address or a program is left")
	}
}

// holds compares what a process may do and see with docs/howto/container.md.
func holds(t *testing.T, pid, uid int) {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	// BPF, PERFMON, SYS_NICE, NET_RAW, NET_ADMIN.
	const caps = "000000c000803000"
	for _, line := range []string{
		"CapEff:\t" + caps, "CapBnd:\t" + caps, "NoNewPrivs:\t1", fmt.Sprintf("Uid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d", uid),
	} {
		if !strings.Contains(string(status), "\n"+line+"\n") {
			t.Errorf("not %q:\n%s", line, status)
		}
	}
	mounts, err := os.Open(fmt.Sprintf("/proc/%d/mountinfo", pid))
	if err != nil {
		t.Fatal(err)
	}
	defer mounts.Close()
	// What every engine adds is not the host's, or a file of its own.
	engines := []string{"/proc", "/dev", "/sys", "/etc/resolv.conf", "/etc/hosts", "/etc/hostname", "/run/.containerenv"}
	var got []string
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		fields := strings.Fields(lines.Text())
		at, options := fields[4], fields[5]
		own := func(dir string) bool { return at == dir || strings.HasPrefix(at, dir+"/") }
		if slices.ContainsFunc(engines, own) && at != "/sys/fs/bpf" {
			continue
		}
		mode, _, _ := strings.Cut(options, ",")
		got = append(got, at+" "+mode)
	}
	slices.Sort(got)
	want := []string{"/ ro", "/etc/vipd ro", "/run/vipd rw", "/sys/fs/bpf rw", "/var/lib/vipd rw"}
	if !slices.Equal(got, want) {
		t.Errorf("mounts %q, want %q", got, want)
	}
}
