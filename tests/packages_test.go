// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// packages returns the directory with the packages to test (old/ and new/), which make test-packages builds.
func packages(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("VIPD_PACKAGES")
	if dir == "" {
		t.Skip("packages are tested by make test-packages")
	}
	return dir
}

// one returns the only file that matches.
func one(t *testing.T, pattern ...string) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(pattern...))
	if err != nil || len(found) != 1 {
		t.Fatalf("%s: %v %v", filepath.Join(pattern...), found, err)
	}
	return found[0]
}

// machine12 is a minimal Debian 12 with a systemd of its own, in the network namespace of a host.
type machine12 struct {
	*lab.Lab
	host *lab.Host
	root string
	proc *lab.Proc
	pid  string
}

// bootDebian unpacks the base system and boots it on a host.
func bootDebian(t *testing.T, l *lab.Lab, host *lab.Host) *machine12 {
	t.Helper()
	m := &machine12{Lab: l, host: host, root: filepath.Join(l.Dir(), "root-"+host.Name)}
	if err := os.Mkdir(m.root, 0o755); err != nil {
		l.Fatalf("%v", err)
	}
	if out, err := exec.Command("tar", "-C", m.root, "-xf", os.Getenv("VIPD_PACKAGES_ROOT")).CombinedOutput(); err != nil {
		l.Fatalf("unpack the base system: %v\n%s", err, out)
	}
	script, err := filepath.Abs("testdata/boot.sh")
	if err != nil {
		l.Fatalf("%v", err)
	}
	name := l.Name() + "-" + host.Name
	t.Cleanup(func() { removeGroups(t, name) })
	m.proc = host.Spawn("systemd", script, m.root, name)
	t.Cleanup(func() { m.proc.Kill9() }) // and with it, by --kill-child, all that it runs
	l.Eventually(30*time.Second, 50*time.Millisecond, func() (bool, string) {
		if m.pid = processOne(m.proc); m.pid == "" {
			return false, "systemd is process 1: " + m.proc.Output()
		}
		_, out := m.run("systemctl", "is-system-running")
		out = strings.TrimSpace(out)
		return out == "running" || out == "degraded", "systemd runs: " + out
	})
	return m
}

// run runs a command in the machine, in root's home and with the environment of a login.
func (m *machine12) run(args ...string) (int, string) {
	m.Helper()
	inside := []string{
		"-t", m.pid, "-m", "-p", "-u", "-i", "--", "env", "-i", "-C", "/root", "HOME=/root", "TERM=linux", "LANG=C.UTF-8",
		"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
	}
	return m.host.Run(60*time.Second, "nsenter", append(inside, args...)...)
}

func (m *machine12) mustRun(args ...string) string {
	m.Helper()
	code, out := m.run(args...)
	if code != 0 {
		_, log := m.run("systemctl", "status", "vipd")
		m.Fatalf("%s: %s: exit code %d\n%s\n%s", m.host.Name, strings.Join(args, " "), code, out, log)
	}
	return out
}

// put copies a file into the machine.
func (m *machine12) put(from, to string) {
	m.Helper()
	data, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(filepath.Join(m.root, to), data, 0o600)
	}
	if err != nil {
		m.Fatalf("%v", err)
	}
}

// waitState waits until vipctl says so of the only group.
func (m *machine12) waitState(want string) {
	m.Helper()
	m.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
		_, out := m.run("vipctl", "status")
		return strings.Contains(out, " "+want), m.host.Name + " is " + want + ":\n" + out
	})
}

// transitions returns how often this node became MASTER or ceased to be, by its history. A BACKUP that is started again
// has a transition from INIT, which moves nothing.
func (m *machine12) transitions() int {
	m.Helper()
	return strings.Count(m.mustRun("vipctl", "history", "-o", "json"), `"MASTER"`)
}

