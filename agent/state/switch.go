// SPDX-License-Identifier: Apache-2.0

package state

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"sync/atomic"
	"time"

	"vipd/agent/control/api"
	"vipd/agent/state/durable"
)

// switchLimit is how long a command waits for the disk.
const switchLimit = 5 * time.Second

// switchContentLimit is more than the content has, in bytes.
const switchContentLimit = 4096

// Switch is one bit of the operator's intent in a file: maintenance mode in
// state_dir, the disable switch in runtime_dir. The bit is set while the file
// exists. The content is for people: a damaged file still counts, so that a
// crash never returns the node to service by itself.
type Switch struct {
	path  string
	limit time.Duration // 0 means switchLimit
	busy  chan struct{} // holds a token during a write, which may never end
	hangs func()        // for tests: called before the write
}

// NewSwitch returns the switch that is kept at path.
func NewSwitch(path string) Switch {
	return Switch{path: path, busy: make(chan struct{}, 1)}
}

type switchContent struct {
	Since time.Time `json:"since"`
}

// On reports the bit and since when it has been set (zero when unknown).
func (s Switch) On() (bool, time.Time, error) {
	data, err := s.read()
	if errors.Is(err, fs.ErrNotExist) {
		return false, time.Time{}, nil
	}
	if err != nil {
		return false, time.Time{}, fmt.Errorf("%w; if this node is to serve, remove %s", err, s.path)
	}
	var content switchContent
	if json.Unmarshal(data, &content) != nil {
		return true, time.Time{}, nil
	}
	return true, content.Since, nil
}

// read returns the content. The file of a machine that crashed may have any length; the bit is set all the same.
func (s Switch) read() ([]byte, error) {
	f, err := durable.Open(s.path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, switchContentLimit))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return data, nil
}

// Set writes the bit to the disk. After a return without error, the bit survives a crash of the daemon and of the
// machine; after an error, the old state still holds. Setting a bit that is already set is not an error. Set waits
// for a disk that does not respond until the limit, and undoes a write that the disk completes after that, so that
// nothing changes that was reported as unchanged.
func (s Switch) Set(on bool, now time.Time) error {
	limit := s.limit
	if limit == 0 {
		limit = switchLimit
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	select {
	case s.busy <- struct{}{}:
	default:
		cancel()
		return s.silent("an earlier write still hangs")
	}
	done := make(chan error, 1)
	var decided atomic.Bool // by the first of: the write counts, or the caller is told that it does not
	go func() {
		err := s.write(ctx, on, now, func() bool { return decided.CompareAndSwap(false, true) })
		<-s.busy // before the answer: the next command may come at once
		done <- err
		cancel()
	}()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		if !decided.CompareAndSwap(false, true) {
			return <-done
		}
		return s.silent(fmt.Sprintf("no write within %v", limit))
	}
}

func (s Switch) silent(what string) error {
	return api.Errorf(
		api.CodeTimeout,
		"nothing changed: cannot write %s: the disk does not answer (%s); if the write completes later, vipd "+
			"undoes it. See dmesg and `findmnt -T %s`",
		s.path,
		what,
		filepath.Dir(s.path),
	)
}

// write leaves the file as it was unless it counts in the end.
func (s Switch) write(ctx context.Context, on bool, now time.Time, counts func() bool) error {
	if s.hangs != nil {
		s.hangs()
	}
	was, err := s.read()
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		counts() // or Set could take the error for a disk that does not answer
		return err
	}
	if on != missing {
		counts()
		return nil // there already, or gone already
	}
	data, err := json.Marshal(switchContent{Since: now.UTC()})
	if err != nil {
		return fmt.Errorf("encode %s: %w", s.path, err)
	}
	if err = ctx.Err(); err == nil && on {
		err = durable.WriteUnless(ctx, s.path, append(data, '\n'))
	} else if err == nil {
		err = durable.Remove(s.path)
	}
	if counts() {
		return err
	}
	if on {
		err = errors.Join(err, durable.Remove(s.path))
	} else {
		err = errors.Join(err, durable.Write(s.path, was))
	}
	return err
}
