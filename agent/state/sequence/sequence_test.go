// SPDX-License-Identifier: Apache-2.0

package sequence

import (
	"bytes"
	"errors"
	"io/fs"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
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
	booted  time.Time
	notes   map[string][]byte
	durable map[string][]byte
	slow    time.Duration // of a durable write
	hung    chan struct{} // not nil: durable writes and reads wait for it
	full    error         // of durable writes
	noNotes error
}

func newDisk() *disk {
	return &disk{boot: "a", booted: time.Now(), notes: map[string][]byte{}, durable: map[string][]byte{}}
}

func (d *disk) Boot(string) string {
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
	d.booted = time.Now()
	d.notes = map[string][]byte{}
}

func (d *disk) set(change func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change()
}

func (d *disk) uptime() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(time.Since(d.booted))
}

func (d *disk) open() *Numbers {
	return Open(Options{Note: "run", Reservation: "state", Now: epoch, Boot: d.uptime, store: d})
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
	last uint64
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
		if i%16 == 0 {
			synctest.Wait() // adverts are far slower than the writers
		}
	}
}

// during draws at random moments of a time, none of them less than the clock.
func (d *drawn) during(n *Numbers, r *rand.Rand, whole time.Duration, what string) {
	d.t.Helper()
	for end := time.Now().Add(whole); time.Now().Before(end); {
		began, before := time.Now(), n.Last()
		time.Sleep(time.Duration(r.Int64N(int64(whole) / 4)))
		synctest.Wait()
		d.from(n, 1+r.IntN(3), what)
		if rose, took := n.Last()-before, uint64(time.Since(began).Microseconds()); rose < took {
			d.t.Errorf("%s: rose by %d in %d us", what, rose, took)
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
				all.during(n, r, time.Second+time.Duration(r.Int64N(int64(30*time.Minute))), "with trouble")
				if r.IntN(3) == 0 {
					n.Raise(n.Last() + r.Uint64N(1<<(10+r.IntN(31))))
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
			all.from(n, 10, "disk hangs")
			time.Sleep(time.Hour)
			all.from(n, 10, "an hour later")
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
				if got, want := n.Next(), uint64(epoch.UnixMicro()+max(tt.want.Microseconds(), 1)); got != want {
					t.Errorf("first number %d, want %d: the time of day has gone on", got, want)
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
	const day, reserved = 1_800_000_000_000_000, 1_900_000_000_000_000
	const uptime = 1_000_000
	first := func() uint64 {
		boot := func() int64 { return 1000 * uptime }
		n := Open(Options{Note: note, Reservation: state, Now: epoch, Boot: boot})
		defer n.Close()
		return n.Next()
	}
	if got := first(); got != day+1 {
		t.Errorf("nothing there: %d", got)
	}
	if got := first(); got != day+2 {
		t.Errorf("with a note: %d", got)
	}
	write(state, "1900000000000000\n")
	if got := first(); got != day+3 {
		t.Errorf("the note is newer than the reservation: %d", got)
	}
	write(note, "another-boot 1850000000000000\n")
	if got := first(); got != reserved+1 {
		t.Errorf("a note of another boot: %d", got)
	}
	for _, text := range []string{"", "garbage", "a b c", files{}.Boot("") + " 9999999999999999999"} {
		write(state, "1900000000000000\n")
		write(note, text)
		if got := first(); got != reserved+1 {
			t.Errorf("note %q: %d", text, got)
		}
	}
	write(note, files{}.Boot("")+" 1950000000000000")
	if got := first(); got != 1_950_000_000_000_000+uptime+1 {
		t.Errorf("a note from which time has gone on: %d", got)
	}
	for _, text := range []string{"garbage", "9999999999999999999"} {
		write(note, "")
		write(state, text)
		if got := first(); got != day+1 {
			t.Errorf("reservation %q and no note: %d", text, got)
		}
	}
}

// TestClocksThatAreNotBelieved: a time of day beyond any, or before any, and numbers that no vipd draws.
func TestClocksThatAreNotBelieved(t *testing.T) {
	for name, tt := range map[string]struct {
		day  time.Time
		want uint64
	}{
		"before 1970":    {time.Unix(-1, 0), 6},
		"1970":           {time.Unix(0, 0), 6},
		"far too late":   {time.UnixMicro(1 << 62), 6},
		"just believed":  {time.UnixMicro(1<<62 - 1), 1 << 62},
		"a minute after": {time.Unix(60, 0), 60_000_001},
	} {
		synctest.Test(t, func(t *testing.T) {
			boot := func() int64 { return 5000 }
			n := Open(Options{Note: "run", Reservation: "state", Now: tt.day, Boot: boot, store: newDisk()})
			defer n.Close()
			if got := n.Next(); got != tt.want {
				t.Errorf("%s: first number %d, want %d", name, got, tt.want)
			}
			n.Raise(1 << 62)
			if got := n.Next(); got != tt.want+1 {
				t.Errorf("%s: %d after a number that none may draw", name, got)
			}
			n.Raise(1<<62 - 1)
			if got, want := n.Next(), max(tt.want+2, 1<<62); got != want {
				t.Errorf("%s: %d after the highest number, want %d", name, got, want)
			}
		})
	}
}

// TestTimeGoesOnFromWhatWasHeard: after a number ahead of the clock, numbers rise with time and not from a standstill.
func TestTimeGoesOnFromWhatWasHeard(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newDisk().open()
		defer n.Close()
		ahead := uint64(epoch.Add(time.Hour).UnixMicro())
		n.Raise(ahead)
		if n.Last() != ahead {
			t.Errorf("%d, want %d", n.Last(), ahead)
		}
		for second := range uint64(3) { // the first one without a number drawn since
			time.Sleep(time.Second)
			if got, want := n.Next(), ahead+(second+1)*1_000_000; got != want {
				t.Errorf("%d after %d s, want %d", got, second+1, want)
			}
		}
		n.Raise(ahead)
		if got, want := n.Next(), ahead+3_000_001; got != want {
			t.Errorf("%d after a number that was behind, want %d", got, want)
		}
	})
}

// TestReservationFollowsTime: a node that draws nothing has its reservation renewed, as rarely as that.
func TestReservationFollowsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		n := d.open()
		defer n.Close()
		var last string
		writes := 0
		for range 60 * 60 {
			time.Sleep(time.Second)
			synctest.Wait()
			d.set(func() {
				if now := string(d.durable["state"]); now != last {
					last = now
					writes++
				}
			})
			if n.disk.mark.Load() < n.present() {
				t.Fatalf("reserved up to %d, and it is %d", n.disk.mark.Load(), n.present())
			}
		}
		if writes > 13 { // six in the first ten minutes
			t.Errorf("%d writes in an hour", writes)
		}
	})
}

