// SPDX-License-Identifier: Apache-2.0

package keep

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"vipd/agent/state/durable"
)

// retryAfter is the delay of a retry after a failed write, unless something changes before.
const retryAfter = 5 * time.Second

// BootID returns the kernel's name for this boot.
func BootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", fmt.Errorf("read boot_id: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// Store writes a file whenever its content changes, from its own goroutine: a slow or full disk
// does not block the caller. A nil Store keeps nothing.
type Store struct {
	path string
	boot string
	log  *slog.Logger

	wake chan struct{}
	end  chan struct{}
	done chan struct{}

	mu      sync.Mutex
	content []byte // to write
	put     uint64 // number of content
	written uint64 // number of the content that the last write was for, even if it failed
	err     error  // of the last write
	changed chan struct{}
}

// Open reads what an earlier process of this boot kept at path, and starts a Store for it. A
// damaged file is logged and renamed to path.damaged; a file of another boot is ignored. Neither
// prevents a start.
func Open(path, boot string, log *slog.Logger) (*Store, Memory) {
	s := &Store{
		path: path, boot: boot, log: log,
		wake: make(chan struct{}, 1), end: make(chan struct{}), done: make(chan struct{}), changed: make(chan struct{}),
	}
	m := s.read()
	go s.run()
	return s, m
}

func (s *Store) read() Memory {
	f, err := load(s.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return Memory{}
	case err != nil:
		aside, err := durable.SetAside(s.path, err)
		s.log.Error("demotions, holds and check verdicts from before the restart are lost: "+
			"the file is damaged and was set aside", "file", s.path, "now", aside, "err", err)
		return Memory{}
	case f.Boot != s.boot:
		s.log.Info("not restoring holds of an earlier boot", "file", s.path)
		return Memory{}
	}
	return f.Memory
}

func load(path string) (f file, err error) {
	data, err := durable.Read(path, maxSize)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(data, &f); err != nil {
		return file{}, fmt.Errorf("decode: %w", err)
	}
	if f.Version != version {
		return file{}, fmt.Errorf("version %d; this vipd reads %d", f.Version, version)
	}
	return f, f.check()
}

// Put schedules a write of m and returns at once.
func (s *Store) Put(m Memory) {
	if s == nil {
		return
	}
	data, err := json.Marshal(file{Version: version, Boot: s.boot, Memory: m})
	if err == nil && len(data) > maxSize {
		err = fmt.Errorf("exceeds the limit of %d bytes", maxSize)
	}
	if err != nil {
		s.log.Error("demotions, holds and check verdicts are not stored", "file", s.path, "err", err)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if bytes.Equal(data, s.content) {
		return
	}
	s.content = data
	s.put++
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// Flush waits for the write of the last Put and returns its error.
func (s *Store) Flush(ctx context.Context) error {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	want := s.put
	for s.written < want {
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("write %s: the disk does not answer: %w", s.path, ctx.Err())
		}
		s.mu.Lock()
	}
	defer s.mu.Unlock()
	return s.err
}

// Close writes the last content and stops the Store within limit.
func (s *Store) Close(limit time.Duration) {
	if s == nil {
		return
	}
	close(s.end)
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-s.done:
	case <-timer.C:
		s.log.Warn("demotions, holds and check verdicts are not stored: the disk does not answer", "file", s.path)
	}
}

func (s *Store) run() {
	defer close(s.done)
	for {
		retry := s.writeOut()
		var again <-chan time.Time
		if retry {
			again = time.After(retryAfter)
		}
		select {
		case <-s.wake:
		case <-again:
		case <-s.end:
			s.writeOut()
			return
		}
	}
}

// writeOut writes the last content and reports whether a retry is needed.
func (s *Store) writeOut() (retry bool) {
	s.mu.Lock()
	data, number, current, before := s.content, s.put, s.written == s.put && s.err == nil, s.err
	s.mu.Unlock()
	if current {
		return false
	}
	err := durable.Put(s.path, data)
	s.mu.Lock()
	s.written, s.err = number, err
	close(s.changed)
	s.changed = make(chan struct{})
	s.mu.Unlock()
	switch {
	case err != nil && before == nil:
		s.log.Error("demotions, holds and check verdicts are not stored; a restart of vipd would lose them", "err", err)
	case err == nil && before != nil:
		s.log.Info("demotions, holds and check verdicts are stored again", "file", s.path)
	}
	return err != nil
}
