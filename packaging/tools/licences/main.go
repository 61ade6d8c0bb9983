// SPDX-License-Identifier: Apache-2.0

// Command licences prints the licences of everything that is linked into programs: those of the Go library and of each
// module, with their notices. It fails if a module has none.
//
//	licences DIRECTORY PACKAGE...
//
// DIRECTORY is the module that the packages are in. The environment (GOARCH, GOFLAGS) chooses what is built.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: licences DIRECTORY PACKAGE...")
		os.Exit(2)
	}
	if err := write(os.Stdout, os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "licences:", err)
		os.Exit(1)
	}
}

// module is what `go list` reports of one.
type module struct {
	Path, Version, Dir string
	Main               bool
}

func write(w io.Writer, dir string, packages []string) error {
	modules, err := linked(dir, packages)
	if err != nil {
		return err
	}
	for i, m := range modules {
		texts, err := texts(m)
		if err != nil {
			return err
		}
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprintf(w, "%s\n%s\n", strings.TrimSpace(m.Path+" "+m.Version), strings.Repeat("=", 72))
		for _, text := range texts {
			fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(text))
		}
	}
	return nil
}

// linked returns the Go library and the modules that have a package in the programs, in the order of their names.
func linked(dir string, packages []string) ([]module, error) {
	out, err := goCommand(dir, append([]string{"list", "-deps", "-json=Module"}, packages...)...)
	if err != nil {
		return nil, err
	}
	root, err := goCommand(dir, "env", "GOROOT")
	if err != nil {
		return nil, err
	}
	modules := []module{{Path: "Go standard library", Dir: strings.TrimSpace(root)}}
	for d := json.NewDecoder(strings.NewReader(out)); ; {
		var p struct{ Module *module }
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("read the answer of go list: %w", err)
		}
		if p.Module != nil && !p.Module.Main && !slices.Contains(modules, *p.Module) {
			modules = append(modules, *p.Module)
		}
	}
	slices.SortFunc(modules[1:], func(a, b module) int { return strings.Compare(a.Path, b.Path) })
	return modules, nil
}

func goCommand(dir string, args ...string) (string, error) {
	cmd := exec.Command("go", args...)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("go %s: %w", strings.Join(args, " "), err)
	}
	return string(out), nil
}

var named = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([.-].*)?$`)

// texts returns the licence and the notices in the directory of a module.
func texts(m module) ([]string, error) {
	entries, err := os.ReadDir(m.Dir)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Path, err)
	}
	var texts []string
	licensed := false
	for _, e := range entries {
		if !e.Type().IsRegular() || !named.MatchString(e.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(m.Dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Path, err)
		}
		licensed = licensed || !strings.HasPrefix(strings.ToUpper(e.Name()), "NOTICE")
		texts = append(texts, string(text))
	}
	if !licensed {
		return nil, fmt.Errorf("%s has no licence in %s: replace the module, or ask its author", m.Path, m.Dir)
	}
	return texts, nil
}