// TestFullDiskIsSaidOnce: a reservation that cannot be written is tried again every second, and logged once until it
// was possible.
func TestFullDiskIsSaidOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		d.full = errors.New("no space left")
		var log bytes.Buffer
		n := Open(Options{
			Note: "run", Reservation: "state", Now: time.Now(), Boot: d.uptime, store: d,
			Log: slog.New(slog.NewTextHandler(&log, nil)),
		})
		said := func() int { return strings.Count(log.String(), "cannot reserve sequence numbers on disk; ") }
		time.Sleep(time.Minute)
		if got := said(); got != 1 {
			t.Errorf("said %d times in a minute:\n%s", got, log.String())
		}
		d.set(func() { d.full = nil })
		time.Sleep(time.Minute)
		d.set(func() { d.full = errors.New("no space left again") })
		time.Sleep(time.Hour) // the next block is due
		n.Next()
		synctest.Wait()
		if got := said(); got != 2 {
			t.Errorf("said %d times:\n%s", got, log.String())
		}
		n.Close()
	})
}

// TestManyRestartsWithoutANote: each skips what was reserved, which is no more than the process has been running for,
// and half a minute.
func TestManyRestartsWithoutANote(t *testing.T) {
	for _, life := range []time.Duration{time.Second, 10 * time.Second, time.Minute, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			d := newDisk()
			d.boot = unknownBoot
			seen := &drawn{t: t}
			const restarts = 50
			begun := time.Now()
			for range restarts {
				n := d.open()
				for range 4 {
					seen.from(n, 10, "after a restart")
					time.Sleep(life / 4)
				}
				kill(n)
			}
			took := time.Since(begun)
			ran := time.Duration(seen.last-uint64(epoch.UnixMicro())) * time.Microsecond
			if most := 3*took + restarts*2*firstBlock*time.Microsecond; ran > most {
				t.Errorf("lives of %s: numbers ran for %s in %s, want at most %s", life, ran, took, most)
			}
			// A reservation that was always as large as at last would be skipped each time.
			if ran < took {
				t.Errorf("lives of %s: numbers ran for %s in %s: the clock overtook them", life, ran, took)
			}
		})
	}
}

// TestReservationGrows while the process runs, so that a hung disk is noticed late only by one that has run for long.
func TestReservationGrows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDisk()
		n := d.open()
		defer kill(n)
		for _, c := range []struct{ after, least, most time.Duration }{
			{0, 15 * time.Second, 30 * time.Second},
			{time.Minute, time.Minute, 2 * time.Minute},
			{time.Hour, 10 * time.Minute, 20 * time.Minute},
		} {
			time.Sleep(c.after)
			synctest.Wait()
			ahead := time.Duration(n.disk.mark.Load()-n.present()) * time.Microsecond
			if ahead < c.least/2 || ahead > c.most {
				t.Errorf("after %s: %s ahead, want %s to %s", c.after, ahead, c.least/2, c.most)
			}
		}
	})
}

// TestBootWithoutBootID: a note in memory is of this boot, and one on a disk may be of another.
func TestBootWithoutBootID(t *testing.T) {
	id := filepath.Join(t.TempDir(), "boot_id")
	if got := bootOf(id, "/proc"); got != unknownBoot {
		t.Errorf("in /proc: %q", got)
	}
	if got := bootOf(id, filepath.Join(t.TempDir(), "none")); got != unknownBoot {
		t.Errorf("nowhere: %q", got)
	}
	if got := bootOf(id, "/dev/shm"); got != thisBoot {
		t.Errorf("in memory: %q", got)
	}
	if err := os.WriteFile(id, []byte("a-b-c\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := bootOf(id, "/dev/shm"); got != "a-b-c" {
		t.Errorf("with a boot_id: %q", got)
	}
}
