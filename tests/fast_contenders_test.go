// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net/netip"
	"syscall"
	"time"

	"vipd/tests/lab"
)

// fastVIPD is vipd in fast mode.
type fastVIPD struct{ *pair }

func (fastVIPD) address() netip.Addr { return vip }

func (f fastVIPD) start() (master, backup *lab.Proc) {
	f.startNaturally()
	return f.a.Proc(), f.b.Proc()
}

func (f fastVIPD) kill() time.Time { return f.a.Kill9() }

func (f fastVIPD) taken() { f.b.WaitAnswering(group, patience) }

func (f fastVIPD) back() {
	f.a.Start()
	f.a.WaitAnswering(group, patience)
	f.b.WaitFor(group, "is BACKUP and hears a", patience, hearsMaster)
}

func (fastVIPD) end() {} // the hogs come next

const (
	// With 255 an instance would own the address, and lower priorities wait longer.
	fastKeepalivedMaster, fastKeepalivedBackup = 254, 253

	fastKeepalivedAddress = "192.0.2.101"
)

// fastKeepalived is keepalived with the shortest interval that VRRPv3 has.
type fastKeepalived struct {
	*pair
	master, backup *lab.Proc
}

func (*fastKeepalived) address() netip.Addr { return netip.MustParseAddr(fastKeepalivedAddress) }

func (f *fastKeepalived) start() (master, backup *lab.Proc) {
	f.master = f.run(f.a, fastKeepalivedMaster)
	f.await(f.master, lab.Master)
	f.backup = f.run(f.b, fastKeepalivedBackup)
	f.await(f.backup, lab.Backup)
	return f.master, f.backup
}

func (*fastKeepalived) run(n *lab.Node, priority int) *lab.Proc {
	return n.StartKeepalived(lab.VRRP{
		Name: "fast", Version: 3, VRID: vhid, Priority: priority, AdvertInt: "0.01",
		Addresses: []string{fastKeepalivedAddress + "/32"},
	})
}

func (f *fastKeepalived) await(p *lab.Proc, state string) {
	f.Helper()
	f.Eventually(patience, 10*time.Millisecond, func() (bool, string) {
		states := lab.KeepalivedStates(p, "fast")
		return len(states) > 0 && states[len(states)-1] == state, fmt.Sprintf("%s is %s\n%s", p.Name, state, p.Output())
	})
}

// kill removes the address too: a killed keepalived leaves it, and the kernel goes on answering.
func (f *fastKeepalived) kill() time.Time {
	at := f.master.Kill9()
	f.a.DelAddress("eth0", fastKeepalivedAddress+"/32")
	return at
}

func (f *fastKeepalived) taken() { f.await(f.backup, lab.Master) }

func (f *fastKeepalived) back() {
	f.master = f.run(f.a, fastKeepalivedMaster)
	f.await(f.master, lab.Master)
	f.await(f.backup, lab.Backup)
}

func (f *fastKeepalived) end() {
	for _, p := range []*lab.Proc{f.master, f.backup} {
		p.Signal(syscall.SIGTERM)
		p.Wait(patience)
	}
}
