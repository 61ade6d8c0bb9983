// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// TestPackageOfArm64 runs what needs no kernel of the .deb for arm64: the versions, the examples, and the check of
// each. vipd itself loads programs, which make test-vm does with VM_ARCH=arm64.
func TestPackageOfArm64(t *testing.T) {
	dir := packages(t)
	root := t.TempDir()
	deb := one(t, dir, "new", "*_arm64.deb")
	if out, err := exec.Command("dpkg", "-x", deb, root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	run := func(program string, args ...string) string {
		t.Helper()
		cmd := exec.Command("qemu-aarch64-static", append([]string{filepath.Join(root, program)}, args...)...)
		var problems strings.Builder
		cmd.Stderr = &problems
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%s %q: %v\n%s%s", program, args, err, out, problems.String())
		}
		return string(out)
	}
	version, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(deb), "vipd_"), "-1_")
	for program, args := range map[string][]string{"usr/bin/vipctl": {"version"}, "usr/sbin/vipd": {"--version"}} {
		want := filepath.Base(program) + " " + version + " ("
		if out := run(program, args...); !strings.HasPrefix(out, want) {
			t.Errorf("%s: %q, want %q", program, out, want)
		}
	}
	key := regexp.MustCompile(`"(/etc/vipd/([^"]*\.key))"`)
	examples := strings.Fields("two-nodes pfsense active-active")
	if list := run("usr/bin/vipctl", "config", "example"); strings.Count(list, "\n") < len(examples) {
		t.Errorf("examples:\n%s", list)
	}
	for _, name := range examples {
		text := run("usr/bin/vipctl", "config", "example", name)
		keys := key.FindAllStringSubmatch(text, -1)
		if len(keys) == 0 {
			t.Errorf("%s has no key:\n%s", name, text)
		}
		for _, m := range keys {
			if err := os.WriteFile(filepath.Join(root, m[2]), []byte("secret\n"), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		path := filepath.Join(root, name+".toml")
		if err := os.WriteFile(path, []byte(key.ReplaceAllString(text, `"`+root+`/$2"`)), 0o600); err != nil {
			t.Fatal(err)
		}
		if out := run("usr/sbin/vipd", "--config", path, "--check"); !strings.HasPrefix(out, path+": ok, ") {
			t.Errorf("%s: %q", name, out)
		}
	}
}
