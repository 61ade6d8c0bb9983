// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"
)

// quickStart returns the commands of README.md's quick start without the comments beside them, and what the last one
// prints.
func quickStart(t *testing.T) (commands, printed []string) {
	t.Helper()
	page, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "\n## Quick start\n")
	for line := range strings.Lines(section) {
		line, ours := strings.CutPrefix(line, "    ")
		line = strings.TrimSpace(line)
		switch {
		case !ours && len(commands) > 0:
			return commands, printed
		case !ours:
		case slices.Contains(commands, "vipctl status"):
			printed = append(printed, line)
		default:
			command, _, _ := strings.Cut(line, " # ")
			commands = append(commands, strings.TrimSpace(command))
		}
	}
	t.Fatal("README.md ends in its quick start")
	return nil, nil
}

// TestQuickStart types README.md's quick start on a terminal of a minimal Debian 12 that has the .deb and nothing else:
// three commands, which ask nothing, make a MASTER within a minute, and its client gets answers.
func TestQuickStart(t *testing.T) {
	dir := packages(t)
	require(t, needNetNS, needBPF, needSystemd)
	commands, printed := quickStart(t)
	if len(commands) != 4 {
		t.Fatalf("README.md has %q, want three commands and vipctl status", commands)
	}
	l := lab.New(t)
	lan := l.NewSegment("lan")
	client, host := l.NewHost("client"), l.NewHost("fw1")
	lan.Join(client, "eth0", addrClient.String()+"/24")
	lan.Join(host, "eth0", addrA.String()+"/24")
	host.SetUp("lo")
	m := bootDebian(t, l, host)
	deb := one(t, dir, "new", "*_"+runtime.GOARCH+".deb")
	m.put(deb, filepath.Join("root", filepath.Base(deb)))

	typed := func(command string) string {
		command = strings.ReplaceAll(command, "_amd64", "_"+runtime.GOARCH)
		at := time.Now()
		// The terminal's input is at its end: a question would fail.
		out := onPaper(m.mustRun("script", "--quiet", "--return", "--command", command, "/dev/null"))
		t.Logf("%s # %.1f s\n%s", command, time.Since(at).Seconds(), out)
		return out
	}
	began := time.Now()
	for _, command := range commands[:3] {
		typed(command)
	}
	early := client.Ping(vip, 10*time.Millisecond)
	answered := early.AwaitAnswer(began, patience)
	early.Stop()
	t.Logf("the client has an answer %.1f s after the first command began", answered.Sub(began).Seconds())
	if took := answered.Sub(began); took > time.Minute {
		t.Errorf("it took %v", took)
	}
	m.waitState("MASTER")
	ping := client.Ping(vip, 2*time.Millisecond)
	out := typed(commands[3])
	got, want := strings.Fields(out), strings.Fields(strings.Join(printed, " "))
	if len(want) == 0 || !slices.Equal(got[:min(len(got), len(want))], want) {
		t.Errorf("vipctl status prints\n%s\nand README.md says\n%s", out, strings.Join(printed, "\n"))
	}
	for name, mode := range map[string]os.FileMode{"vipd.toml": 0o644, "eth0-1.key": 0o600} {
		if info, err := os.Stat(filepath.Join(m.root, "etc/vipd", name)); err != nil || info.Mode() != mode {
			t.Errorf("/etc/vipd/%s: %v, %v, want mode %v", name, info, err, mode)
		}
	}
	ping.AwaitAnswer(time.Now().Add(time.Second), patience)
	if report := ping.Stop(); report.Lost > 0 {
		t.Errorf("the client: %s", report)
	} else {
		t.Logf("the client: %s", report)
	}
}

// onPaper returns what a terminal shows, without colours and without what was overwritten.
func onPaper(out string) string {
	var b strings.Builder
	for line := range strings.Lines(colours.ReplaceAllString(out, "")) {
		line = strings.TrimRight(line, "\r\n")
		b.WriteString(line[strings.LastIndex(line, "\r")+1:] + "\n")
	}
	return b.String()
}

var colours = regexp.MustCompile(`\x1b\[[0-9;]*[a-zA-Z]`)
