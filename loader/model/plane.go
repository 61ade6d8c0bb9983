// SPDX-License-Identifier: Apache-2.0

package model

import (
	"errors"
	"log/slog"
	"os"
	"testing"

	"vipd/loader/attach"
	"vipd/loader/internal/kerneltest"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// planeOptions bound the tables, by default to 16 groups and 64 addresses.
type planeOptions struct{ MaxGroups, MaxVIPs int }

// plane has programs and tables as loader.Open makes them, without pinned maps and checks of the host.
type plane struct {
	*tables.Tables
	*attach.Hooks
	Objects *object.Set
	dir     string
}

// openPlane returns a plane that lasts until the end of the test.
func openPlane(t testing.TB, o planeOptions) *plane {
	t.Helper()
	kerneltest.Require(t, kerneltest.BPF)
	if o == (planeOptions{}) {
		o = planeOptions{MaxGroups: 16, MaxVIPs: 64}
	}
	log := slog.New(slog.DiscardHandler)
	objs, err := object.Load(object.Options{Log: log, MaxGroups: o.MaxGroups, MaxVIPs: o.MaxVIPs})
	if err != nil {
		t.Fatal(err)
	}
	d := &plane{Objects: objs, dir: kerneltest.TestDir()}
	d.Tables, err = tables.Open(&objs.BPFMaps, objs.TapEpoch, tables.Options{Log: log})
	if err != nil {
		t.Fatal(errors.Join(err, objs.Close()))
	}
	d.Hooks = attach.New(objs, attach.Options{Dir: d.dir, Log: log})
	if err := os.MkdirAll(object.PinDir(d.dir), 0o700); err != nil { // for links
		t.Fatal(err)
	}
	t.Cleanup(func() {
		d.Silence()
		if err := errors.Join(d.Remove(), os.RemoveAll(d.dir), d.Tables.Close(), objs.Close()); err != nil {
			t.Error(err)
		}
	})
	return d
}
