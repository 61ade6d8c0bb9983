// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"os"
	"runtime"
	"testing"

	"vipd/loader/internal/kerneltest"
	"vipd/loader/model"
	"vipd/loader/object"
	"vipd/loader/tables"
)

func TestClosed(t *testing.T) {
	d := openTest(t, Options{})
	g, err := d.AddGroup(model.GoldenSpec("192.0.2.1"))
	if err != nil {
		t.Fatal(err)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster, Generation: 1, Lease: model.BootNow() + 60e9})
	if err := d.Remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := d.Drain(nil); !errors.Is(err, object.ErrClosed) {
		t.Errorf("drain: %v", err)
	}
	if _, err := g.Seen(); !errors.Is(err, object.ErrClosed) {
		t.Errorf("seen: %v", err)
	}
	if _, err := g.Stats(); !errors.Is(err, object.ErrClosed) {
		t.Errorf("stats: %v", err)
	}
	if _, err := d.Readings(model.BootNow()); !errors.Is(err, object.ErrClosed) {
		t.Errorf("readings: %v", err)
	}
	g.SetRole(tables.Role{State: tables.RoleMaster}) // harmless
	if _, err := d.AddGroup(model.GoldenSpec("192.0.2.1")); !errors.Is(err, object.ErrClosed) {
		t.Errorf("add group: %v", err)
	}
	if err := errors.Join(d.Remove(), d.Close()); err != nil {
		t.Errorf("again: %v", err)
	}
}

// TestNoDescriptorLeft: what Open got is closed, also when it failed on the way.
func TestNoDescriptorLeft(t *testing.T) {
	open := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	round := func() {
		o := Options{Dir: kerneltest.TestDir(), MaxGroups: 4, MaxVIPs: 4}
		d, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(o); !errors.Is(err, ErrBusy) {
			t.Error(err)
		}
		if err := d.Remove(); err != nil {
			t.Error(err)
		}
	}
	kerneltest.Require(t, kerneltest.BPF)
	round() // opens what libraries keep
	runtime.GC()
	before := open()
	for range 5 {
		round()
	}
	runtime.GC() // the read-only data's map has no owner that could close it
	if after := open(); after > before {
		t.Errorf("%d descriptors before, %d after", before, after)
	}
}
