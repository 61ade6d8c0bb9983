// SPDX-License-Identifier: Apache-2.0

package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// switchFile is one bit of operator intent that lives in a file: maintenance
// mode in state_dir, the disable switch in runtime_dir. The file being there is
// the bit. What it says inside is for people: a damaged file still counts, so
// that no crash in between can take the node back into service by itself.
type switchFile struct {
	path string
}

type switchRecord struct {
	Since time.Time `json:"since"`
}

// on reports the bit and since when it has been set (zero when unknown).
func (s switchFile) on() (bool, time.Time, error) {
	data, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, time.Time{}, nil
	}
	if err != nil {
		return false, time.Time{}, fmt.Errorf("read %s: %w", s.path, err)
	}
	var rec switchRecord
	if json.Unmarshal(data, &rec) != nil {
		return true, time.Time{}, nil
	}
	return true, rec.Since, nil
}

// set writes the bit to the disk: after it returned without an error the bit
// survives a crash of the daemon and of the machine; after an error the old
// state still stands. Setting what is set already is no error.
func (s switchFile) set(on bool, now time.Time) error {
	was, _, err := s.on()
	if err != nil {
		return err
	}
	if was == on {
		return nil
	}
	if !on {
		if err := os.Remove(s.path); err != nil {
			return fmt.Errorf("remove %s: %w", s.path, err)
		}
		return syncDir(filepath.Dir(s.path))
	}
	data, err := json.Marshal(switchRecord{Since: now.UTC()})
	if err != nil {
		return fmt.Errorf("encode %s: %w", s.path, err)
	}
	return writeDurably(s.path, append(data, '\n'))
}

// writeDurably replaces path with data: temporary file, fsync, rename, fsync of
// the directory. At no moment is there a half-written file under that name.
func writeDurably(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, ignoreMissing(os.Remove(tmp.Name())))
		}
	}()
	if _, err = tmp.Write(data); err == nil {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err = os.Rename(tmp.Name(), path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return syncDir(dir)
}

// sweepTorn removes what writeDurably leaves of the named files when the daemon is killed
// in it. The lock on the directory must be held: nobody else writes there.
func sweepTorn(dir string, names ...string) error {
	var errs []error
	for _, name := range names {
		torn, err := filepath.Glob(filepath.Join(dir, "."+name+".*"))
		errs = append(errs, err)
		for _, path := range torn {
			errs = append(errs, ignoreMissing(os.Remove(path)))
		}
	}
	return errors.Join(errs...)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

func ignoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
