// SPDX-License-Identifier: Apache-2.0

// Package sequence draws the numbers of this node's advertisements (docs/authentication.md): microseconds that start at
// the time of day and rise with CLOCK_BOOTTIME. No number is used twice, not even after a restart, kill -9 or a crash
// of the machine, and drawing one never waits for a disk.
//
// Two files store where to continue. The note in runtime_dir survives the process: it states what to add to
// CLOCK_BOOTTIME, so it is valid for the boot in which it was written. It is written ahead of need, without fsync. The
// reservation in state_dir survives the machine: a goroutine writes it ahead of time, with fsync, and it is read only
// if there is no note. If both are lost, numbers continue from the time of day.
//
// A start without a note skips what was reserved and not used. So the reservation reaches only as far ahead as the
// process has been running: the numbers of a node that restarts again and again, in a container whose runtime_dir does
// not survive, or where the boot cannot be told, run at most three times as fast as time does, and half a minute more
// per start. They never come back to the clock, since peers expect numbers that rise as fast as time.
package sequence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"vipd/agent/state/durable"
)

const (
	// Step is the minimum distance of the note ahead of need, in microseconds; each write doubles it.
	Step = 2_000_000
	// Block is the same for the reservation on disk once the process has run for as long.
	Block = 600_000_000
	// firstBlock is the same at the start of the process.
	firstBlock = 15_000_000
	// maxDay is more than any time of day. A clock beyond it is not believed.
	maxDay = 1 << 62
	// maxFile is more than either file has, in bytes.
	maxFile = 256
	// bits of a number. A higher one is not a number of vipd.
	bits = 63
	// patience is how long numbers may be in use that the note does not cover, before that is an error.
	patience = 1_000_000
	// firstWait limits the time that Open waits for the disk if there is no note; no lease depends on it then.
	firstWait = 2 * time.Second
	// closeWait limits the time that Close waits for runtime_dir.
	closeWait = 20 * time.Millisecond
	// retry is the delay of a writer after a failure.
	retry = time.Second
)

// Options define where the numbers are stored.
type Options struct {
	// Note is a path in runtime_dir, Reservation one in state_dir.
	Note, Reservation string
	// Now is the time of day.
	Now time.Time
	// Boot reads CLOCK_BOOTTIME, in nanoseconds. Several goroutines call it.
	Boot func() int64
	// Log gets errors; nil discards them.
	Log *slog.Logger

	store store         // for tests
	wait  time.Duration // for tests: replaces firstWait
}

// store reads and writes the two files.
type store interface {
	// Boot identifies the current boot of the machine, for a note at a path.
	Boot(note string) string
	Read(path string) ([]byte, error)
	// Note replaces the content in place, without fsync.
	Note(path string, data []byte) error
	// Write replaces the file durably.
	Write(path string, data []byte) error
	Remove(path string) error
}

// Numbers draws numbers. One goroutine owns Next, Raise and Close.
type Numbers struct {
	opts Options
	boot string
	last uint64        // drawn
	base atomic.Uint64 // what CLOCK_BOOTTIME is added to
	note *writer       // base may rise to its mark before the next write
	disk *writer       // numbers may rise to its mark before the next write
	over uint64        // uptime since when the note does not cover the numbers drawn; 0: it does
	told bool          // that, in the log
}

// Open continues where the last daemon stopped.
func Open(o Options) *Numbers {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.store == nil {
		o.store = files{}
	}
	if o.wait == 0 {
		o.wait = firstWait
	}
	n := &Numbers{opts: o}
	n.boot = o.store.Boot(o.Note)
	opened := n.uptime()
	n.note = newWriter(n.base.Load, func() uint64 { return Step }, n.writeNote())
	n.disk = newWriter(n.present, func() uint64 {
		return min(max(n.uptime()-opened, firstBlock), Block)
	}, n.writeReservation())
	n.disk.timed = true
	uptime, day := n.uptime(), uint64(0)
	if us := o.Now.UnixMicro(); us > 0 && us < maxDay {
		day = uint64(us)
	}
	start := max(day, uptime)
	noted, err := n.readNote()
	if err == nil {
		start = max(start, noted+uptime)
		n.startAt(start, uptime)
		n.note.mark.Store(noted)
		n.note.wait(o.wait) // a file in memory: this takes microseconds
		n.disk.begin(n.readReservation)
		return n
	}
	if !errors.Is(err, fs.ErrNotExist) {
		o.Log.Warn("cannot read the sequence numbers in runtime_dir, using the reservation on disk", "err", err)
	}
	// The first start of this boot, or runtime_dir was emptied, or the boot cannot be told. All used numbers are below
	// the reservation.
	n.startAt(start, uptime)
	n.disk.begin(func() (uint64, error) {
		reserved, err := n.readReservation()
		if err == nil && reserved > 0 {
			n.lift(reserved+1, n.uptime()) // the present reservation counts as used
		}
		return 0, err
	})
	if !n.disk.wait(o.wait) {
		o.Log.Warn("cannot reserve sequence numbers on disk in time; after a crash of this machine peers may refuse it "+
			"for a while. Is state_dir writable, and does its disk answer?", "path", o.Reservation)
	}
	n.note.begin(nil)
	n.note.wait(o.wait)
	return n
}

