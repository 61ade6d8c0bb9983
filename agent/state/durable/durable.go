// SPDX-License-Identifier: Apache-2.0

// Package durable replaces files so that a crash leaves either the old or the new content, and reads files in whose
// place anything may stand.
package durable

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Open opens a regular file for reading. Anything else in its place is an error: a FIFO would block the reader, and a
// device may never end.
func Open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if err := regular(f); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// SetAside renames a file that cannot be used to path.damaged, in place of an earlier one, so that somebody can look at
// it. It returns that name, and why with the error of renaming, if there is one.
func SetAside(path string, why error) (aside string, err error) {
	aside = path + ".damaged"
	return aside, errors.Join(why, os.Rename(path, aside))
}

func regular(f *os.File) error {
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	if !fi.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file (%s)", f.Name(), fi.Mode())
	}
	return nil
}

// Read returns the content of a regular file that has at most limit bytes.
func Read(path string, limit int64) ([]byte, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s exceeds the limit of %d bytes", path, limit)
	}
	return data, nil
}

// Overwrite writes data over the beginning of a regular file, which it creates if it is missing, without fsync.
func Overwrite(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	if err = regular(f); err == nil {
		_, err = f.WriteAt(data, 0)
	}
	return errors.Join(err, f.Close())
}

// Write replaces path with data: temporary file, fsync, rename, fsync of the directory. Readers never
// see an incomplete file.
func Write(path string, data []byte) error { return replace(context.Background(), path, data, true) }

// WriteUnless is Write that gives up and removes the temporary file if ctx ends before the rename. A
// disk that hangs may block it forever in any step.
func WriteUnless(ctx context.Context, path string, data []byte) error {
	return replace(ctx, path, data, true)
}

// Put is Write without fsync: the file survives the end of the process but maybe not a crash of the machine.
func Put(path string, data []byte) error { return replace(context.Background(), path, data, false) }

func replace(ctx context.Context, path string, data []byte, synced bool) (err error) {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*")
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, IgnoreMissing(os.Remove(tmp.Name())))
		}
	}()
	if _, err = tmp.Write(data); err == nil && synced {
		err = tmp.Sync()
	}
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = ctx.Err()
	}
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if !synced {
		return nil
	}
	return SyncDir(dir)
}

// Remove removes path durably. It is not an error if the file does not exist.
func Remove(path string) error {
	if err := IgnoreMissing(os.Remove(path)); err != nil {
		return fmt.Errorf("remove %s: %w", path, err)
	}
	return SyncDir(filepath.Dir(path))
}

// Sweep removes temporary files of the named files that a killed process left. The caller must be the
// only writer in the directory.
func Sweep(dir string, names ...string) error {
	var errs []error
	for _, name := range names {
		left, err := filepath.Glob(filepath.Join(dir, "."+name+".*"))
		errs = append(errs, err)
		for _, path := range left {
			errs = append(errs, IgnoreMissing(os.Remove(path)))
		}
	}
	return errors.Join(errs...)
}

// SyncDir makes the file names in a directory durable.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	if err := errors.Join(d.Sync(), d.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", dir, err)
	}
	return nil
}

// IgnoreMissing returns nil if err means that a file does not exist.
func IgnoreMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
