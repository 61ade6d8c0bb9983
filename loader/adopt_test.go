// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// adoptable is an interface with a MASTER (vhid 1, dual stack) and a BACKUP (vhid 2).
type adoptable struct {
	t          *testing.T
	o          Options
	ours, peer netlink.Link
	d          *Dataplane
	one, two   *tables.Group
	evacuated  []tables.LeftVIP
}

func newAdoptable(t *testing.T, ns string, clsact bool) *adoptable {
	t.Helper()
	ours, peer := kerneltest.Pair(t, ns)
	a := &adoptable{t: t, ours: ours, peer: peer}
	a.o = Options{Dir: kerneltest.TestDir(), MaxGroups: 8, MaxVIPs: 16, Adopt: true, ForceClsact: clsact}
	a.o.Evacuate = func(left []tables.LeftVIP) { a.evacuated = append(a.evacuated, left...) }
	a.start()
	t.Cleanup(func() {
		if err := a.d.Remove(); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(a.o.Dir); err == nil {
			t.Errorf("%s is left", a.o.Dir)
		}
		if !a.detached() {
			t.Errorf("left attached: %s", kerneltest.Left(t, ours))
		}
	})
	a.one.SetRole(tables.Role{State: tables.RoleMaster, Generation: 7, Lease: model.BootNow() + 60e9})
	a.one.SetSentPriority(tables.Priority{AdvBase: 1, AdvSkew: 5})
	a.one.SetSequence(4711)
	a.two.SetRole(tables.Role{State: tables.RoleBackup, Generation: 3})
	return a
}

// detached says whether nothing of ours runs. A clsact qdisc of which is not known any
// more who made it has to stay; it is empty.
func (a *adoptable) detached() bool {
	a.t.Helper()
	got := kerneltest.Left(a.t, a.ours)
	return got == "" || (a.o.ForceClsact || !kerneltest.HaveTCX()) && got == "clsact"
}

func (a *adoptable) specs() (one, two tables.GroupSpec) {
	one, two = model.GoldenSpec(model.DualVIPs()...), model.GoldenSpec("192.0.2.50")
	one.IfIndex, two.IfIndex, two.VHID = a.ours.Attrs().Index, a.ours.Attrs().Index, 2
	return one, two
}

// open starts a daemon's data plane, start also claims everything.
func (a *adoptable) open() {
	a.t.Helper()
	d, err := Open(a.o)
	if err != nil {
		a.t.Fatal(err)
	}
	a.d = d
}

func (a *adoptable) start() {
	a.t.Helper()
	a.open()
	a.claim()
}

func (a *adoptable) claim() {
	a.t.Helper()
	if _, err := a.d.Attach(a.ours.Attrs().Index, "ours", attach.ModeGeneric); err != nil {
		a.t.Fatal(err)
	}
	one, two := a.specs()
	var err error
	if a.one, err = a.d.AddGroup(one); err != nil {
		a.t.Fatal(err)
	}
	if a.two, err = a.d.AddGroup(two); err != nil {
		a.t.Fatal(err)
	}
}

func (a *adoptable) die() {
	a.t.Helper()
	if err := a.d.Close(); err != nil {
		a.t.Fatal(err)
	}
}