// uptime returns CLOCK_BOOTTIME in microseconds.
func (n *Numbers) uptime() uint64 { return uint64(max(n.opts.Boot(), 0) / int64(time.Microsecond)) }

// present returns the number of this moment.
func (n *Numbers) present() uint64 { return n.base.Load() + n.uptime() }

func (n *Numbers) startAt(number, uptime uint64) {
	n.last = number
	n.lift(number, uptime)
}

// Next draws the next number. It never waits.
func (n *Numbers) Next() uint64 {
	uptime := n.uptime()
	n.last = max(n.last+1, n.base.Load()+uptime)
	n.lift(n.last, uptime)
	n.ahead(uptime)
	return n.last
}

// Last returns the last number drawn, or what this process started from; the next one is higher.
func (n *Numbers) Last() uint64 { return n.last }

// Raise makes the next number higher than one that was heard. Time goes on from there. One beyond any time of day is
// not followed: it would leave no room above it.
func (n *Numbers) Raise(heard uint64) {
	if heard <= n.last || heard >= maxDay {
		return
	}
	n.last = heard
	n.lift(heard, n.uptime())
	n.note.need(n.base.Load())
	n.disk.need(n.last)
}

// lift makes the number of this moment at least that one.
func (n *Numbers) lift(to, uptime uint64) {
	for {
		base := n.base.Load()
		if to <= base+uptime || n.base.CompareAndSwap(base, to-uptime) {
			return
		}
	}
}

// ahead triggers the writes well before they are needed.
func (n *Numbers) ahead(uptime uint64) {
	n.note.need(n.base.Load())
	n.disk.need(n.last)
	if n.base.Load() <= n.note.mark.Load() {
		n.over, n.told = 0, false
		return
	}
	if n.over == 0 {
		n.over = max(uptime, 1)
	}
	if uptime-n.over >= patience && !n.told {
		n.told = true
		n.opts.Log.Error("sequence numbers in use are not stored in runtime_dir; if vipd is killed now, peers may "+
			"refuse this node for a while", "path", n.opts.Note)
	}
}

// Close stores the last number, so that none is wasted. It does not wait for a disk.
func (n *Numbers) Close() {
	n.disk.stop()
	n.note.stop()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.note.mu.Lock()
		defer n.note.mu.Unlock()
		if err := n.opts.store.Note(n.opts.Note, encodeNote(n.boot, n.base.Load())); err != nil {
			n.opts.Log.Debug("cannot return unused sequence numbers", "err", err)
		}
	}()
	select {
	case <-done:
	case <-time.After(closeWait):
	}
}

func (n *Numbers) writeNote() func(uint64) error {
	failed := false
	return func(upTo uint64) error {
		err := n.opts.store.Note(n.opts.Note, encodeNote(n.boot, upTo))
		if err != nil {
			// An outdated note is worse than none.
			err = errors.Join(err, durable.IgnoreMissing(n.opts.store.Remove(n.opts.Note)))
			if !failed {
				n.opts.Log.Error("cannot store sequence numbers in runtime_dir, using the reservation on disk", "err", err)
			}
		}
		failed = err != nil
		return err
	}
}

func (n *Numbers) readNote() (uint64, error) {
	data, err := n.opts.store.Read(n.opts.Note)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0, fmt.Errorf("read %s: vipd did not write this", n.opts.Note)
	}
	if fields[0] != n.boot || n.boot == unknownBoot {
		return 0, fs.ErrNotExist // from an earlier boot
	}
	v, err := strconv.ParseUint(fields[1], 10, bits)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", n.opts.Note, err)
	}
	return v, nil
}

// encodeNote returns the same length for every number, since it is written in place.
func encodeNote(boot string, base uint64) []byte { return fmt.Appendf(nil, "%s %019d\n", boot, base) }

