// SPDX-License-Identifier: Apache-2.0

package main

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// loadModules loads every module of the directory, those it needs first: each file names them itself, so that no
// depmod is wanted.
func loadModules(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.ko"))
	if err != nil {
		return err
	}
	loaded := make(map[string]bool)
	for _, f := range files {
		if err := load(f, loaded); err != nil {
			return err
		}
	}
	return nil
}

func load(path string, loaded map[string]bool) error {
	if loaded[path] {
		return nil
	}
	loaded[path] = true
	needs, err := needsOf(path)
	if err != nil {
		return err
	}
	for _, n := range needs {
		if err := load(filepath.Join(filepath.Dir(path), n+".ko"), loaded); err != nil {
			return fmt.Errorf("for %s: %w", filepath.Base(path), err)
		}
	}
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return fmt.Errorf("load %s: %w", path, err)
	}
	return nil
}

// needsOf reads "depends=a,b" from the module.
func needsOf(path string) ([]string, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer func() { _ = f.Close() }()
	s := f.Section(".modinfo")
	if s == nil {
		return nil, fmt.Errorf("read %s: no module", path)
	}
	data, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	for field := range strings.SplitSeq(string(data), "\x00") {
		if list, ok := strings.CutPrefix(field, "depends="); ok && list != "" {
			return strings.Split(list, ","), nil
		}
	}
	return nil, nil
}
