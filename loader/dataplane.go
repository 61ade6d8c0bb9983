// SPDX-License-Identifier: Apache-2.0

package loader

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"vipd/loader/attach"
	"vipd/loader/object"
	"vipd/loader/tables"
)

// Dataplane is the data plane of one daemon: what is attached where, and the tables that the programs work on.
type Dataplane struct {
	*attach.Hooks
	*tables.Tables
	opts Options
	objs *object.Set
	lock *os.File

	exchanging sync.Mutex

	closing sync.Mutex // guards closed
	closed  bool
}

// Open loads the programs and pins the maps below Options.Dir. It mounts the bpf file system if it is missing from its
// usual place. If Options.Adopt is set, it adopts what a dead daemon left in the directory; if that does not fit, it
// removes it, after calling Options.Evacuate. Errors say what to do and wrap one of the package's sentinels if the host
// is the cause.
func Open(o Options) (*Dataplane, error) {
	return open(o, realHost())
}

func open(o Options, h host) (_ *Dataplane, err error) {
	o = o.withDefaults()
	if err := h.check(); err != nil {
		return nil, err
	}
	if err := ensureBPFFS(o.Dir, o.Log); err != nil {
		return nil, err
	}
	d := &Dataplane{opts: o}
	defer func() {
		if err != nil {
			err = errors.Join(err, d.release())
		}
	}()
	if d.lock, err = lockDir(o.Dir); err != nil {
		return nil, err
	}
	if o.Adopt {
		err := d.adopt()
		if err == nil {
			return d, nil
		}
		if err = whyClean(o.Dir, err); err != nil {
			o.Log.Warn("cannot adopt what an earlier vipd left, starting clean", "dir", d.pinDir(), "err", err)
		}
		if err := d.releaseObjects(); err != nil {
			o.Log.Warn("cannot close what was to be adopted", "err", err)
		}
		d.Hooks, d.Tables, d.objs = nil, nil, nil
	}
	// Load before removing anything: the old programs are better than none.
	if d.objs, err = object.Load(o.set()); err != nil {
		return nil, errors.Join(h.explain(err), removeDir(o.Dir))
	}
	defer func() {
		if err != nil { // with the lock still held
			err = errors.Join(err, os.RemoveAll(d.pinDir()+object.TmpSuffix), os.RemoveAll(d.pinDir()), removeDir(o.Dir))
		}
	}()
	if err := d.clear(); err != nil {
		return nil, err
	}
	if err := d.objs.Pin(o.Dir); err != nil {
		return nil, err
	}
	if err := d.open(); err != nil {
		return nil, err
	}
	return d, nil
}

// open sets up what works on the loaded maps.
func (d *Dataplane) open() (err error) {
	d.Hooks = attach.New(d.objs, d.opts.hooks())
	if d.Tables, err = tables.Open(&d.objs.BPFMaps, d.objs.TapEpoch, d.opts.tables()); err == nil {
		d.UseMasters(d.Masters)
	}
	return err
}

// adopt adopts maps and links of an earlier vipd. After an error everything pinned is as it was, except that some links
// may run the new programs.
func (d *Dataplane) adopt() (err error) {
	if d.objs, err = object.OpenPinned(d.opts.Dir, d.opts.set()); err != nil {
		return err
	}
	if err := d.open(); err != nil {
		return err
	}
	groups, err := d.Tables.Adopt()
	if err != nil {
		return err
	}
	interfaces, err := d.Inherit(d.opts.Defer)
	if err != nil {
		return err
	}
	if !d.opts.Defer {
		if err := d.exchange(true); err != nil {
			return err
		}
	}
	d.opts.Log.Info("adopted what an earlier vipd left", "dir", d.pinDir(), "groups", groups, "interfaces", interfaces)
	return nil
}

// whyClean returns why what is pinned below dir cannot be adopted, given the error of the attempt, or nil if nothing is
// there: the first start, or a reboot.
func whyClean(dir string, err error) error {
	if !errors.Is(err, fs.ErrNotExist) || exists(object.PinDir(dir)) {
		return err
	}
	if others := otherLayouts(dir); len(others) > 0 {
		return fmt.Errorf("the tables that are pinned have layout %s, and this vipd needs %s",
			strings.Join(others, ", "), object.LayoutDir)
	}
	return nil
}

// otherLayouts lists the layouts of vipds that left their pins below dir.
func otherLayouts(dir string) (out []string) {
	dirs, _ := filepath.Glob(filepath.Join(dir, "v*")) // fails on a wrong pattern only
	for _, found := range dirs {
		if !strings.HasSuffix(found, object.TmpSuffix) { // no program used those
			out = append(out, filepath.Base(found))
		}
	}
	return out
}