func (n *Numbers) writeReservation() func(uint64) error {
	failed := false // it is tried again every second, and said once
	return func(upTo uint64) error {
		err := n.opts.store.Write(n.opts.Reservation, []byte(strconv.FormatUint(upTo, 10)+"\n"))
		if err != nil && !failed {
			n.opts.Log.Warn("cannot reserve sequence numbers on disk; after a crash of this machine peers may refuse it "+
				"for a while. Is state_dir writable?", "err", err)
		}
		failed = err != nil
		return err
	}
}

func (n *Numbers) readReservation() (uint64, error) {
	data, err := n.opts.store.Read(n.opts.Reservation)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		var v uint64
		if v, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, bits); err == nil {
			return v, nil
		}
	}
	n.opts.Log.Warn("cannot read the reservation of sequence numbers, continuing from the time of day",
		"path", n.opts.Reservation, "err", err)
	return 0, err
}

// writer keeps the mark in a file ahead of a value that rises.
type writer struct {
	value func() uint64
	ahead func() uint64
	timed bool // the value rises with time
	write func(upTo uint64) error

	mark  atomic.Uint64 // the content of the file
	poke  chan struct{}
	tried chan struct{} // closed after the first write, if one was needed
	done  chan struct{}
	mu    sync.Mutex // held while the file is written
	once  sync.Once
	began bool
}

func newWriter(value, ahead func() uint64, write func(uint64) error) *writer {
	return &writer{
		value: value, ahead: ahead, write: write,
		poke: make(chan struct{}, 1), tried: make(chan struct{}), done: make(chan struct{}),
	}
}

// begin starts the goroutine, which reads the mark first.
func (w *writer) begin(read func() (uint64, error)) {
	w.began = true
	go func() {
		if read != nil {
			if mark, err := read(); err == nil {
				w.mark.Store(mark)
			}
		}
		for {
			poke, again := w.poke, (<-chan time.Time)(nil)
			if w.short(w.value()) && !w.renew() {
				poke, again = nil, time.After(retry)
			} else if w.timed {
				again = time.After(w.lasts())
			}
			w.once.Do(func() { close(w.tried) })
			select {
			case <-poke:
			case <-again:
			case <-w.done:
				return
			}
		}
	}()
}

// renew writes the mark two steps ahead and reports success.
func (w *writer) renew() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-w.done:
		return false
	default:
	}
	upTo := w.value() + 2*w.ahead()
	if w.write(upTo) != nil {
		return false
	}
	w.mark.Store(upTo)
	return true
}

func (w *writer) short(value uint64) bool {
	mark := w.mark.Load()
	return mark < value || mark-value < w.ahead()
}

// lasts returns how long time takes to make the mark too short.
func (w *writer) lasts() time.Duration {
	left := int64(w.mark.Load()) - int64(w.value()) - int64(w.ahead())
	return time.Duration(max(left, 0)+1) * time.Microsecond
}

// need triggers a write if the mark is less than a step ahead.
func (w *writer) need(value uint64) {
	if w.short(value) {
		select {
		case w.poke <- struct{}{}:
		default:
		}
	}
}

// wait starts the writer if needed and reports whether the mark is ahead within limit.
func (w *writer) wait(limit time.Duration) bool {
	if !w.began {
		w.begin(nil)
	}
	select {
	case <-w.tried:
		return !w.short(w.value())
	case <-time.After(limit):
		return false
	}
}

func (w *writer) stop() { close(w.done) }

const (
	// unknownBoot is no boot for which a note is valid.
	unknownBoot = "unknown"
	// thisBoot identifies the boot for a note that ends with it.
	thisBoot = "memory"
)

// files is the store on the host.
type files struct{}

// Boot implements store.
func (files) Boot(note string) string {
	return bootOf("/proc/sys/kernel/random/boot_id", filepath.Dir(note))
}

// bootOf returns the content of a file, or, where that cannot be read, what dir is good for: what is in memory does not
// survive a boot.
func bootOf(file, dir string) string {
	b, err := os.ReadFile(file)
	if id := string(bytes.TrimSpace(b)); err == nil && id != "" {
		return id
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(dir, &fs); err == nil && (fs.Type == unix.TMPFS_MAGIC || fs.Type == unix.RAMFS_MAGIC) {
		return thisBoot
	}
	return unknownBoot
}

// Read implements store.
func (files) Read(path string) ([]byte, error) { return durable.Read(path, maxFile) }

// Note implements store.
func (files) Note(path string, data []byte) error { return durable.Overwrite(path, data) }

// Write implements store.
func (files) Write(path string, data []byte) error { return durable.Write(path, data) }

// Remove implements store.
func (files) Remove(path string) error { return os.Remove(path) }
