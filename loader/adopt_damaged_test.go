// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"github.com/vishvananda/netlink"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
)

// TestAdoptRefused: what cannot be adopted is removed, addresses first, and the start
// succeeds; so does the one after it.
func TestAdoptRefused(t *testing.T) {
	pin := func(a *adoptable, name string) string { return a.o.Dir + "/" + object.LayoutDir + "/" + name }
	replace := func(a *adoptable, name string, s *ebpf.MapSpec) {
		m := kerneltest.Must(ebpf.NewMap(s))
		if err := errors.Join(os.Remove(pin(a, name)), m.Pin(pin(a, name)), m.Close()); err != nil {
			a.t.Fatal(err)
		}
	}
	tiny := &ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}
	for i, tc := range []struct {
		name  string
		wreck func(a *adoptable)
		blind bool // which addresses were fenced cannot be told any more
	}{
		{"a map is missing", func(a *adoptable) { _ = os.Remove(pin(a, "seen")) }, false},
		{"roles are something else", func(a *adoptable) { replace(a, "roles", tiny) }, false},
		{"addresses are something else", func(a *adoptable) { replace(a, "vips", tiny) }, true},
		{"interfaces are something else", func(a *adoptable) { replace(a, "ifaces", tiny) }, false},
		{"a link is a map", func(a *adoptable) {
			m := kerneltest.Must(ebpf.NewMap(tiny))
			name := pin(a, fmt.Sprintf("link-%d-xdp", a.ours.Attrs().Index))
			if err := errors.Join(os.Remove(name), m.Pin(name), m.Close()); err != nil {
				a.t.Fatal(err)
			}
		}, false},
		{"another layout", func(a *adoptable) {
			m := kerneltest.Must(ebpf.LoadPinnedMap(pin(a, "meta"), nil))
			if err := errors.Join(m.Put(uint32(0), object.BPFMeta{Layout: 99}), m.Close()); err != nil {
				a.t.Fatal(err)
			}
		}, false},
		{"another layout's directory", func(a *adoptable) {
			if err := os.Rename(a.o.Dir+"/"+object.LayoutDir, a.o.Dir+"/v1"); err != nil {
				a.t.Fatal(err)
			}
		}, false},
		{"too few slots for the config", func(a *adoptable) { a.o.Groups, a.o.MaxGroups = 9, 9 }, false},
		{"too few slots for its addresses", func(a *adoptable) { a.o.VIPs, a.o.MaxVIPs = 17, 17 }, false},
		{"a map was cut short", func(a *adoptable) {
			m := kerneltest.Must(ebpf.LoadPinnedMap(pin(a, "seen"), nil))
			short := &ebpf.MapSpec{
				Type:       m.Type(),
				KeySize:    m.KeySize(),
				ValueSize:  m.ValueSize(),
				MaxEntries: m.MaxEntries() - 1,
				Flags:      m.Flags(),
			}
			_ = m.Close()
			replace(a, "seen", short)
		}, false},
		{"an empty directory", func(a *adoptable) {
			dir := a.o.Dir + "/" + object.LayoutDir
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
				a.t.Fatal(err)
			}
		}, true},
		{"an empty directory, clsact", func(a *adoptable) {
			dir := a.o.Dir + "/" + object.LayoutDir
			if err := errors.Join(os.RemoveAll(dir), os.Mkdir(dir, 0o700)); err != nil {
				a.t.Fatal(err)
			}
		}, true},
		{"a map in the place of the directory", func(a *adoptable) {
			dir := a.o.Dir + "/" + object.LayoutDir
			m := kerneltest.Must(ebpf.NewMap(tiny))
			if err := errors.Join(os.RemoveAll(dir), m.Pin(dir), m.Close()); err != nil {
				a.t.Fatal(err)
			}
		}, true},
		{"two groups on a slot", func(a *adoptable) {
			m := kerneltest.Must(ebpf.LoadPinnedMap(pin(a, "groups"), nil))
			key := object.BPFGroupKey{Ifindex: uint32(a.ours.Attrs().Index), Vhid: 9}
			if err := errors.Join(m.Put(key, object.BPFGroupVal{Slot: 0}), m.Close()); err != nil {
				a.t.Fatal(err)
			}
		}, false},
		{"an address of nobody", func(a *adoptable) {
			m := kerneltest.Must(ebpf.LoadPinnedMap(pin(a, "vips"), nil))
			key := object.BPFVipKey{Ifindex: uint32(a.ours.Attrs().Index), Addr: netip.MustParseAddr("192.0.2.50").As16()}
			if err := errors.Join(m.Put(key, object.BPFVipVal{Group: 7, Vip: 5, Vhid: 2}), m.Close()); err != nil {
				a.t.Fatal(err)
			}
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAdoptable(t, fmt.Sprint("loader-refuse", i), strings.Contains(tc.name, "clsact"))
			a.die()
			if err := CanAdopt(a.o); err != nil {
				t.Errorf("before: cannot adopt: %v", err)
			}
			tc.wreck(a)
			// It does not read what the maps say.
			unseen := []string{"a link is a map", "two groups on a slot", "an address of nobody"}
			if err := CanAdopt(a.o); (err == nil) != slices.Contains(unseen, tc.name) {
				t.Errorf("can adopt: %v", err)
			}
			var log bytes.Buffer
			a.o.Log = slog.New(slog.NewTextHandler(&log, nil))
			a.open()
			a.o.Log = nil
			if p := a.d.Pinned(); len(p) != 0 {
				t.Errorf("pinned %+v", p)
			}
			if n := strings.Count(log.String(), "cannot adopt what an earlier vipd left, starting clean"); n != 1 {
				t.Errorf("%d lines say that it starts clean, want one:\n%s", n, log.String())
			}
			kerneltest.WaitFor(t, func() bool { return a.detached() }) // an unpinned link goes in its own time
			if (len(a.evacuated) == 3) == tc.blind {
				t.Errorf("evacuated %+v", a.evacuated)
			}
			a.claim()
			if g := a.one.Generation(); g != 0 {
				t.Errorf("generation %d", g)
			}
			a.die()
			tc.wreck(a)
			_, _ = Cleanup(a.o) // may complain, must not leave anything
			kerneltest.WaitFor(t, func() bool { return a.detached() && !exists(a.o.Dir) })
			a.start()
			a.die()
			a.evacuated = nil
			a.open()
			if p := a.d.Pinned(); len(p) != 2 || len(a.evacuated) != 0 {
				t.Errorf("the next start: pinned %+v, evacuated %+v", p, a.evacuated)
			}
		})
	}
}

