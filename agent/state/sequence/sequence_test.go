// SPDX-License-Identifier: Apache-2.0

package sequence

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

var epoch = time.Unix(1_800_000_000, 0)

// disk is a machine's two file systems. Durable writes survive a power loss, notes do not.
type disk struct {
	mu      sync.Mutex
	boot    string
	notes   map[string][]byte
	durable map[string][]byte
	slow    time.Duration // of a durable write
	hung    chan struct{} // not nil: durable writes and reads wait for it
	full    error         // of durable writes
	noNotes error
}

func newDisk() *disk {
	return &disk{boot: "a", notes: map[string][]byte{}, durable: map[string][]byte{}}
}

func (d *disk) Boot() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.boot
}

func (d *disk) Read(path string) ([]byte, error) {
	d.mu.Lock()
	hung := d.hung
	d.mu.Unlock()
	if path == "state" && hung != nil {
		<-hung
		return nil, errors.New("input/output error")
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, m := range []map[string][]byte{d.notes, d.durable} {
		if b, ok := m[path]; ok {
			return b, nil
		}
	}
	return nil, fs.ErrNotExist
}

func (d *disk) Note(path string, data []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.noNotes != nil {
		return d.noNotes
	}
	d.notes[path] = data
	return nil
}

func (d *disk) Write(path string, data []byte) error {
	d.mu.Lock()
	hung, slow, full := d.hung, d.slow, d.full
	d.mu.Unlock()
	if hung != nil {
		<-hung
		return errors.New("input/output error")
	}
	time.Sleep(slow)
	if full != nil {
		return full
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.durable[path] = data
	return nil
}

func (d *disk) Remove(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.notes, path)
	return nil
}

func (d *disk) powerLoss() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.boot += "'"
	d.notes = map[string][]byte{}
}

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) open() *Numbers {
	return Open(Options{Note: "run", Reservation: "state", Now: epoch, store: d})
}

// kill ends a process without Close.
func kill(n *Numbers) {
	n.disk.stop()
	n.note.stop()
	synctest.Wait()
}

// drawn draws and checks that no number was drawn before.
type drawn struct {
	t    *testing.T
	last uint32
}

func (d *drawn) from(n *Numbers, count int, what string) {
	d.t.Helper()
	for i := range count {
		v := n.Next()
		if v <= d.last {
			d.t.Errorf("%s: drew %d after %d", what, v, d.last)
			return
		}
		d.last = v
		if i%(Step/2) == 0 {
			synctest.Wait() // adverts are far slower than the writers
		}
	}
}

// No number is drawn twice, whatever ends the process and whatever the disk does.
func TestNoNumberIsDrawnTwice(t *testing.T) {
	powerLosses := 0
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 1))
			d, all := newDisk(), &drawn{t: t}
			var hung []chan struct{}
			wasFull := false // when this life began
			for range 12 {
				n := d.open()
				all.from(n, 1+r.IntN(200), "after a start")
				trouble := r.IntN(5)
				if wasFull && trouble == 4 {
					d.set(func() { d.full = nil })
					time.Sleep(2 * retry)
				}
				d.set(func() {
					d.slow, d.full = 0, nil
					switch trouble {
					case 1:
						d.slow = 600 * time.Millisecond
					case 2:
						d.full = errors.New("no space left on device")
					case 3:
						d.hung = make(chan struct{})
						hung = append(hung, d.hung)
					case 4: // both at once is one trouble too many
						d.noNotes = errors.New("no space left on device")
					}
				})
				all.from(n, r.IntN(Block/2), "with trouble")
				if r.IntN(3) == 0 {
					n.Raise(n.Last() + uint32(r.IntN(Step)))
					all.from(n, 10, "after Raise")
				}
				if trouble == 1 {
					time.Sleep(3 * time.Second) // the slow disk has done what it was asked for
				}
				switch r.IntN(3) {
				case 0:
					n.Close()
				case 1:
					kill(n)
				default:
					kill(n)
					if covered := n.disk.mark.Load() >= n.Last(); covered {
						d.powerLoss()
						powerLosses++
					} else if trouble < 2 && !wasFull {
						t.Errorf("the disk works, and has %d reserved of %d", n.disk.mark.Load(), n.Last())
					}
				}
				wasFull = trouble == 2
				d.set(func() { d.hung, d.noNotes = nil, nil })

				time.Sleep(time.Second)
				synctest.Wait()
			}
			for _, h := range hung {
				close(h)
			}
		})
	}
	if powerLosses < 30 {
		t.Errorf("only %d power losses were tried", powerLosses)
	}
}