func TestAdopt(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		ns, sits := "loader-adopt", "xdp tcx"
		if clsact {
			ns, sits = "loader-adoptcls", "xdp clsact filter"
		}
		t.Run(ns, func(t *testing.T) {
			if !clsact {
				kerneltest.RequireTCX(t)
			}
			a := newAdoptable(t, ns, clsact)
			far := kerneltest.PacketSocket(t, a.peer)
			far.Send(model.ARPFor("192.0.2.1").Bytes())
			if far.Receive(kerneltest.IsARP, 5*time.Second) == nil {
				t.Fatal("no answer")
			}
			far.Send(model.FrameOf(model.DualAdvert(1, 9, 0, 70))) // worse
			time.Sleep(50 * time.Millisecond)
			before, err := a.one.Stats()
			if err != nil || before.Received != 1 {
				t.Fatalf("%+v, %v", before, err)
			}
			slot, seen := a.one.Slot(), kerneltest.Must(a.one.Seen())
			vipStats := kerneltest.Must(a.one.VIPStats())
			program := kerneltest.Must(a.d.objs.VipdXdp.Info())
			var role object.BPFRole
			if err := a.d.objs.Roles.Lookup(slot, &role); err != nil {
				t.Fatal(err)
			}
			lease := int64(role.Lease)
			a.die()

			a.open()
			pinned := a.d.Pinned()
			index := a.ours.Attrs().Index
			if len(pinned) != 2 {
				t.Fatalf("pinned %+v", pinned)
			}
			if p := pinned[0]; p.IfIndex != index || p.VHID != 1 ||
				p.Role != (tables.Role{State: tables.RoleMaster, Generation: 7, Lease: lease}) ||
				p.SentPriority != (tables.Priority{AdvBase: 1, AdvSkew: 5}) ||
				p.Number != 4711 || p.Seen != seen ||
				!slices.Equal(p.VIPs, []netip.Addr{netip.MustParseAddr("192.0.2.1"), model.VIP6}) {
				t.Errorf("pinned %+v", p)
			}
			if p := pinned[1]; p.VHID != 2 || p.Role.State != tables.RoleBackup || p.Role.Generation != 3 || p.Seen.Count != 0 {
				t.Errorf("pinned %+v", p)
			}
			if u := a.d.Unclaimed(); len(u) != 3 {
				t.Errorf("unclaimed %+v", u)
			}
			// The event that the dead daemon did not read.
			evs, err := a.d.Drain(nil)
			if err != nil || len(evs) != 1 || evs[0].Counter != 70 {
				t.Errorf("events %+v, %v", evs, err)
			}
			next := kerneltest.Must(kerneltest.Must(a.d.objs.XDP(false)).Info())
			oldID, _ := program.ID()
			newID, _ := next.ID()
			l, err := netlink.LinkByIndex(index)
			if err != nil || l.Attrs().Xdp.ProgId != uint32(newID) || newID == oldID {
				t.Errorf("program %d runs, want %d in the place of %d (%v)", l.Attrs().Xdp.ProgId, newID, oldID, err)
			}
			if got := kerneltest.Left(t, a.ours); got != sits {
				t.Errorf("attached: %s, want %s", got, sits)
			}

			at, err := a.d.Attach(index, "ours", attach.ModeGeneric)
			if err != nil || at.Mode != attach.ModeGeneric ||
				at.Egress != map[bool]string{false: attach.EgressTCX, true: attach.EgressClsact}[clsact] {
				t.Errorf("attach: %+v, %v", at, err)
			}
			one, _ := a.specs()
			if a.one, err = a.d.AddGroup(one); err != nil {
				t.Fatal(err)
			}
			if _, err := a.d.AddGroup(one); !errors.Is(err, tables.ErrExists) {
				t.Errorf("twice: %v", err)
			}
			if a.one.Slot() != slot || a.one.Generation() != 7 {
				t.Errorf("slot %d, generation %d", a.one.Slot(), a.one.Generation())
			}
			after := kerneltest.Must(a.one.Stats())
			if after.Received != before.Received || !slices.Equal(after.Contexts, before.Contexts) ||
				kerneltest.Must(a.one.Seen()) != seen {
				t.Errorf("counters %+v, before %+v", after, before)
			}
			if got := kerneltest.Must(a.one.VIPStats()); got.Of(one.VIPs[0]) != vipStats.Of(one.VIPs[0]) ||
				got.Of(one.VIPs[0]).ARPReplies != 1 {
				t.Errorf("counters of the addresses %+v, before %+v", got, vipStats)
			}
			if ans, err := a.one.Answering(model.BootNow()); err != nil || !ans {
				t.Errorf("answering %v, %v", ans, err)
			}

			// Another group takes neither slot of the two.
			three := model.GoldenSpec("192.0.2.60")
			three.IfIndex, three.VHID = index, 3
			g, err := a.d.AddGroup(three)
			if err != nil || g.Slot() == slot || g.Slot() == 1 {
				t.Fatalf("slot %d, %v", g.Slot(), err)
			}
			want := []tables.LeftVIP{{IfIndex: index, Addr: netip.MustParseAddr("192.0.2.50"), VHID: 2}}
			if u := a.d.Unclaimed(); !slices.Equal(u, want) {
				t.Errorf("unclaimed %+v", u)
			}
			if u, err := a.d.DropUnclaimed(); err != nil || !slices.Equal(u, want) {
				t.Errorf("dropped %+v, %v", u, err)
			}
			if u, err := a.d.DropUnclaimed(); err != nil || len(u) != 0 || len(a.d.Pinned()) != 0 {
				t.Errorf("again: %+v, %v", u, err)
			}
			if len(a.evacuated) != 0 {
				t.Errorf("evacuated %+v", a.evacuated)
			}
			if got := kerneltest.Left(t, a.ours); got != sits {
				t.Errorf("attached: %s, want %s", got, sits)
			}
		})
	}
}

