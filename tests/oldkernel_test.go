// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"strings"
	"testing"
	"time"

	"vipd/tests/lab"

	"golang.org/x/sys/unix"
)

// On a kernel below the floor vipd does not start, says which one it needs, and leaves nothing behind. Only the machine
// that VM_KERNEL=debian11 boots has one.
func TestOldKernelIsRefused(t *testing.T) {
	require(t, needVM)
	var uts unix.Utsname
	if err := unix.Uname(&uts); err != nil {
		t.Fatal(err)
	}
	release := unix.ByteSliceToString(uts.Release[:])
	if !strings.HasPrefix(release, "5.10.") {
		t.Fatalf("this is Linux %s: run it with VM_KERNEL=debian11 make test-vm", release)
	}
	nics, err := lab.NICs(vmNIC)
	if err != nil || len(nics) == 0 {
		t.Fatalf("NICs %v, %v", nics, err)
	}
	l := lab.New(t)
	h := l.NewHost("a")
	h.TakeNIC(nics[0], "eth0", addrA.String()+"/24")
	n := h.NewNode(bin(t), oneVIP(0))
	p := n.Launch()
	code := p.Wait(2 * time.Minute)
	t.Logf("exit code %d:\n%s", code, p.Output())
	if code != 1 || !strings.Contains(p.Output(), "boot Linux 5.15 or newer") || !strings.Contains(p.Output(), release) {
		t.Errorf("exit code %d, want 1 and a sentence about the kernel", code)
	}
	if receives(t, n.Host, "eth0") || n.ClsactFilters("eth0") != 0 || n.HasAddress("eth0", vip) {
		t.Error("something is left on the interface")
	}
}