// twoMachines boots two machines on one segment with a client, and installs the older package from bare. Both find it
// and the new one in root's home.
func twoMachines(t *testing.T, older, newer string) (a, b *machine12, client *lab.Host) {
	t.Helper()
	require(t, needNetNS, needBPF, needSystemd)
	l := lab.New(t)
	lan := l.NewSegment("lan")
	client = l.NewHost("client")
	lan.Join(client, "eth0", addrClient.String()+"/24")
	boot := func(name string, addr netip.Addr) *machine12 {
		host := l.NewHost(name)
		lan.Join(host, "eth0", addr.String()+"/24")
		host.SetUp("lo")
		return bootDebian(t, l, host)
	}
	a, b = boot("a", addrA), boot("b", addrB)
	for i, m := range []*machine12{a, b} {
		m.put(older, "root/old.deb")
		m.put(newer, "root/new.deb")
		out := m.mustRun("dpkg", "-i", "/root/old.deb")
		if !strings.Contains(out, "not started") || !strings.Contains(out, "systemctl enable --now vipd") {
			t.Errorf("the package does not say what to do next:\n%s", out)
		}
		if code, out := m.run("systemctl", "is-active", "vipd"); code == 0 {
			t.Errorf("started without a config: %s", out)
		}
		config := fmt.Sprintf(`[[vip]]
interface = "eth0"
vhid = 1
addresses = ["192.0.2.100/24"]
advbase = 2 # a lease that outlasts a restart on a busy machine
advskew = %d
password_file = "/etc/vipd/eth0-1.key"
`, 100*i)
		for name, text := range map[string]string{"vipd.toml": config, "eth0-1.key": lab.Password + "\n"} {
			if err := os.WriteFile(filepath.Join(m.root, "etc/vipd", name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		m.mustRun("vipctl", "config", "check", "/etc/vipd/vipd.toml")
		m.mustRun("systemctl", "enable", "--now", "vipd")
		m.waitState([]string{"MASTER", "BACKUP"}[i])
	}
	return a, b, client
}

// Install, start, fail over, upgrade, downgrade, remove and purge, on two machines under systemd.
func TestPackagesLive(t *testing.T) {
	dir := packages(t)
	a, b, client := twoMachines(t, one(t, dir, "old", "*.deb"), one(t, dir, "new", "*_"+runtime.GOARCH+".deb"))

	for _, step := range []struct{ name, file string }{
		{"upgrade", "new.deb"},
		{"downgrade", "old.deb"},
		{"upgrade beside a doctor", "new.deb"},
	} {
		stop := func() {}
		if strings.Contains(step.name, "doctor") {
			doctor := a.host.Spawn("doctor", "nsenter", "-t", a.pid, "-m", "-p", "-u", "-i", "--", "vipctl", "doctor")
			stop = func() { doctor.Wait(time.Minute) }
		}
		before := a.transitions() + b.transitions()
		ping := client.Ping(vip, 2*time.Millisecond)
		ping.AwaitAnswer(time.Now(), patience)
		for _, m := range []*machine12{a, b} {
			out := m.mustRun("dpkg", "-i", "/root/"+step.file)
			if strings.Contains(out, "continues") {
				t.Errorf("%s of %s was refused:\n%s", step.name, m.host.Name, out)
			}
		}
		a.waitState("MASTER")
		b.waitState("BACKUP")
		report := ping.Stop()
		stop()
		t.Logf("%s: %s", step.name, report)
		if report.Lost > 0 {
			t.Errorf("%s lost pings: %s", step.name, report)
		}
		if after := a.transitions() + b.transitions(); after != before {
			t.Errorf("%s: %d transitions, were %d", step.name, after, before)
		}
	}

	// A failover, so that what follows is of a package that works.
	a.mustRun("systemctl", "stop", "vipd")
	b.waitState("MASTER")
	a.mustRun("systemctl", "start", "vipd")
	a.waitState("MASTER")

	ping := client.Ping(vip, 10*time.Millisecond)
	ping.AwaitAnswer(time.Now(), patience)
	a.mustRun("dpkg", "-r", "vipd")
	b.waitState("MASTER")
	t.Logf("remove: %s", ping.Stop())
	if id := a.host.XDPProgram("eth0"); id != 0 {
		t.Errorf("program %d is still attached", id)
	}
	if n := a.host.ClsactFilters("eth0"); n != 0 {
		t.Errorf("%d filters are left", n)
	}
	if a.host.HasAddress("eth0", vip) {
		t.Error("the address is left")
	}
	// The kernel's own files are there in every bpffs.
	if out := a.mustRun("find", "/sys/fs/bpf", "-mindepth", "1", "-not", "-name", "*.debug"); out != "" {
		t.Errorf("pins are left:\n%s", out)
	}
	// vipd-handover.service has no process, refuses to be stopped by hand, and is gone at the next boot.
	units := "systemctl list-units --plain --no-legend 'vipd*' | grep -v handover || true"
	if out := a.mustRun("sh", "-c", units); out != "" {
		t.Errorf("units are left:\n%s", out)
	}
	if out := a.mustRun("ls", "/etc/vipd"); !strings.Contains(out, "vipd.toml\n") {
		t.Errorf("the operator's config is gone:\n%s", out)
	}
	a.mustRun("dpkg", "--purge", "vipd")
	if code, out := a.run("ls", "-A", "/var/lib/vipd"); code == 0 {
		t.Errorf("state is left: %s", out)
	}
	left := a.mustRun("sh", "-c", "find / -xdev \\( -name 'vipd*' -o -name 'vipctl*' \\) -not -path '/root/*' "+
		"-not -path '/etc/vipd*' -not -path '/proc/*'")
	if left != "" {
		t.Errorf("left over:\n%s", left)
	}
}

// The packages, by the tools of their own world.
func TestPackageFiles(t *testing.T) {
	dir := packages(t)
	for _, arch := range []string{"amd64", "arm64"} {
		deb := one(t, dir, "new", "*_"+arch+".deb")
		out, err := exec.Command("lintian", "--fail-on", "error", "--no-tag-display-limit", deb).CombinedOutput()
		t.Logf("lintian %s:\n%s", filepath.Base(deb), out)
		if err != nil {
			t.Errorf("lintian: %v", err)
		}
	}
	for _, arch := range []string{"x86_64", "aarch64"} {
		rpm := one(t, dir, "new", "*."+arch+".rpm")
		for _, args := range [][]string{{"-K", "--nosignature", rpm}, {"-qpi", rpm}, {"-qp", "--scripts", rpm}} {
			if out, err := exec.Command("rpm", args...).CombinedOutput(); err != nil {
				t.Errorf("rpm %v: %v\n%s", args, err, out)
			}
		}
		files, err := exec.Command("rpm", "-qpl", rpm).Output()
		if err != nil || !strings.Contains(string(files), "/usr/sbin/vipd\n") {
			t.Errorf("%v\n%s", err, files)
		}
	}
}
