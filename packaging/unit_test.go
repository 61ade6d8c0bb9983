// SPDX-License-Identifier: Apache-2.0

package packaging

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"vipd/agent/config"
	"vipd/tests/executable"
	"vipd/tests/needs"
)

// exposure is the highest rating that `systemd-analyze security` may give, in tenths: a looser unit
// must be intended.
const exposure = "27"

// install runs the script of make install with stub binaries.
func install(t *testing.T, env ...string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"vipd": "", "vipctl": `echo "$*"`} {
		executable.Script(t, filepath.Join(dir, name), text)
	}
	cmd := exec.CommandContext(t.Context(), "./install.sh", dir)
	cmd.Env = append(os.Environ(), env...)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// TestInstall proves that every file is where the unit and its users look for it, and nowhere else.
func TestInstall(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	install(t, "DESTDIR="+dest, "PREFIX=/usr", "SYSCONFDIR=/etc")
	var got []string
	err := filepath.WalkDir(dest, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			fi, err := d.Info()
			if err != nil {
				return err
			}
			got = append(got, strings.TrimPrefix(path, dest)+" "+fi.Mode().String())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		"/usr/sbin/vipd -rwxr-xr-x", "/usr/bin/vipctl -rwxr-xr-x",
		"/usr/lib/systemd/system/vipd.service -rw-r--r--", "/usr/lib/systemd/system/vipd-handover.service -rw-r--r--",
		"/usr/lib/systemd/system/vipd-commands.socket -rw-r--r--",
		"/usr/lib/systemd/system/vipd-commands.service -rw-r--r--",
		"/usr/lib/sysusers.d/vipd.conf -rw-r--r--",
		"/usr/share/doc/vipd/vipd.toml -rw-r--r--",
		"/usr/share/bash-completion/completions/vipctl -rw-r--r--",
		"/usr/share/fish/vendor_completions.d/vipctl.fish -rw-r--r--",
		"/usr/share/vipd/hooks/conntrackd -rwxr-xr-x",
		"/usr/share/vipd/hooks/cloud-route -rwxr-xr-x",
		"/usr/share/vipd/hooks/radvd -rwxr-xr-x",
	} {
		if !slices.Contains(got, want) {
			t.Errorf("no %s in\n%s", want, strings.Join(got, "\n"))
		}
	}
	for _, path := range got {
		if strings.HasPrefix(path, "/etc/") {
			t.Errorf("install wrote %s, which belongs to the operator", path)
		}
	}
	socket, err := os.ReadFile(dest + "/usr/lib/systemd/system/vipd-commands.socket")
	if err != nil {
		t.Fatal(err)
	}
	helper, err := os.ReadFile(dest + "/usr/lib/systemd/system/vipd-commands.service")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(helper), "\nExecStart=/usr/sbin/vipd --run-commands --config "+config.DefaultPath+"\n") {
		t.Errorf("the helper's unit is\n%s", helper)
	}
	_, path, _ := strings.Cut(string(socket), "\nListenStream=")
	path, _, _ = strings.Cut(path, "\n")
	// The unit names what is there, and the paths that the config has by default.
	unit, err := os.ReadFile(dest + "/usr/lib/systemd/system/vipd.service")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^Exec\w+=(\S+)`).FindAllSubmatch(unit, -1) {
		if _, err := os.Stat(dest + string(m[1])); err != nil {
			t.Errorf("the unit runs a program that is not installed: %v", err)
		}
	}
	def := config.Default()
	for _, want := range []string{
		"\nExecStart=/usr/sbin/vipd --config " + config.DefaultPath + "\n", "\nAssertPathExists=" + config.DefaultPath + "\n",
		"\nRuntimeDirectory=" + strings.TrimPrefix(def.Node.RuntimeDir, "/run/") + "\n",
		"\nStateDirectory=" + strings.TrimPrefix(def.Node.StateDir, "/var/lib/") + "\n",
		"\nEnvironment=VIPD_COMMANDS=" + path + "\n", "\nRestartPreventExitStatus=2\n",
		"\nReadWritePaths=" + filepath.Dir(def.Node.BPFDir) + "\n",
	} {
		if !strings.Contains(string(unit), want) {
			t.Errorf("the unit lacks %q", want)
		}
	}
	if fi, err := os.Stat(dest + "/etc/vipd"); err != nil || !fi.IsDir() {
		t.Errorf("no directory for the config: %v", err)
	}
}

// TestInstallAgain proves that a second install replaces vipd's files and keeps the operator's.
func TestInstallAgain(t *testing.T) {
	t.Parallel()
	dest := t.TempDir()
	install(t, "DESTDIR="+dest, "PREFIX=/opt/x", "SYSCONFDIR=/opt/etc")
	conf, unit := dest+"/opt/etc/vipd/vipd.toml", dest+"/opt/x/lib/systemd/system/vipd.service"
	if err := os.WriteFile(conf, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	install(t, "DESTDIR="+dest, "PREFIX=/opt/x", "SYSCONFDIR=/opt/etc")
	if data, err := os.ReadFile(conf); err != nil || string(data) != "mine" {
		t.Errorf("the config is %q now, %v", data, err)
	}
	data, err := os.ReadFile(unit)
	if err != nil || !strings.Contains(string(data), "\nExecStart=/opt/x/sbin/vipd --config /opt/etc/vipd/vipd.toml\n") {
		t.Errorf("the unit is %v\n%s", err, data)
	}
}

func TestUnitIsVerified(t *testing.T) {
	t.Parallel()
	analyze := needs.Program(t, "systemd-analyze")
	prefix, etc := t.TempDir(), t.TempDir()
	install(t, "DESTDIR=", "PREFIX="+prefix, "SYSCONFDIR="+etc)
	units := prefix + "/lib/systemd/system/"
	unit := units + "vipd.service"
	args := []string{"verify", "--man=no", unit}
	for _, name := range []string{"vipd-commands.socket", "vipd-commands.service", "vipd-handover.service"} {
		args = append(args, units+name)
	}
	out, err := exec.CommandContext(t.Context(), analyze, args...).CombinedOutput()
	if err != nil || strings.Contains(string(out), "vipd") {
		t.Errorf("%v\n%s", err, out)
	}
	// The witness: it reports an unknown key.
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	broken := strings.Replace(string(text), "WatchdogSec=10s", "WatchdogSecs=10s", 1)
	if err := os.WriteFile(unit, []byte(broken), 0o600); err != nil {
		t.Fatal(err)
	}
	out, _ = exec.CommandContext(t.Context(), analyze, "verify", "--man=no", unit).CombinedOutput()
	if !strings.Contains(string(out), "WatchdogSecs") {
		t.Errorf("an unknown key is not reported:\n%s", out)
	}
}

func TestUnitExposure(t *testing.T) {
	t.Parallel()
	args := []string{"security", "--offline=true", "--threshold=" + exposure, "vipd.service"}
	out, err := exec.CommandContext(t.Context(), needs.Program(t, "systemd-analyze"), args...).CombinedOutput()
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	t.Log(lines[len(lines)-1])
	if err != nil {
		t.Errorf("%v: more exposed than %s tenths\n%s", err, exposure, out)
	}
}