// With a note, a start does not wait for a disk, and a disk that hangs blocks neither Next nor Close.
func TestStartDoesNotWaitForAHungDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, all := newDisk(), &drawn{t: t}
		n := d.open()
		all.from(n, 10, "first life")
		hung := make(chan struct{})
		d.set(func() { d.hung = hung })
		for range 3 {
			kill(n)
			began := time.Now()
			n = d.open()
			if took := time.Since(began); took > 0 {
				t.Errorf("a start waited %v for a disk that hangs", took)
			}
			all.from(n, 3*Block, "disk hangs")
		}
		began := time.Now()
		n.Close()
		if took := time.Since(began); took > closeWait {
			t.Errorf("Close waited %v", took)
		}
		close(hung)
	})
}

// A restart wastes no numbers and does not write to the disk while the reservation lasts.
func TestRestartContinuesWithTheNextNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		n := d.open()
		n.Next()
		last := n.Next()
		n.Close()
		reserved := string(d.durable["state"])
		n = d.open()
		if got := n.Next(); got != last+1 {
			t.Errorf("first number %d, want %d", got, last+1)
		}
		synctest.Wait()
		if now := string(d.durable["state"]); now != reserved || now == "" {
			t.Errorf("reservation %q, was %q", now, reserved)
		}
		n.Close()
	})
}

// A start without a note waits for a slow disk. If the disk fails or hangs, it continues from the time of day.
func TestFirstStartOfABootReadsTheReservation(t *testing.T) {
	for name, tt := range map[string]struct {
		set  func(d *disk)
		want time.Duration
	}{
		"slow": {func(d *disk) { d.slow = 600 * time.Millisecond }, 600 * time.Millisecond},
		"full": {func(d *disk) { d.full = errors.New("no space left on device") }, 0},
		"hung": {func(d *disk) { d.hung = make(chan struct{}) }, firstWait},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d := newDisk()
				tt.set(d)
				began := time.Now()
				n := d.open()
				if took := time.Since(began); took != tt.want {
					t.Errorf("started after %v, want %v", took, tt.want)
				}
				if got := n.Next(); got != uint32(epoch.Unix())+1 {
					t.Errorf("first number %d, want one after the time of day", got)
				}
				n.Close()
				if d.hung != nil {
					close(d.hung)
				}
			})
		})
	}
}

// Damaged files and a note of an earlier boot are ignored.
func TestDamagedFilesAreIgnored(t *testing.T) {
	dir := t.TempDir()
	note, state := filepath.Join(dir, "note"), filepath.Join(dir, "sequence")
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := func() uint32 {
		n := Open(Options{Note: note, Reservation: state, Now: epoch})
		defer n.Close()
		return n.Next()
	}
	const at, reserved = 1_800_000_000, 1_900_000_000
	if got := first(); got != at+1 {
		t.Errorf("nothing there: %d", got)
	}
	if got := first(); got != at+2 {
		t.Errorf("with a note: %d", got)
	}
	write(state, "1900000000\n")
	if got := first(); got != at+3 {
		t.Errorf("the note is newer than the reservation: %d", got)
	}
	write(note, "another-boot 1850000000\n")
	if got := first(); got != reserved+1 {
		t.Errorf("a note of another boot: %d", got)
	}
	for _, text := range []string{"", "garbage", "a b c", files{}.Boot() + " 99999999999"} {
		write(state, "1900000000\n")
		write(note, text)
		if got := first(); got != reserved+1 {
			t.Errorf("note %q: %d", text, got)
		}
	}
	write(note, "")
	write(state, "garbage")
	if got := first(); got != at+1 {
		t.Errorf("both damaged: %d", got)
	}
}
