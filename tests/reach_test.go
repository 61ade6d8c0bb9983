// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"net"
	"net/netip"
	"testing"

	"vipd/tests/lab"
)

// A program on a BACKUP that connects to the VIP reaches the MASTER, over both families, and so it is the other way
// round after they have changed places: the fence takes no packet from a host's own address, and the answer for the VIP
// comes from the virtual MAC.
func TestBackupReachesTheMaster(t *testing.T) {
	t.Parallel()
	p := newPairWith(t, []string{"/24", "/64"}, dualStack(0), dualStack(10))
	p.startNaturally()
	reaches := func(backup, master *lab.Node) {
		t.Helper()
		for _, addr := range []netip.Addr{vip, vip6} {
			if got := hello(t, backup.Host, master.Host, addr); got != master.Name {
				t.Errorf("%s connects to %v and reaches %q, want %s", backup.Name, addr, got, master.Name)
			}
			if got, want := backup.Neighbour("eth0", addr), net.HardwareAddr(vmac[:]).String(); got != want {
				t.Errorf("%s has %v at %s, want %s", backup.Name, addr, got, want)
			}
		}
	}
	reaches(p.b, p.a)
	p.a.MustCTL("yield", group)
	p.b.WaitAnswering(group, patience)
	p.a.WaitState(group, lab.Backup, patience)
	reaches(p.a, p.b)
}

// hello has a server on one host, at an address of that one, tell its host's name to a client on another.
func hello(t *testing.T, from, at *lab.Host, addr netip.Addr) (name string) {
	t.Helper()
	var listener net.Listener
	if err := at.Within(func() (err error) {
		listener, err = net.Listen("tcp", netip.AddrPortFrom(addr, 0).String())
		return err
	}); err != nil {
		t.Fatalf("listen on %v at %s: %v", addr, at.Name, err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			fmt.Fprintln(c, at.Name)
			c.Close()
		}
	}()
	if err := from.Within(func() error {
		c, err := net.DialTimeout("tcp", listener.Addr().String(), patience)
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = fmt.Fscanln(c, &name)
		return err
	}); err != nil {
		t.Errorf("%s connects to %v: %v", from.Name, addr, err)
	}
	return name
}
