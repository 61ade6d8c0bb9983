// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"vipd/tests/lab"
	"vipd/tests/needs"
)

// need is something of the machine that a test cannot do without.
type need string

const (
	needNetNS      need = "netns"
	needBPF        need = "bpf"
	needUCARP      need = "ucarp"
	needTCPDump    need = "tcpdump"
	needSystemd    need = "systemd"
	needSetpriv    need = "setpriv"
	needStrace     need = "strace"
	needPromtool   need = "promtool"
	needKeepalived need = "keepalived"
	needTShark     need = "tshark"
	needChromium   need = "chromium"
	needGo         need = "go"
	needAxe        need = "axe" // axe-core's script, which tests/setup.sh fetches
	needVM         need = "vm"  // the machine of tests/vm.sh
	needBond       need = "bond"
)

// missing says why the machine does not have it; nil when it does.
func (n need) missing() error {
	switch n {
	case needNetNS:
		return lab.NetNSAllowed()
	case needBPF:
		if os.Geteuid() != 0 {
			return fmt.Errorf("needs root for BPF")
		}
		_, err := os.Stat("/sys/kernel/btf/vmlinux")
		return err
	case needSystemd:
		_, err := os.Stat("/lib/systemd/systemd")
		return err
	case needSetpriv, needStrace, needUCARP, needTCPDump, needPromtool, needKeepalived, needTShark, needChromium, needGo:
		_, err := exec.LookPath(string(n))
		return err
	case needAxe:
		_, err := os.Stat(axeScript())
		return err
	case needBond:
		return lab.BondsAllowed()
	case needVM:
		if nics, err := lab.NICs(vmNIC); err != nil || len(nics) == 0 {
			return fmt.Errorf("not the machine that tests/vm.sh boots (make test-vm)")
		}
		return nil
	default:
		return fmt.Errorf("no such need: %q", n)
	}
}

// require skips the test that needs what the machine does not have, or fails it where that is promised.
func require(t testing.TB, all ...need) {
	t.Helper()
	for _, n := range all {
		needs.Met(t, string(n), n.missing())
	}
}

// binaries is the directory with vipd and vipctl: VIPD_BIN, or one built here, once for all tests.
var binaries = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("VIPD_BIN"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.MkdirTemp("", "vipd-bin-")
	if err != nil {
		return "", err
	}
	for _, name := range []string{"vipd", "vipctl"} {
		cmd := exec.Command("go", "build", "-trimpath", "-o", filepath.Join(dir, name), "../cmd/"+name)
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			return dir, fmt.Errorf("build %s: %w\n%s", name, err, out)
		}
	}
	return dir, nil
})

func bin(t testing.TB) string {
	t.Helper()
	dir, err := binaries()
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestMain(m *testing.M) {
	os.Exit(run(m))
}

func run(m *testing.M) int {
	if kind, ok := os.LookupEnv(hogVar); ok {
		return hog(kind)
	}
	swept, err := lab.Sweep()
	for _, path := range swept {
		fmt.Fprintln(os.Stderr, "removed what an earlier run left:", path)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	code := m.Run()
	if os.Getenv("VIPD_BIN") == "" {
		if dir, _ := binaries(); dir != "" { // a failed build has failed the tests already
			_ = os.RemoveAll(dir) // a directory of ours in the temporary directory
		}
	}
	if left := lab.Leftovers(); len(left) > 0 && code == 0 {
		fmt.Fprintln(os.Stderr, "the tests left behind:", left)
		return 1
	}
	return code
}
