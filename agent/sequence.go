// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"errors"
	"io/fs"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"time"
)

// sequenceBlock is how many numbers are reserved on disk at a time.
const sequenceBlock = 1 << 16

// sequence numbers sealed adverts. It rises over restarts and crashes: a block of
// numbers is written off on disk before its first one is used, and where the file
// is lost the time of day, which rises faster than one advert a second, takes its
// place. Only the loop draws numbers.
type sequence struct {
	path     string
	log      *slog.Logger
	next     uint32
	reserved uint32 // first number that is not written off yet
	pending  chan uint32
	stored   chan error
	busy     bool
}

// openSequence reads where the last daemon stopped and writes the first block
// off. A file that cannot be read, or is not a number, is treated as lost; a
// disk that cannot be written is no reason not to start.
func openSequence(path string, now time.Time, log *slog.Logger) *sequence {
	s := &sequence{path: path, log: log, pending: make(chan uint32, 1), stored: make(chan error, 1)}
	s.next = uint32(now.Unix()) // wraps in 2106, and serial number arithmetic with it
	data, err := os.ReadFile(path)
	if err == nil {
		var n uint64
		if n, err = strconv.ParseUint(strings.TrimSpace(string(data)), 10, 32); err == nil {
			s.next = max(s.next, uint32(n))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		log.Warn("sequence of sealed adverts not readable, going on from the time of day", "err", err)
	}
	s.reserved = s.next + sequenceBlock
	if err := storeSequence(path, s.reserved); err != nil {
		log.Warn("sequence numbers of sealed adverts not written off, is state_dir writable?", "err", err)
	}
	go func() {
		for n := range s.pending {
			s.stored <- storeSequence(s.path, n)
		}
	}()
	return s
}

func storeSequence(path string, n uint32) error {
	return writeDurably(path, []byte(strconv.FormatUint(uint64(n), 10)+"\n"))
}

// draw returns the next number. The disk is written from another goroutine well
// before a block is used up; a disk that fails does not stop the adverts.
func (s *sequence) draw() uint32 {
	s.next++
	select {
	case err := <-s.stored:
		s.busy = false
		if err != nil {
			s.log.Error("sequence numbers not written off; after a crash peers may refuse this node for a while", "err", err)
		}
	default:
	}
	if left := s.reserved - s.next; !s.busy && left < sequenceBlock/2 {
		s.reserved += sequenceBlock
		s.busy = true
		s.pending <- s.reserved
	}
	return s.next
}

// close ends the writer and gives back what was not used.
func (s *sequence) close() error {
	close(s.pending)
	var err error
	if s.busy {
		err = <-s.stored
	}
	return errors.Join(err, storeSequence(s.path, s.next))
}
