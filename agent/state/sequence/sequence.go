// SPDX-License-Identifier: Apache-2.0

// Package sequence numbers sealed advertisements. No number is used twice, not even after a restart, kill -9 or a
// crash of the machine, and drawing one never waits for a disk.
//
// Two files store where to continue. The note in runtime_dir survives the process: it is written ahead of need, without
// fsync, and is valid for the boot in which it was written. The reservation in state_dir survives the machine: a
// goroutine writes it ahead of need, with fsync, and it is read only if there is no note. If both are lost, numbers
// continue from the time of day, which rises faster than one advertisement per second.
package sequence

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"vipd/agent/state/durable"
	"vipd/agent/wire"
)

const (
	// Step is the minimum distance of the note ahead of need.
	Step = 1 << 12
	// Block is the same for the reservation on disk; each write reserves two.
	Block = 1 << 16
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
	// Log gets errors; nil discards them.
	Log *slog.Logger

	store store         // for tests
	wait  time.Duration // for tests: replaces firstWait
}

// store reads and writes the two files.
type store interface {
	// Boot identifies the current boot of the machine.
	Boot() string
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
	last atomic.Uint32 // the last number drawn
	note *writer       // numbers up to its mark may be drawn before the next write
	disk *writer
	over bool // a number beyond the note was drawn, which is logged once
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
	boot := o.store.Boot()
	n.note = newWriter(&n.last, Step, n.writeNote(boot))
	n.disk = newWriter(&n.last, Block, n.writeReservation)
	start := uint32(o.Now.Unix()) // wraps in 2106
	noted, err := n.readNote(boot)
	if err == nil {
		n.last.Store(max(start, noted))
		n.note.mark.Store(noted)
		n.note.wait(o.wait) // a file in memory: this takes microseconds
		n.disk.begin(n.readReservation)
		return n
	}
	if !errors.Is(err, fs.ErrNotExist) {
		o.Log.Warn("cannot read the sequence numbers in runtime_dir, using the reservation on disk", "err", err)
	}
	// The first start of this boot, or runtime_dir was emptied. All used numbers are below the reservation.
	n.last.Store(start)
	n.disk.begin(func() (uint32, error) {
		reserved, err := n.readReservation()
		if err == nil {
			n.lift(reserved)
		}
		return 0, err // the present reservation counts as used
	})
	if !n.disk.wait(o.wait) {
		o.Log.Warn("cannot reserve sequence numbers on disk in time; after a crash of this machine peers may refuse it "+
			"for a while. Is state_dir writable, and does its disk answer?", "path", o.Reservation)
	}
	n.note.begin(nil)
	n.note.wait(o.wait)
	return n
}

// Next draws the next number. It never waits.
func (n *Numbers) Next() uint32 {
	last := n.last.Add(1)
	n.ahead(last)
	return last
}

// Last returns the last number drawn; the next one is higher.
func (n *Numbers) Last() uint32 { return n.last.Load() }

// Raise makes the next number higher than one that was heard. A number ahead by more than half the range counts as
// lower, as it does for the peers: they would refuse a node that jumps so far.
func (n *Numbers) Raise(heard uint32) {
	if !wire.SequenceRises(n.last.Load(), heard) {
		return
	}
	n.lift(heard)
	n.ahead(n.last.Load())
}

func (n *Numbers) lift(to uint32) {
	for {
		last := n.last.Load()
		if to <= last || n.last.CompareAndSwap(last, to) {
			return
		}
	}
}

// ahead triggers the writes well before they are needed.
func (n *Numbers) ahead(last uint32) {
	n.note.need(last)
	n.disk.need(last)
	if over := last > n.note.mark.Load(); over != n.over {
		n.over = over
		if over {
			n.opts.Log.Error("sequence numbers in use are not stored in runtime_dir; if vipd is killed now, peers may "+
				"refuse this node for a while", "path", n.opts.Note)
		}
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
		if err := n.opts.store.Note(n.opts.Note, encodeNote(n.opts.store.Boot(), n.last.Load())); err != nil {
			n.opts.Log.Debug("cannot return unused sequence numbers", "err", err)
		}
	}()
	select {
	case <-done:
	case <-time.After(closeWait):
	}
}