// TestAdoptUnderLoad: daemons come and go while a host asks for the VIP. Every request
// is answered, and nothing leaves for the other group at any time.
func TestAdoptUnderLoad(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		ns := map[bool]string{false: "loader-load", true: "loader-loadcls"}[clsact]
		t.Run(ns, func(t *testing.T) {
			a := newAdoptable(t, ns, clsact)
			far, near := kerneltest.PacketSocket(t, a.peer), kerneltest.PacketSocket(t, a.ours)
			var stop atomic.Bool
			var asked, lost, leaked int
			var wg sync.WaitGroup
			speech := model.ARP{
				DstMAC: model.BroadcastMAC,
				SrcMAC: model.NICMAC,
				Op:     1,
				SHA:    model.NICMAC,
				SIP:    "192.0.2.50",
				TIP:    "192.0.2.2",
			}.Bytes()
			wg.Go(func() {
				for !stop.Load() {
					near.Send(speech)
					// Numbered by the asker's address, so that a late answer is not taken for the next.
					ask := model.ARPFor("192.0.2.1")
					ask.SIP = netip.AddrFrom4([4]byte{10, 0, byte(asked >> 8), byte(asked)}).String()
					asked++
					far.Send(ask.Bytes())
					if far.Receive(func(f []byte) bool {
						if kerneltest.IsARP(f) && bytes.Equal(f[28:32], []byte{192, 0, 2, 50}) {
							leaked++
						}
						return kerneltest.IsARP(f) && bytes.Equal(f[38:42], netip.MustParseAddr(ask.SIP).AsSlice())
					}, 2*time.Second) == nil {
						lost++
					}
				}
			})
			for range 8 {
				a.die()
				a.start()
				if _, err := a.d.DropUnclaimed(); err != nil {
					t.Error(err)
				}
			}
			stop.Store(true)
			wg.Wait()
			if lost > 0 || leaked > 0 || asked < 50 {
				t.Errorf("asked %d times, %d not answered; %d frames of a BACKUP left", asked, lost, leaked)
			}
			t.Logf("asked %d times", asked)
			if r := a.one.Generation(); r != 7 {
				t.Errorf("generation %d", r)
			}
		})
	}
}

// TestAdoptYield: what the kernel decided while nobody watched stands.
func TestAdoptYield(t *testing.T) {
	a := newAdoptable(t, "loader-adoptyield", false)
	a.die()
	far := kerneltest.PacketSocket(t, a.peer)
	far.Send(model.FrameOf(model.DualAdvert(1, 0, 0, 70))) // superior
	time.Sleep(50 * time.Millisecond)
	a.open()
	p := a.d.Pinned()
	if len(p) != 2 || p[0].Seen.YieldedGeneration != 7 || !p[0].Seen.Yielded || p[0].Role.Generation != 7 {
		t.Errorf("pinned %+v", p)
	}
	a.claim()
	if ans, err := a.one.Answering(model.BootNow()); err != nil || ans {
		t.Errorf("answering %v, %v", ans, err)
	}
}

// What the dead daemon knew, the next one does not: nothing is withheld from it until it says so.
func TestAdoptedGroupIsToldEverything(t *testing.T) {
	kerneltest.RequireTCX(t)
	a := newAdoptable(t, "loader-adoptheard", false)
	permitted := func() [2]uint64 {
		var role object.BPFRole
		if err := a.d.objs.Roles.Lookup(a.two.Slot(), &role); err != nil {
			t.Fatal(err)
		}
		return role.Settled
	}
	a.two.Withhold([2]int64{5, 6})
	if got := permitted(); got != [2]uint64{5, 6} {
		t.Fatalf("permitted %v", got)
	}
	a.die()
	a.start()
	if got := permitted(); got != [2]uint64{} {
		t.Errorf("permitted after adoption: %v", got)
	}
}
