// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// The passwords are in no output of the daemon or the command, whatever goes wrong: not as they are, nor in hex or
// base64.
func TestPasswordsAreInNoOutput(t *testing.T) {
	t.Parallel()
	const old, fresh, long = "sesame-open-old", "hunter2-zanzibar", "much-too-long-for-a-carp-password"
	c := withHook(t, oneVIP(0), "", "env | sort; set; echo done")
	c.Groups[0].Password = old
	s := newSingle(t, c)
	c.Groups[0].Extra += fmt.Sprintf("[[vip.accept]]\npassword = %q\n", fresh)
	s.node.WriteConfig(c)
	host, dir := s.node.Host, filepath.Dir(s.node.ConfigFile())
	proc := host.Spawn("vipd", filepath.Join(bin(t), "vipd"), "--config", s.node.ConfigFile(), "--log-level", "debug")
	said := map[string]string{}
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		_, err := s.node.TryStatus()
		return err == nil, "vipd answers"
	})
	s.node.WaitAnswering(group, patience)
	s.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		return strings.Contains(s.node.MustCTL("history", "-o", "json"),
			"VIPD_GENERATION=1"), "the hook has printed its environment"
	})
	run := func(args ...string) {
		t.Helper()
		_, out := s.node.CTL(args...)
		if out == "" {
			t.Errorf("vipctl %v says nothing", args)
		}
		said["vipctl "+strings.Join(args, " ")] = out
	}
	run("status", "-o", "json")
	run("status", "-o", "wide")
	run("show", group)
	run("why", group)
	run("history", "-o", "json")
	run("demotion", "list")
	run("doctor")
	run("reload")
	// The passwords change places, which the reload reports, and one of them is not valid.
	c.Groups[0].Password, c.Groups[0].Extra = fresh, strings.ReplaceAll(c.Groups[0].Extra, fresh, old)
	s.node.WriteConfig(c)
	run("plan", s.node.ConfigFile())
	run("reload")
	bad := filepath.Join(dir, "bad.toml")
	text, err := os.ReadFile(s.node.ConfigFile())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bad, []byte(strings.Replace(string(text), old, long, 1)+"\npassword = 7 # "+fresh+"\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	run("config", "check", bad)
	run("plan", bad)
	if err := os.WriteFile(s.node.KeyFile("eth0", 1), []byte(long+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	run("reload")
	_, said["vipd --check"] = s.node.VIPD("--config", bad, "--check")
	said["metrics"] = s.node.Metrics()
	for _, name := range []string{"cmdline", "environ"} {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", proc.PID(), name))
		if err != nil {
			t.Fatal(err)
		}
		said[name] = string(data)
	}
	proc.Signal(15)
	proc.Wait(patience)
	said["the log"] = proc.Output()
	err = filepath.WalkDir(s.node.StateDir(), func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			data, err := os.ReadFile(path)
			said[path] = string(data)
			return err
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range said {
		for _, secret := range []string{old, fresh, long} {
			for form, s := range map[string]string{
				"":           secret,
				" in hex":    hex.EncodeToString([]byte(secret)),
				" in base64": base64.StdEncoding.EncodeToString([]byte(secret))[:16],
			} {
				if strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
					t.Errorf("%s has a password%s:\n%s", name, form, text)
				}
			}
		}
	}
	// The controls: the log says much, the refusals say why, and this would find a password.
	if !strings.Contains(said["the log"], "level=DEBUG") || !strings.Contains(said["vipctl reload"], "bytes long") ||
		!strings.Contains(said["vipctl config check "+bad], "password") || !strings.Contains(string(text), fresh+`"`) &&
		!strings.Contains(string(text), old) {
		t.Errorf("the test proves nothing: %s\n%s", said["vipctl reload"], said["vipctl config check "+bad])
	}
}
