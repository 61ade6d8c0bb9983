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

	"vipd/agent/state/durable"
)

const (
	// storeQueue is how many incidents may wait for a slow disk; further ones stay in memory only.
	storeQueue = 16
	// maxFile is much larger than the largest incident.
	maxFile    = 1 << 20
	fileSuffix = ".json"
)

// store keeps each incident in a file. If the disk fails, only the files are lost.
type store struct {
	dir   string // empty: no files
	log   *slog.Logger
	queue chan saving

	mu    sync.Mutex
	fault string
}

type saving struct {
	in     *incident
	oldest uint64 // incidents before it are removed
}

func newStore(dir string, log *slog.Logger) *store {
	return &store{dir: dir, log: log, queue: make(chan saving, storeQueue)}
}

// start starts the writer; the channel is closed when the writer has ended after stop.
func (s *store) start() <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		for sv := range s.queue {
			s.note(s.write(sv))
		}
	}()
	return done
}

func (s *store) stop() { close(s.queue) }

// save never blocks.
func (s *store) save(in *incident, oldest uint64) {
	if s.dir == "" {
		return
	}
	select {
	case s.queue <- saving{in, oldest}: // it is finished and no longer changes
	default:
		s.note(errors.New("the disk is too slow"))
	}
}

func (s *store) unsaved() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// note logs the first error, and clears the fault after a success.
func (s *store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.fault = ""
		return
	}
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
		s.note(err)
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
