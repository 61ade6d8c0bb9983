// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"vipd/tests/lab"
)

// What vipctl makes of a running ucarp's command line is a node that understands that ucarp, and follows it.
func TestImportedUCARPIsUnderstood(t *testing.T) {
	t.Parallel()
	u := newUCARPPair(t, lab.NodeConfig{}, lab.UCARP{VHID: 42, Password: "it's a 'secret'", AdvSkew: 10, NoMcast: true})
	u.startUCARP()
	u.waitUCARP(lab.Master, patience)

	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", u.peer.PID()))
	if err != nil {
		t.Fatal(err)
	}
	var line string
	for word := range strings.SplitSeq(strings.TrimRight(string(cmdline), "\x00"), "\x00") {
		line += "'" + strings.ReplaceAll(word, "'", `'\''`) + "' "
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "rc.local")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"+line+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	toml := filepath.Join(dir, "vipd.toml")
	n := u.node
	code, out := n.Run(toolTimeout, "/bin/sh", "-c",
		fmt.Sprintf("%s/vipctl import ucarp --write-keys --key-dir %s %s > %s", bin(t), dir, script, toml))
	if code != 0 || strings.Contains(out, "secret") {
		t.Fatalf("import: exit code %d\n%s", code, out)
	}
	imported, err := os.ReadFile(toml)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(imported), "secret") {
		t.Errorf("the password is in the config:\n%s", imported)
	}
	text := fmt.Sprintf(`[node]
state_dir = %q
runtime_dir = %q
bpf_dir = %q
[control]
socket = %q
group = ""
[http]
listen = ""
%s`,
		n.StateDir(), n.RuntimeDir(), n.BPFDir(), n.Socket(), imported)
	n.WriteRawConfig(text)
	if code, out := n.CTL("config", "check", n.ConfigFile()); code != 0 {
		t.Fatalf("config check: exit code %d\n%s\n%s", code, out, text)
	}
	n.Start()
	g := n.WaitFor("eth0@42", "hears the ucarp", patience, func(g lab.GroupStatus) bool {
		return g.State == lab.Backup && g.Master != nil && g.Master.Address == addrB.String()
	})
	for reason, count := range g.Counters.Rejected {
		if count > 0 {
			t.Errorf("%d adverts rejected as %s", count, reason)
		}
	}
	u.peer.Kill9()
	n.WaitAnswering("eth0@42", patience)
}