// TestAdoptOfAnotherSize: tables that an earlier vipd made are adopted with their size, if the config fits.
func TestAdoptOfAnotherSize(t *testing.T) {
	a := newAdoptable(t, "loader-adoptsize", false)
	a.die()
	a.o.Groups, a.o.VIPs, a.o.MaxGroups, a.o.MaxVIPs = 8, 16, 512, 2048
	a.start()
	if g := a.one.Generation(); g != 7 || len(a.evacuated) != 0 {
		t.Errorf("generation %d, evacuated %+v: not adopted", g, a.evacuated)
	}
	if groups, vips := a.d.Room(); groups != 8 || vips != 16 {
		t.Errorf("room for %d groups and %d addresses, want what the maps have: 8 and 16", groups, vips)
	}
}

// TestAdoptDespite: what is not ours, or of no use any more, does not keep the rest from
// being adopted.
func TestAdoptDespite(t *testing.T) {
	pin := func(a *adoptable, name string) string {
		m := kerneltest.Must(ebpf.NewMap(&ebpf.MapSpec{Type: ebpf.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1}))
		path := a.o.Dir + "/" + name
		if err := errors.Join(m.Pin(path), m.Close()); err != nil {
			a.t.Fatal(err)
		}
		return path
	}
	for i, tc := range []struct {
		name   string
		litter func(a *adoptable) string // gives the path
		stays  bool
	}{
		{"a stranger's pin beside ours", func(a *adoptable) string { return pin(a, "foreign") }, true},
		{"a stranger's pin among ours", func(a *adoptable) string { return pin(a, object.LayoutDir+"/foreign") }, true},
		{"a daemon died while it pinned", func(a *adoptable) string {
			path := a.o.Dir + "/" + object.LayoutDir + object.TmpSuffix
			if err := os.Mkdir(path, 0o700); err != nil {
				a.t.Fatal(err)
			}
			pin(a, object.LayoutDir+object.TmpSuffix+"/meta")
			return path
		}, true},
		{"a link of an interface that is gone", func(a *adoptable) string {
			attrs := netlink.NewLinkAttrs()
			attrs.Name = "gone"
			if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "gonepeer"}); err != nil {
				a.t.Fatal(err)
			}
			l := kerneltest.Must(netlink.LinkByName("gone"))
			a.open()
			if _, err := a.d.Attach(l.Attrs().Index, "gone", attach.ModeGeneric); err != nil {
				a.t.Fatal(err)
			}
			path := linkPinOf(a, l.Attrs().Index, "xdp")
			a.die()
			if err := netlink.LinkDel(l); err != nil || !exists(path) {
				a.t.Fatal(err, exists(path))
			}
			return path
		}, false},
		{"a link that no list of interfaces has", func(a *adoptable) string {
			from := fmt.Sprintf("%s/%s/link-%d-xdp", a.o.Dir, object.LayoutDir, a.ours.Attrs().Index)
			l := kerneltest.Must(link.LoadPinnedLink(from, nil))
			path := fmt.Sprintf("%s/%s/link-4711-xdp", a.o.Dir, object.LayoutDir)
			if err := errors.Join(l.Pin(path), l.Close()); err != nil { // which takes the other pin away
				a.t.Fatal(err)
			}
			return path
		}, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := newAdoptable(t, fmt.Sprint("loader-despite", i), false)
			a.die()
			path := tc.litter(a)
			a.start()
			if got := kerneltest.Left(t, a.ours); got != "xdp "+kerneltest.Fence(false) {
				t.Errorf("attached: %s", got)
			}
			if g := a.one.Generation(); g != 7 || len(a.evacuated) != 0 {
				t.Errorf("generation %d, evacuated %+v", g, a.evacuated)
			}
			if exists(path) != tc.stays {
				t.Errorf("%s is there: %v", path, !tc.stays)
			}
			if tc.stays {
				if err := os.RemoveAll(path); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestAdoptVanished: the interface went while nobody watched, or came anew.
func TestAdoptVanished(t *testing.T) {
	a := newAdoptable(t, "loader-adoptgone", false)
	index := a.ours.Attrs().Index
	a.die()
	if err := netlink.LinkDel(a.ours); err != nil {
		t.Fatal(err)
	}
	a.open()
	if p := a.d.Pinned(); len(p) != 2 {
		t.Errorf("pinned %+v", p)
	}
	a.die()
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.Index = "ours", index
	if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "peer"}); err != nil {
		t.Fatal(err)
	}
	a.start()
	a.ours = kerneltest.Must(netlink.LinkByIndex(index))
	if got := kerneltest.Left(t, a.ours); got != "xdp "+kerneltest.Fence(false) {
		t.Errorf("attached: %s", got)
	}
	if a.one.Generation() != 7 {
		t.Errorf("generation %d", a.one.Generation())
	}
}

// TestAdoptHalfMade: a daemon died between fence and program; another one's work is
// gone on with, and an interface that nobody claims is let go.
func TestAdoptHalfMade(t *testing.T) {
	a := newAdoptable(t, "loader-adopthalf", false)
	index := a.ours.Attrs().Index
	a.die()
	if err := os.Remove(fmt.Sprintf("%s/%s/link-%d-xdp", a.o.Dir, object.LayoutDir, index)); err != nil {
		t.Fatal(err)
	}
	kerneltest.WaitFor(t, func() bool { return kerneltest.Left(t, a.ours) == kerneltest.Fence(false) })
	a.start()
	if got := kerneltest.Left(t, a.ours); got != "xdp "+kerneltest.Fence(false) {
		t.Errorf("attached: %s", got)
	}
	a.die()
	a.open()
	if _, err := a.d.DropUnclaimed(); err != nil {
		t.Error(err)
	}
	if got := kerneltest.Left(t, a.ours); got != "" {
		t.Errorf("attached: %s", got)
	}
	if !kerneltest.RXVLAN(t, "ours") {
		t.Error("rx-vlan-offload stays off")
	}
}
