// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/cilium/ebpf/link"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// linkPinOf is where a link is pinned.
func linkPinOf(a *adoptable, ifindex int, hook string) string {
	return filepath.Join(a.o.Dir, object.LayoutDir, fmt.Sprintf("link-%d-%s", ifindex, hook))
}

// programOf is the id of the program in a pinned link.
func (a *adoptable) programOf(hook string) uint32 {
	a.t.Helper()
	l, err := link.LoadPinnedLink(linkPinOf(a, a.ours.Attrs().Index, hook), nil)
	if err != nil {
		a.t.Fatal(err)
	}
	defer l.Close()
	return uint32(kerneltest.Must(l.Info()).Program)
}

// With Defer a data plane is adopted under the programs that are there: groups go on, change and come, all on the same
// maps, and Exchange replaces the programs in their links.
func TestExchange(t *testing.T) {
	kerneltest.RequireTCX(t)
	a := newAdoptable(t, "loader-exchange", false)
	index := a.ours.Attrs().Index
	far := kerneltest.PacketSocket(t, a.peer)
	a.die()

	a.o.Defer = true
	refuse, aside := error(nil), 0
	a.o.Aside = func(work func() error) error {
		aside++
		if refuse != nil {
			return refuse
		}
		return work()
	}
	a.open()
	if aside != 0 {
		t.Errorf("%d loads before the exchange", aside)
	}
	xdp, egress := a.programOf("xdp"), a.programOf("egress")
	if !a.d.Pending() || !a.d.Inherited(index) || a.d.Inherited(index+1000) {
		t.Errorf("pending %v, inherited %v and %v", a.d.Pending(), a.d.Inherited(index), a.d.Inherited(index+1000))
	}
	one, two := a.specs()
	var err error
	if a.one, err = a.d.AddGroup(one); err != nil {
		t.Fatal(err)
	}
	if a.two, err = a.d.AddGroup(two); err != nil {
		t.Fatal(err)
	}
	if now := a.programOf("xdp"); now != xdp {
		t.Errorf("program %d runs, was %d: nothing was to be loaded yet", now, xdp)
	}
	answered := func(what, addr string) {
		t.Helper()
		far.Send(model.ARPFor(addr).Bytes())
		if far.Receive(kerneltest.IsARP, 5*time.Second) == nil {
			t.Errorf("%s: no answer for %s", what, addr)
		}
	}
	answered("under the old programs", "192.0.2.1")
	// What the agent changes meanwhile is seen by them.
	a.two.SetRole(
		tables.Role{
			State:      tables.RoleMaster,
			Generation: 9,
			Lease:      model.BootNow() + int64(time.Minute),
			SendUntil:  model.BootNow() + int64(time.Minute),
		},
	)
	answered("a new role under the old programs", "192.0.2.50")

	refuse = errors.New("no thread")
	if err := a.d.Exchange(); !errors.Is(err, refuse) || aside != 1 || !a.d.Pending() || a.programOf("xdp") != xdp {
		t.Errorf("refused: %v after %d loads, pending %v", err, aside, a.d.Pending())
	}
	refuse = nil
	if err := a.d.Exchange(); err != nil {
		t.Fatal(err)
	}
	if aside < 2 || a.d.Pending() || a.programOf("xdp") == xdp || a.programOf("egress") == egress {
		t.Error("the programs were not exchanged")
	}
	answered("under the new programs", "192.0.2.1")
	answered("under the new programs", "192.0.2.50")
	if err := a.d.Exchange(); err != nil {
		t.Errorf("again: %v", err)
	}
	if at, err := a.d.Attach(index, "ours", attach.ModeGeneric); err != nil || at.Mode != attach.ModeGeneric ||
		at.Egress != attach.EgressTCX {
		t.Errorf("attach: %+v, %v", at, err)
	}
	if _, err := a.d.DropUnclaimed(); err != nil {
		t.Error(err)
	}
}

// A stop before the exchange leaves nothing.
func TestRemoveBeforeExchange(t *testing.T) {
	for _, clsact := range []bool{false, true} {
		name := "loader-rmexch"
		if clsact {
			name += "cls"
		} else {
			kerneltest.RequireTCX(t)
		}
		t.Run(name, func(t *testing.T) {
			a := newAdoptable(t, name, clsact)
			a.die()
			a.o.Defer = true
			a.open()
			if err := a.d.Remove(); err != nil {
				t.Error(err)
			}
			kerneltest.WaitFor(t, func() bool { return a.detached() && !exists(a.o.Dir) })
			if err := a.d.Exchange(); err != nil && !errors.Is(err, object.ErrClosed) {
				t.Errorf("after Remove: %v", err)
			}
		})
	}
}