func (n *Numbers) writeNote(boot string) func(uint32) error {
	failed := false
	return func(upTo uint32) error {
		err := n.opts.store.Note(n.opts.Note, encodeNote(boot, upTo))
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

func (n *Numbers) readNote(boot string) (uint32, error) {
	data, err := n.opts.store.Read(n.opts.Note)
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(data))
	if len(fields) != 2 {
		return 0, fmt.Errorf("read %s: vipd did not write this", n.opts.Note)
	}
	if fields[0] != boot {
		return 0, fs.ErrNotExist // from an earlier boot
	}
	v, err := strconv.ParseUint(fields[1], 10, 32)
	if err != nil {
		return 0, fmt.Errorf("read %s: %w", n.opts.Note, err)
	}
	return uint32(v), nil
}

// encodeNote returns the same length for every number, since it is written in place.
func encodeNote(boot string, n uint32) []byte { return fmt.Appendf(nil, "%s %010d\n", boot, n) }

func (n *Numbers) writeReservation(upTo uint32) error {
	err := n.opts.store.Write(n.opts.Reservation, []byte(strconv.FormatUint(uint64(upTo), 10)+"\n"))
	if err != nil {
		n.opts.Log.Warn("cannot reserve sequence numbers on disk; after a crash of this machine peers may refuse it "+
			"for a while. Is state_dir writable?", "err", err)
	}
	return err
}

func (n *Numbers) readReservation() (uint32, error) {
	data, err := n.opts.store.Read(n.opts.Reservation)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err == nil {
		var v uint64
		if v, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32); err == nil {
			return uint32(v), nil
		}
	}
	n.opts.Log.Warn("cannot read the reservation of sequence numbers, continuing from the time of day",
		"path", n.opts.Reservation, "err", err)
	return 0, err
}

// writer keeps the mark in a file ahead of the last number drawn.
type writer struct {
	last  *atomic.Uint32
	ahead uint32
	write func(upTo uint32) error

	mark  atomic.Uint32 // the content of the file
	poke  chan struct{}
	tried chan struct{} // closed after the first write, if one was needed
	done  chan struct{}
	mu    sync.Mutex // held while the file is written
	once  sync.Once
	began bool
}

func newWriter(last *atomic.Uint32, ahead uint32, write func(uint32) error) *writer {
	return &writer{
		last: last, ahead: ahead, write: write,
		poke: make(chan struct{}, 1), tried: make(chan struct{}), done: make(chan struct{}),
	}
}

// begin starts the goroutine, which reads the mark first.
func (w *writer) begin(read func() (uint32, error)) {
	w.began = true
	go func() {
		if read != nil {
			if mark, err := read(); err == nil {
				w.mark.Store(mark)
			}
		}
		for {
			poke, again := w.poke, (<-chan time.Time)(nil)
			if w.short(w.last.Load()) && !w.renew() {
				poke, again = nil, time.After(retry)
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
	upTo := w.last.Load() + 2*w.ahead
	if w.write(upTo) != nil {
		return false
	}
	w.mark.Store(upTo)
	return true
}

func (w *writer) short(last uint32) bool {
	mark := w.mark.Load()
	return mark < last || mark-last < w.ahead
}

// need triggers a write if the mark is less than a step ahead.
func (w *writer) need(last uint32) {
	if w.short(last) {
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
		return !w.short(w.last.Load())
	case <-time.After(limit):
		return false
	}
}

func (w *writer) stop() { close(w.done) }

// files is the store on the host.
type files struct{}

// Boot implements store.
func (files) Boot() string {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if id := string(bytes.TrimSpace(b)); err == nil && id != "" {
		return id
	}
	return "unknown"
}

// Read implements store.
func (files) Read(path string) ([]byte, error) { return os.ReadFile(path) }

// Note implements store.
func (files) Note(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(data, 0)
	return errors.Join(err, f.Close())
}

// Write implements store.
func (files) Write(path string, data []byte) error { return durable.Write(path, data) }

// Remove implements store.
func (files) Remove(path string) error { return os.Remove(path) }
