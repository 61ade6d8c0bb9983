// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rpmArch is this machine's architecture in the names of rpm.
func rpmArch(t *testing.T) string {
	t.Helper()
	out, err := exec.Command("uname", "-m").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(out))
}

// complains reports whether rpm or a script prints more than Debian's note that rpm is not its package manager.
func complains(out string) bool {
	return strings.Contains(out, "error") || strings.Contains(out, "warning") || strings.Contains(out, "vipd: ")
}

// TestRpm installs, verifies, upgrades and removes the .rpm by rpm itself, which runs the scripts of the package, in a
// root with a shell and systemd but no running system. (TestPackagesLive tests the same scripts in one that runs.)
func TestRpm(t *testing.T) {
	dir := packages(t)
	require(t, needNetNS) // root
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("tar", "-C", root, "-xf", os.Getenv("VIPD_PACKAGES_ROOT")).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	rpm := func(args ...string) (string, error) {
		args = append([]string{"--root", root, "--dbpath", "/var/lib/rpm"}, args...)
		out, err := exec.Command("rpm", args...).CombinedOutput()
		return string(out), err
	}
	must := func(args ...string) string {
		t.Helper()
		out, err := rpm(args...)
		if err != nil {
			t.Fatalf("rpm %v: %v\n%s", args, err, out)
		}
		return out
	}
	in := func(name string) string { return filepath.Join(root, name) }
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(in(name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	verified := func(want string) {
		t.Helper()
		// It fails if something differs, which is compared here.
		if out, _ := rpm("-V", "--nodeps", "vipd"); strings.TrimSpace(out) != want {
			t.Errorf("rpm -V: %q, want %q", out, want)
		}
	}

	must("--initdb")
	older := one(t, dir, "old", "*."+rpmArch(t)+".rpm")
	newer := one(t, dir, "new", "*."+rpmArch(t)+".rpm")
	if out := must("-i", "--nodeps", older); !strings.Contains(out, "Creating group 'vipd'") || complains(out) {
		t.Errorf("the installation prints %q", out)
	}
	verified("")
	if group, err := os.ReadFile(in("etc/group")); err != nil || !strings.Contains(string(group), "\nvipd:") {
		t.Errorf("the script after the installation did not make the group vipd: %v", err)
	}
	out, err := exec.Command("chroot", root, "vipd", "--version").CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "vipd 0.0.9 (") {
		t.Errorf("vipd --version: %v, %q", err, out)
	}

	write("etc/vipd/vipd.toml", "# the operator's\n")
	write("etc/vipd/vipd.toml.example", "# changed by the operator\n")
	verified("S.5....T.  c /etc/vipd/vipd.toml.example")
	if out := must("-U", "--nodeps", newer); complains(out) {
		t.Errorf("the upgrade prints %q", out)
	}
	if out := must("-q", "vipd"); strings.Contains(out, "0.0.9") || strings.Count(out, "\n") != 1 {
		t.Errorf("after the upgrade there is %q", out)
	}
	text, err := os.ReadFile(in("etc/vipd/vipd.toml.example"))
	if err != nil || !strings.HasPrefix(string(text), "# changed") {
		t.Errorf("the upgrade replaced a changed config: %v, %.80q", err, text)
	}

	if err := os.MkdirAll(in("run/vipd"), 0o755); err != nil {
		t.Fatal(err)
	}
	if out := must("-e", "vipd"); strings.Contains(out, "error") {
		t.Errorf("the removal prints %q", out)
	}
	var left []string
	err = filepath.WalkDir(root, func(path string, _ os.DirEntry, err error) error {
		if name := filepath.Base(path); strings.HasPrefix(name, "vipd") || strings.HasPrefix(name, "vipctl") {
			left = append(left, strings.TrimPrefix(path, root))
		}
		return err
	})
	// The config is the operator's, and rpm keeps the example since it was changed.
	if got := strings.Join(left, " "); err != nil ||
		got != "/etc/vipd /etc/vipd/vipd.toml /etc/vipd/vipd.toml.example.rpmsave" {
		t.Errorf("left: %v, %s", err, got)
	}
}
