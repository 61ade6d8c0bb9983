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
)

const (
	// storeQueue is how many incidents wait for a slow disk; more stay in memory only.
	storeQueue = 16
	// maxFile is far more than an incident needs.
	maxFile    = 1 << 20
	fileSuffix = ".json"
)

// store keeps incidents as files, one each. A disk that does not work costs the files
// and nothing else.
type store struct {
	dir   string // empty: no files
	log   *slog.Logger
	queue chan saving

	mu    sync.Mutex
	fault string
}

type saving struct {
	in     *incident
	oldest uint64 // those before it are to go
}

func newStore(dir string, log *slog.Logger) *store {
	return &store{dir: dir, log: log, queue: make(chan saving, storeQueue)}
}

// start runs the writer; the channel is closed when it has ended after stop.
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
	case s.queue <- saving{in, oldest}: // sealed: nobody changes it any more
	default:
		s.note(errors.New("the disk is too slow"))
	}
}

func (s *store) unsaved() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fault
}

// note says once that it does not work, and that it does again.
func (s *store) note(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.fault = ""
		return
	}
	if s.fault == "" {
		s.log.Warn("incidents are not saved, they go on in memory", "dir", s.dir, "err", err)
	}
	s.fault = err.Error()
}

func (s *store) path(id uint64) string {
	return filepath.Join(s.dir, strconv.FormatUint(id, 10)+fileSuffix)
}

// write puts one in place whole, and removes those that are kept no more. No fsync: a
// crash of the host may cost the newest.
func (s *store) write(sv saving) error {
	b, err := json.Marshal(sv.in)
	if err != nil {
		return fmt.Errorf("encode incident %d: %w", sv.in.ID, err)
	}
	// Frames hold digests by which a password can be guessed: for root alone.
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

// ids of the files, ascending.
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

// load reads the newest n. What cannot be read is skipped, and said.
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
			s.log.Warn("incident of an earlier run not readable", "path", s.path(id), "err", err)
			continue
		}
		out = append(out, in)
	}
	return out
}

func (s *store) read(id uint64) (*incident, error) {
	if st, err := os.Stat(s.path(id)); err != nil || st.Size() > maxFile {
		return nil, fmt.Errorf("more than %d bytes, or: %w", maxFile, err)
	}
	b, err := os.ReadFile(s.path(id))
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
		return nil, errors.New("not what vipd wrote")
	}
	sortEntries(in.Entries)
	in.settle()
	return in, nil
}
