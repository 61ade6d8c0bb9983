// SPDX-License-Identifier: Apache-2.0

package config

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
)

const (
	// maxConfigSize is about 30 times the size of a config with 16,384 addresses.
	maxConfigSize = 16 << 20
	// maxPasswordFile is far more than a first line needs.
	maxPasswordFile = 64 << 10
)

// Options are the surroundings of a config. The zero value asks the host.
type Options struct {
	// Mode of the config file; one that every user can read must not have a password.
	Mode fs.FileMode
	// ReadFile returns a password file and its mode.
	ReadFile func(path string) ([]byte, fs.FileMode, error)
	// Examine returns what is wrong with the program of a hook or check.
	Examine func(path string) []command.Fault
	// Addresses returns the host's own addresses, for checks that target it.
	Addresses func() []netip.Addr
	// Hosts returns the addresses of a name in /etc/hosts. No name server is asked, so that a
	// start does not wait for one.
	Hosts func(name string) []netip.Addr
	// Credentials is the directory of systemd's LoadCredential=; "" means $CREDENTIALS_DIRECTORY.
	Credentials string
	// Hostname returns the default of node.name.
	Hostname func() (string, error)
}

func (o Options) withDefaults() Options {
	if o.ReadFile == nil {
		o.ReadFile = func(path string) ([]byte, fs.FileMode, error) { return readFile(path, maxPasswordFile) }
	}
	if o.Examine == nil {
		o.Examine = command.Examine
	}
	if o.Addresses == nil {
		o.Addresses = hostAddresses
	}
	if o.Hosts == nil {
		o.Hosts = hostsFile
	}
	if o.Credentials == "" {
		o.Credentials = os.Getenv("CREDENTIALS_DIRECTORY")
	}
	if o.Hostname == nil {
		o.Hostname = os.Hostname
	}
	return o
}

// Load reads and checks a config file; Mode of the options is that of the file. The error is an
// [*Error] with all problems, and then there is no config. Warnings are returned in both cases.
func Load(path string, opts Options) (*Config, []Problem, error) {
	data, mode, err := readFile(path, maxConfigSize)
	if err != nil {
		msg := err.Error()
		if errors.Is(err, fs.ErrNotExist) {
			msg += "; create it with `vipctl init`, select another file with --config, " +
				"or configure one group with --interface, --vhid and --address"
		}
		return nil, nil, &Error{Problems: []Problem{{File: path, Message: msg}}}
	}
	opts.Mode = mode
	return Parse(path, data, opts)
}

// readFile reads a regular file of at most limit bytes and returns its mode.
func readFile(path string, limit int64) ([]byte, fs.FileMode, error) {
	// O_NONBLOCK does not wait for the writer of a FIFO, which is refused below.
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
		return nil, 0, fmt.Errorf("cannot be read: it exceeds the limit of %d bytes", limit)
	}
	return data, fi.Mode(), nil
}

// cannotRead removes the path, which the caller adds.
func cannotRead(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Errorf("cannot be read: %w", err)
}

// LoadWithoutSecrets is [Load] for a process without access to the passwords: only the daemon
// gets systemd's credentials. The config is not compared with the host.
func LoadWithoutSecrets(path string) (*Config, error) {
	data, mode, err := readFile(path, maxConfigSize)
	if err != nil {
		return nil, &Error{Problems: []Problem{{File: path, Message: err.Error()}}}
	}
	cfg, _, err := Parse(path, data, Options{
		Mode: mode, Credentials: "/",
		ReadFile:  standIn,
		Examine:   func(string) []command.Fault { return nil },
		Addresses: func() []netip.Addr { return nil },
		Hosts:     func(string) []netip.Addr { return nil },
	})
	return cfg, err
}

// standIn is a valid password that differs for every file.
func standIn(path string) ([]byte, fs.FileMode, error) {
	sum := sha256.Sum256([]byte(path))
	return hex.AppendEncode(nil, sum[:minToken/2]), 0o600, nil
}
