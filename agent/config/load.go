// SPDX-License-Identifier: Apache-2.0

package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

const (
	// maxConfigSize is some 30 times what 16,384 addresses need.
	maxConfigSize = 16 << 20
	// maxPasswordFile is far more than a first line can need.
	maxPasswordFile = 64 << 10
)

// Options are what a config depends on beside its bytes. The zero value asks the host.
type Options struct {
	// Mode of the config file; a file that others may read must not hold a password.
	Mode fs.FileMode
	// ReadFile reads a password file and its mode; nil reads the host's files.
	ReadFile func(path string) ([]byte, fs.FileMode, error)
	// Stat tells the mode of a hook; nil asks the host.
	Stat func(path string) (fs.FileMode, error)
	// Credentials is the directory of systemd's LoadCredential=; "" takes the host's
	// $CREDENTIALS_DIRECTORY.
	Credentials string
	// Hostname is the default of node.name; nil asks the host.
	Hostname func() (string, error)
}

func (o Options) withDefaults() Options {
	if o.ReadFile == nil {
		o.ReadFile = func(path string) ([]byte, fs.FileMode, error) { return readFile(path, maxPasswordFile) }
	}
	if o.Stat == nil {
		o.Stat = func(path string) (fs.FileMode, error) {
			fi, err := os.Stat(path)
			if pe, ok := errors.AsType[*fs.PathError](err); ok {
				return 0, pe.Err
			}
			if err != nil {
				return 0, err
			}
			return fi.Mode(), nil
		}
	}
	if o.Credentials == "" {
		o.Credentials = os.Getenv("CREDENTIALS_DIRECTORY")
	}
	if o.Hostname == nil {
		o.Hostname = os.Hostname
	}
	return o
}

// Load reads and checks a config file. The error is an [*Error] with all problems;
// then there is no config. Warnings come in both cases.
func Load(path string) (*Config, []Problem, error) {
	data, mode, err := readFile(path, maxConfigSize)
	if err != nil {
		msg := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			msg += "; write one (packaging/vipd.toml shows every key), name another with --config, or give one address with --interface, --vhid and --address"
		}
		return nil, nil, &Error{Problems: []Problem{{File: path, Message: msg}}}
	}
	return Parse(path, data, Options{Mode: mode})
}

// readFile reads a regular file of at most limit bytes. The mode is that of the very
// file that was read.
func readFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	// Not to hang on a FIFO: it is refused below.
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, cannotRead(err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, 0, cannotRead(err)
	}
	if !fi.Mode().IsRegular() {
		return nil, 0, errors.New("cannot be read: it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err != nil {
		return nil, 0, cannotRead(err)
	}
	if int64(len(data)) > limit {
		return nil, 0, fmt.Errorf("cannot be read: it is larger than %d bytes", limit)
	}
	return data, fi.Mode(), nil
}

// cannotRead drops the path from the text, which the caller prints anyway.
func cannotRead(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}
