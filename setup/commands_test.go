// SPDX-License-Identifier: Apache-2.0

package setup

import (
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// elsewhere lists commands that no package of the list needs to provide, with the reason.
var elsewhere = map[string]string{
	"apt-get":                "setup.sh reports its absence: it is what installs the packages",
	"apt-cache":              "as apt-get",
	"apt-config":             "as apt-get",
	"debconf-set-selections": "as apt-get",
	"dpkg":                   "as apt-get",
	"sudo":                   "only for a user who is not root; setup.sh reports its absence",
	"golangci-lint":          "built by make lint",
	"demo":                   "built by make demo and by its test",
	"conntrackd":             "packaging/hooks_test.go puts a stub into PATH",
	"cpio":                   "tests/vm.sh installs it, with qemu",
	"xz":                     "tests/vm.sh installs it, for the kernel of the backports",
	"debootstrap":            "tests/fresh.sh and tests/packages.sh install it",
	"lintian":                "tests/packages.sh installs it",
	"qemu-aarch64-static":    "tests/packages.sh installs it",
	"rpm":                    "tests/packages.sh installs it",
	"systemd-sysusers":       "of systemd, which vipd's packages are for",
	"no-such-program":        "tests/needs: a need that is not met",
}

// dynamic lists the places where the name of the program is known only at run time, with the commands it can be.
var dynamic = map[string]string{
	"agent/checks/http_bench_test.go Command(os.Args[...])": "", // the test binary itself
	"packaging/hooks_test.go CommandContext(...)":           "", // the hooks, which are read themselves
	"tests/hog_test.go Command(program)":                    "", // the test binary itself
	"tests/lab/proc.go Command(program)":                    "", // compared with the list when it runs
	"tests/needs/needs.go LookPath(name)":                   "", // needs.Program, whose callers are read
	"tests/require_test.go LookPath(string(...))": "ucarp tcpdump promtool keepalived tshark " +
		"chromium setpriv strace",
	"agent/sim/planted_test.go CommandContext(test)": "", // the test binary that it has built
	"tests/vm/init/main.go CommandContext(program)":  "", // test binaries, in the machine of tests/vm.sh
	"vipctl/completion_test.go Program(tt.shell)":    "bash zsh fish",
	"vipctl/completion_test.go CommandContext(path)": "bash zsh fish",
}

// started returns the files that start each command, for tests, scripts, hooks and the Makefile.
func started(t *testing.T, root string) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	err := filepath.WalkDir(root, func(file string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			if slices.Contains([]string{".git", "bin", "docs"}, d.Name()) {
				return filepath.SkipDir
			}
			return nil
		}
		name, err := filepath.Rel(root, file)
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		commands, unknown, err := commandsOf(name, string(data))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, u := range unknown {
			known, ok := dynamic[name+" "+u]
			if !ok {
				t.Errorf("%s: the program in %s is not known before it runs: "+
					"name it literally, or say in the table \"dynamic\" of this test which commands it can be", name, u)
			}
			commands = append(commands, strings.Fields(known)...)
		}
		for _, c := range commands {
			if !slices.Contains(all[c], name) {
				all[c] = append(all[c], name)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// commandsOf returns the commands that a file of the tree starts. It skips product code, whose commands the operator
// names.
func commandsOf(name, text string) (commands, unknown []string, err error) {
	switch {
	case strings.HasSuffix(name, ".go"):
		if strings.HasPrefix(name, "setup/") || !strings.HasPrefix(name, "tests/") && !strings.HasSuffix(name, "_test.go") {
			return nil, nil, nil
		}
		return goCommands(name, text)
	case path.Base(name) == "Makefile":
		commands, err = makeCommands(text)
	case strings.HasPrefix(text, "#!/") && !strings.Contains(name, "testdata/ucarp/"): // that is imported, never run
		commands, err = shellCommands(text)
	}
	return commands, nil, err
}

// lacking returns a complaint for each command that no package provides.
func lacking(packages map[string]string, all map[string][]string) []string {
	var complaints []string
	for _, command := range slices.Sorted(maps.Keys(all)) {
		if elsewhere[command] != "" || strings.HasSuffix(command, ".sh") { // a script of the tree, which is read itself
			continue
		}
		if err := check(packages, command); err != nil {
			complaints = append(complaints, strings.Join(all[command], ", ")+": "+err.Error())
		}
	}
	return complaints
}

func TestSetUpInstallsEveryCommandThatTestsStart(t *testing.T) {
	packages, err := Packages()
	if err != nil {
		t.Fatal(err)
	}
	all := started(t, "..")
	for _, complaint := range lacking(packages, all) {
		t.Error(complaint)
	}
	if t.Failed() {
		return
	}

	// The witness: whatever is taken out of the list is missed, wherever it is started.
	if all["ping"] == nil || all["ip"] == nil {
		t.Error("the tests start neither ping nor ip: is the search broken?")
	}
	for command := range all {
		if packages[command] == "" {
			continue
		}
		without := maps.Clone(packages)
		delete(without, command)
		if got := lacking(without, all); len(got) != 1 || !strings.Contains(got[0], ": "+command+" is started") {
			t.Errorf("without %s in the list: %q", command, got)
		}
	}
}

func TestCommandsAreFound(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"x_test.go", `package x; func f() { h.MustRun(time.Second, "ping", "-c", "3") }`, "ping"},
		{"x_test.go", `package x; func f() { exec.Command("/usr/bin/curl") }`, "curl"},
		{"x_test.go", `package x; const tool = "dig"; func f() { h.Spawn("name", tool) }`, "dig"},
		{"x_test.go", `package x; func f() { p, err := exec.LookPath("nmap"); exec.Command(p) }`, "nmap nmap"},
		{"x_test.go", `package x; func f() { h.Run(d, "timeout", "5", "socat", "-") }`, "timeout socat"},
		{
			"x_test.go",
			`package x; func f() { h.Run(d, "sh", "-c", fmt.Sprintf("cd %s && arping -c 1 x | tee y", dir)) }`,
			"sh arping tee",
		},
		{
			"x_test.go",
			`package x; func f() { h.Run(d, "setpriv", "--reuid=1", "unshare", "--mount", "--", "mkfs", "x") }`,
			"setpriv unshare mkfs",
		},
		{"x_test.go", `package x; var s = "#!/bin/sh\n" + "vtysh -c " + arg + "\n"`, "vtysh"},
		{
			"x_test.go",
			`package x; func f() { run := func(args ...string) { exec.Command(args[0], args[1:]...) }; run("mkfs", "x") }`,
			"mkfs",
		},
		{
			"x_test.go",
			`package x; func must(d time.Duration, args ...string) { exec.Command(args[0]) }; func f() { must(1, "nmap") }`,
			"nmap",
		},
		{
			"x_test.go",
			`package x; func run(args ...string) { exec.Command(args[0]) }
func f() { for _, c := range [][]string{{"mke2fs", x}, {"dd"}} { run(c...) } }`,
			"mke2fs dd",
		},
		{"x_test.go", `package x; func f() { t.Run("name", func(t *testing.T) {}) }`, ""},
		{"agent/x.go", `package x; func f() { exec.Command("uptime") }`, ""},
		{
			"a.sh",
			"#!/bin/bash\nf() { \"$@\"; }\nif ! f dmesg -w; then x=$(uname) && A=b exec perl; fi\n" +
				"for i in a; do $i lsof; done\n",
			"dmesg uname perl",
		},
		{"a.sh", "#!/bin/sh\ncommand -v socat >/dev/null || echo 'no curl'\n", "socat"},
		{
			"Makefile",
			"T ?= python3\nX := $(shell id -u)\nall: b\n\t@$(T) x | jq '$$y' > $@\n\t$(if $(X),,) tests/a.sh && $(MAKE) b\n",
			"id python3 jq a.sh make",
		},
	} {
		commands, unknown, err := commandsOf(tt.name, tt.text)
		if got := strings.Join(commands, " "); err != nil || got != tt.want || unknown != nil {
			t.Errorf("%s: %q, unknown %q, %v; want %q", tt.text, got, unknown, err, tt.want)
		}
	}
	_, unknown, err := commandsOf("x_test.go", `package x; func f() { exec.Command(os.Args[1]) }`)
	if err != nil || len(unknown) != 1 {
		t.Errorf("a name known only at run time: %q, %v", unknown, err)
	}
}

func TestCheck(t *testing.T) {
	for command, ok := range map[string]bool{
		"ping": true, "/usr/bin/ping": true, "vipd": true, "/tmp/bin/script": true,
		"no-such-program": false, "/usr/sbin/no-such-program": false, "": false,
	} {
		if err := Check(command); (err == nil) != ok {
			t.Errorf("%q: %v", command, err)
		}
	}
}

func TestListIsRefused(t *testing.T) {
	for _, text := range []string{"ping", "iputils-ping:", "two words: x", "a: x\nb: x"} {
		if packages, err := parse(text); err == nil {
			t.Errorf("%q is accepted as %v", text, packages)
		}
	}
}