// CanAdopt returns why [Open] would not adopt what the running vipd has pinned but start clean, or nil. It changes
// nothing.
func CanAdopt(o Options) error {
	o = o.withDefaults()
	pinned, err := object.OpenPinned(o.Dir, o.set())
	if err != nil {
		return whyClean(o.Dir, err)
	}
	return pinned.Close()
}

// The verifier takes about 200 ms for the XDP program, which may be longer than a lease. So the programs of the earlier
// vipd continue on the pinned maps until those of this vipd are loaded. Both have the same layout version, which must
// rise with any change in what a program expects of the agent.

// Exchange loads the programs and replaces those of the earlier vipd, each atomically, so that a program is attached at
// any time. An interface on which that fails loses the old programs; Attach attaches new ones. Attach or detach nothing
// before. Exchange delays no group, and may be called again after an error.
func (d *Dataplane) Exchange() error {
	d.exchanging.Lock()
	defer d.exchanging.Unlock()
	return d.exchange(false)
}

// exchange returns the first error if strict.
func (d *Dataplane) exchange(strict bool) error {
	if !d.Pending() {
		return nil
	}
	p, err := d.objs.LoadPrograms()
	if err != nil {
		return err
	}
	if err := d.Install(p); err != nil {
		return err
	}
	d.UseTap(p.TapEpoch)
	return d.Hooks.Adopt(strict)
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// clear removes what an earlier vipd left. It does not fail on pins that make no sense, since every start would fail
// then.
func (d *Dataplane) clear() error {
	if left, err := tables.Left(d.opts.Dir); err != nil {
		d.opts.Log.Warn("addresses of an earlier vipd unknown", "err", err)
	} else if len(left) > 0 {
		d.opts.Evacuate(left)
	}
	layouts, _ := filepath.Glob(filepath.Join(d.opts.Dir, "v*"))
	report, err := cleanup(d.opts)
	if err != nil {
		d.opts.Log.Warn("not all of what an earlier vipd left could be undone", "err", err)
	}
	// A filter has no pin, and maps of an earlier layout cannot be read for it, or are gone.
	if len(layouts) > 0 {
		n, err := attach.SweepFilters(d.opts.Dir)
		report.Filters += n
		if err != nil {
			d.opts.Log.Warn("egress filters of an earlier vipd may be left", "err", err)
		}
	}
	if exists(d.pinDir()) {
		return fmt.Errorf("remove what an earlier vipd left in %s: it is still there", d.pinDir())
	}
	if !report.Empty() {
		d.opts.Log.Info("removed what an earlier vipd left", "dir", d.opts.Dir, "interfaces", report.Interfaces)
	}
	return nil
}

func (d *Dataplane) pinDir() string { return object.PinDir(d.opts.Dir) }

// DropUnclaimed removes the adopted groups that were not claimed, and detaches from adopted interfaces that no Attach
// claimed. It returns the addresses that have lost their fence, the same as Unclaimed before.
func (d *Dataplane) DropUnclaimed() ([]tables.LeftVIP, error) {
	left, err := d.Tables.DropUnclaimed()
	return left, errors.Join(err, d.Hooks.DropUnclaimed())
}

// Close closes all handles and leaves what is pinned: the kernel continues with it until the leases end.
func (d *Dataplane) Close() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	return d.release()
}

// Remove revokes every group's right to speak, detaches from every interface and leaves nothing in the kernel.
func (d *Dataplane) Remove() error {
	d.closing.Lock()
	defer d.closing.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	d.Silence()
	err := errors.Join(d.Hooks.Remove(), os.RemoveAll(d.pinDir()), removeDir(d.opts.Dir))
	return errors.Join(err, d.release())
}

// release closes what Open has opened so far.
func (d *Dataplane) release() error {
	err := d.releaseObjects()
	if d.lock != nil {
		err = errors.Join(err, unlockDir(d.lock))
	}
	return err
}

// releaseObjects closes everything but the lock, first the users of maps and programs.
func (d *Dataplane) releaseObjects() error {
	var errs []error
	if d.Hooks != nil {
		errs = append(errs, d.Hooks.Close())
	}
	if d.Tables != nil {
		errs = append(errs, d.Tables.Close())
	}
	if d.objs != nil {
		errs = append(errs, d.objs.Close())
	}
	return errors.Join(errs...)
}
