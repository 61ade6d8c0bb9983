// SPDX-License-Identifier: Apache-2.0

package loop

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"vipd/agent/election"
	"vipd/loader"
)

func pinnedMaster(lease time.Duration) loader.PinnedGroup {
	return loader.PinnedGroup{
		IfIndex: 10, VHID: 1,
		Role:         loader.Role{State: loader.RoleMaster, Generation: 7, Lease: startTime + int64(lease)},
		SentPriority: loader.Priority{AdvBase: 1},
		VIPs:         []netip.Addr{netip.MustParseAddr("192.0.2.100")},
	}
}

// Design I1: within the lease the role goes on, the same generation, and an advert
// goes out at once. Nothing is taken off in between.
func TestAdoptionWithinTheLease(t *testing.T) {
	b := newBenchWith(t, []loader.PinnedGroup{pinnedMaster(2 * time.Second)}, testGroup("eth0", 1, "192.0.2.100/24"))
	b.expect("attach eth0 10", "plug 10@1")
	b.pass(0)
	b.expect(
		"record sent 10@1", "advert 1/0 from 192.0.2.11",
		"role 10@1 MASTER generation 7 lease 2.97s", "renew 192.0.2.100 on 10",
	)
}

// The numbers of an adopted group go on even if the files with them are lost.
func TestAdoptionContinuesTheNumbers(t *testing.T) {
	const sent = 1_800_000_000_000_000 // those of the bench begin at a second
	p := pinnedMaster(2 * time.Second)
	p.Number = sent
	b := newBenchWith(t, []loader.PinnedGroup{p}, testGroup("eth0", 1, "192.0.2.100/24"))
	b.pass(0)
	if got := b.sequence.Last(); got <= sent {
		t.Errorf("the first advert has the number %d, and an earlier vipd sent %d", got, sent)
	}
}

func TestAdoptionPastTheLease(t *testing.T) {
	b := newBenchWith(t, []loader.PinnedGroup{pinnedMaster(-time.Second)}, testGroup("eth0", 1, "192.0.2.100/24"))
	b.expect(
		"attach eth0 10", "plug 10@1", "role 10@1 BACKUP generation 7 lease none",
		"del virtual mac", "del route 192.0.2.0/24", "del 192.0.2.100 from 10",
	)
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	b.pass(3 * time.Second)
	if v := b.group("eth0@1").machine.View(); v.State != election.Master || v.Generation != 8 {
		t.Errorf("%s in generation %d, want MASTER in 8: above what was pinned", v.State, v.Generation)
	}
}

// The kernel yielded while nobody watched: the role is lost, whatever the lease.
func TestAdoptionOfAYieldedRole(t *testing.T) {
	p := pinnedMaster(2 * time.Second)
	p.Seen.YieldedGeneration = 7
	b := newBenchWith(t, []loader.PinnedGroup{p}, testGroup("eth0", 1, "192.0.2.100/24"))
	b.expectState("eth0@1", election.Backup, election.ReasonStartup)
	if len(b.group("eth0@1").onHost.addresses) != 0 {
		t.Error("addresses left on the host")
	}
}

// A vipd that was killed after it took its role back, and before it took all addresses off, leaves them on the host of
// a BACKUP: the next one removes them, and nothing where none are.
func TestAdoptionOfABackupWithAddresses(t *testing.T) {
	for _, role := range []uint8{loader.RoleBackup, loader.RoleInit} {
		for _, left := range []string{"addresses", "local routes", "nothing"} {
			for _, number := range []int{250, 300} {
				many := spaced(number)
				p := pinnedMaster(0)
				p.Role, p.VIPs = loader.Role{State: role, Generation: 7}, nil
				for _, a := range many {
					p.VIPs = append(p.VIPs, netip.MustParsePrefix(a).Addr())
				}
				was := earlier{pins: []loader.PinnedGroup{p}, taking: left != "nothing", routed: left == "local routes"}
				b := newBenchAfter(t, was, testGroup("eth0", 1, many...))
				b.rounds()
				if n := len(b.vips) + len(b.local); n != 0 {
					t.Errorf("role %d with %s of %d VIPs: %d are left on the host of a BACKUP", role, left, number, n)
				}
				b.expectState("eth0@1", election.Backup, election.ReasonStartup)
				log := b.drain()
				if i := slices.IndexFunc(log, isRemoval); left == "nothing" && i >= 0 {
					t.Errorf("role %d, %d VIPs: %s", role, number, log[i])
				}
			}
		}
	}
}

func isRemoval(line string) bool { return strings.HasPrefix(line, "del ") }

// An address that the new config has no more comes off before its fence goes.
func TestAdoptionWithAnotherAddressList(t *testing.T) {
	b := newBenchWith(t, []loader.PinnedGroup{pinnedMaster(2 * time.Second)}, testGroup("eth0", 1, "192.0.2.101/24"))
	b.expect("del 192.0.2.100 from 10", "attach eth0 10", "plug 10@1")
	b.expectState("eth0@1", election.Master, election.ReasonStartup)
}
