// SPDX-License-Identifier: Apache-2.0

package record

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"vipd/agent/state/durable"
)

const (
	// slowDisk is how long the disk may take to write one incident before that is reported.
	slowDisk = int64(10 * time.Second)
	// maxFile is much larger than the largest incident.
	maxFile    = 1 << 20
	fileSuffix = ".json"
)

// store keeps each incident in a file. If the disk fails, only the files are lost.
type store struct {
	dir  string // empty: no files
	log  *slog.Logger
	boot func() int64 // CLOCK_BOOTTIME ns

	wake    *sync.Cond
	mu      sync.Mutex
	waiting []saving // oldest first
	writing int64    // when the write that is under way began; 0: none is
	stopped bool
	fault   string
}

type saving struct {
	in     *incident
	oldest uint64 // incidents before it are removed
}

func newStore(dir string, log *slog.Logger, boot func() int64) *store {
	s := &store{dir: dir, log: log, boot: boot}
	s.wake = sync.NewCond(&s.mu)
	return s
}

// start starts the writer; the channel is closed when the writer has ended after stop.
func (s *store) start() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			sv, ok := s.next()
			if !ok {
				return
			}
			s.wrote(s.write(sv))
		}
	}()
	return done
}

// next waits for an incident to write, and returns false after stop when none waits.
func (s *store) next() (saving, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.waiting) == 0 {
		if s.stopped {
			return saving{}, false
		}
		s.wake.Wait()
	}
	sv := s.waiting[0]
	s.waiting = slices.Delete(s.waiting, 0, 1)
	s.writing = max(s.boot(), 1)
	return sv, true
}

func (s *store) stop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stopped = true
	s.wake.Signal()
}

// save never blocks. Many groups may change at once, so any number of incidents may wait for the disk; those
// before oldest are not kept any more, so at most those wait that are in memory anyway.
func (s *store) save(in *incident, oldest uint64) {
	if s.dir == "" {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting = slices.DeleteFunc(s.waiting, func(sv saving) bool { return sv.in.ID < oldest })
	s.waiting = append(s.waiting, saving{in, oldest}) // it is finished and no longer changes
	if s.slow() {
		s.note(errTooSlow)
	}
	s.wake.Signal()
}

var errTooSlow = fmt.Errorf("the disk is too slow: one incident takes longer than %v", time.Duration(slowDisk))

// slow reports whether the write that is under way takes too long. The caller holds mu.
func (s *store) slow() bool { return s.writing != 0 && s.boot()-s.writing > slowDisk }

// unsaved returns why incidents are not on disk, or "".
func (s *store) unsaved() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.slow() {
		s.note(errTooSlow)
	}
	return s.fault
}

// wrote ends a write; a success clears the fault.
func (s *store) wrote(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writing = 0
	if err != nil {
		s.note(err)
		return
	}
	s.fault = ""
}

// note keeps a fault, and logs the first. The caller holds mu.
func (s *store) note(err error) {
	if s.fault == "" {
		s.log.Warn("cannot save incidents; they stay in memory", "dir", s.dir, "err", err)
	}
	s.fault = err.Error()
}

func (s *store) path(id uint64) string {
	return filepath.Join(s.dir, strconv.FormatUint(id, 10)+fileSuffix)
}

// write writes an incident in one step, and removes those that are no longer kept. It does not sync: a
// crash of the host may lose the newest.
func (s *store) write(sv saving) error {
	b, err := json.Marshal(sv.in)
	if err != nil {
		return fmt.Errorf("encode incident %d: %w", sv.in.ID, err)
	}
	// Frames have digests that allow guesses at the password: only root may read them.
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return err
	}
	tmp := s.path(sv.in.ID) + ".new"
	err = os.WriteFile(tmp, b, 0o600)
	if err == nil {
		err = os.Rename(tmp, s.path(sv.in.ID))
	}
	if err != nil {
		return errors.Join(err, ignoreMissing(os.Remove(tmp)))
	}
	ids, err := s.ids()
	for _, id := range ids {
		if id < sv.oldest {
			err = errors.Join(err, ignoreMissing(os.Remove(s.path(id))))
		}
	}
	return err
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// ids returns those of the files, ascending.
func (s *store) ids() ([]uint64, error) {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return nil, ignoreMissing(err)
	}
	var ids []uint64
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), fileSuffix)
		if id, err := strconv.ParseUint(name, 10, 63); ok && err == nil && id > 0 && strconv.FormatUint(id, 10) == name {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}

// load reads the newest n. It logs and skips files that cannot be read.
func (s *store) load(n int) []*incident {
	if s.dir == "" {
		return nil
	}
	ids, err := s.ids()
	if err != nil {
		s.wrote(err)
		return nil
	}
	var out []*incident
	for _, id := range ids[max(0, len(ids)-n):] {
		in, err := s.read(id)
		if err != nil {
			s.log.Warn("cannot read an incident of an earlier run", "path", s.path(id), "err", err)
			continue
		}
		out = append(out, in)
	}
	return out
}

func (s *store) read(id uint64) (*incident, error) {
	b, err := durable.Read(s.path(id), maxFile)
	if err != nil {
		return nil, err
	}
	return parseIncident(b, id)
}

func parseIncident(b []byte, id uint64) (*incident, error) {
	in := &incident{}
	if err := json.Unmarshal(b, in); err != nil {
		return nil, err
	}
	if in.ID != id || in.Group == "" || len(in.Entries) > maxEntries+1 {
		return nil, errors.New("not written by vipd")
	}
	sortEntries(in.Entries)
	in.complete()
	return in, nil
}
