// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"vipd/tests/executable"
	"vipd/tests/lab"
)

// nobody owns nothing on this machine.
const nobody = 64317

// Not root, with the capabilities of docs/howto/install.md and directories of its own: vipd becomes MASTER, answers,
// reloads and stops without a trace.
func TestRunsWithoutRoot(t *testing.T) {
	require(t, needSetpriv)
	t.Parallel()
	s := newSingle(t, oneVIP(0))
	built := bin(t)
	wrapped := filepath.Join(s.Dir(), "bin")
	if err := os.Mkdir(wrapped, 0o755); err != nil {
		t.Fatal(err)
	}
	const caps = "-all,+net_admin,+net_raw,+bpf,+perfmon"
	// A bpffs of its own stands for the one whose directory root made for it.
	script := fmt.Sprintf(
		`exec unshare --mount -- sh -euc '
mount --make-rprivate /
mount -t bpf bpf /sys/fs/bpf
mkdir %[1]s
chown %[2]d %[1]s
chmod 711 /sys/fs/bpf
exec setpriv --reuid=%[2]d --regid=%[2]d --clear-groups --no-new-privs \
	--inh-caps=%[3]s --ambient-caps=%[3]s --bounding-set=%[3]s -- "$@"' sh %[4]s "$@"
`,
		s.node.BPFDir(),
		nobody,
		caps,
		filepath.Join(s.Dir(), "real"),
	)
	executable.Script(t, filepath.Join(wrapped, "vipd"), script)
	data, err := os.ReadFile(filepath.Join(built, "vipd")) // where nobody may read it, wherever the build is
	if err != nil {
		t.Fatal(err)
	}
	executable.Write(t, filepath.Join(s.Dir(), "real"), data)
	if err := os.Symlink(filepath.Join(built, "vipctl"), filepath.Join(wrapped, "vipctl")); err != nil {
		t.Fatal(err)
	}
	s.node = s.node.NewNode(wrapped, oneVIP(0))
	dir := filepath.Dir(s.node.ConfigFile())
	for _, path := range []string{dir, s.node.ConfigFile(), s.node.KeyFile("eth0", 1)} {
		if err := os.Chown(path, nobody, nobody); err != nil {
			t.Fatal(err)
		}
	}
	s.startMaster()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.node.Proc().PID()))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(status), fmt.Sprintf("\nUid:\t%[1]d\t%[1]d\t%[1]d\t%[1]d\n", nobody)) ||
		!strings.Contains(string(status), "\nCapEff:\t000000c000003000\n") {
		t.Errorf("it has more than it needs:\n%s", status)
	}
	if n := len(s.clientPort.AnswersARP(addrClient, vip, 200*time.Millisecond)); n != 1 {
		t.Errorf("ARP is answered %d times, want once", n)
	}
	s.node.MustCTL("reload")
	s.node.MustCTL("maintenance", "enter")
	if st := s.node.Status(); !st.Maintenance {
		t.Error("not in maintenance")
	}
	s.node.MustCTL("maintenance", "leave")
	s.node.WaitState(group, lab.Master, patience)
	s.node.Stop()
	if receives(t, s.node.Host, "eth0") {
		t.Error("a program is still attached")
	}
	if s.node.HasAddress("eth0", vip) {
		t.Error("the address is still there")
	}
}
