// SPDX-License-Identifier: Apache-2.0

// Package setup knows which Debian package provides each command that tests, scripts and the demo start.
// tests/setup.sh installs from the same list.
package setup

import (
	_ "embed"
	"fmt"
	"path"
	"slices"
	"strings"
)

//go:embed packages
var list string

// Packages returns the package that provides each command and each file (by its absolute path).
func Packages() (map[string]string, error) { return parse(list) }

func parse(text string) (map[string]string, error) {
	packages := map[string]string{}
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		if strings.TrimSpace(line) == "" {
			continue
		}
		name, provides, ok := strings.Cut(line, ":")
		if !ok || len(strings.Fields(name)) != 1 || len(strings.Fields(provides)) == 0 {
			return nil, fmt.Errorf("setup/packages, line %d: %q is not \"package: command or /file ...\"", i+1, line)
		}
		for provided := range strings.FieldsSeq(provides) {
			if other, twice := packages[provided]; twice {
				return nil, fmt.Errorf("setup/packages, line %d: %s is given more than once, also by %s", i+1, provided, other)
			}
			packages[provided] = strings.TrimSpace(name)
		}
	}
	return packages, nil
}

// own are the commands that this tree builds, and the Go toolchain that builds them.
var own = []string{"vipd", "vipctl", "go"}

// Check returns an error if no package of the list provides the command. It accepts every path outside the system's
// directories, since that is a file of the tree or of the test.
func Check(command string) error {
	if dir := path.Dir(command); dir != "." && !slices.Contains([]string{"/bin", "/sbin", "/usr/bin", "/usr/sbin"}, dir) {
		return nil
	}
	packages, err := Packages()
	if err != nil {
		return err
	}
	return check(packages, command)
}

func check(packages map[string]string, command string) error {
	base := path.Base(command)
	if packages[base] != "" || slices.Contains(own, base) {
		return nil
	}
	return fmt.Errorf("%s is started but no package in setup/packages brings it: "+
		"add it there, so that tests/setup.sh installs it on every machine", base)
}
