// SPDX-License-Identifier: Apache-2.0

package command_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"vipd/agent/command"
	"vipd/tests/needs"
)

// Examine names every reason why a program cannot be run or can be changed by other users.
func TestExamine(t *testing.T) {
	t.Parallel()
	needs.Root(t) // for files of other users
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const sh = "#!/bin/sh\nexit 0\n"
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	link := func(name, target string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		must(os.Symlink(target, path))
		return path
	}
	of := func(path string, uid, gid int) string {
		t.Helper()
		must(os.Chown(path, uid, gid))
		return path
	}
	good := put("good", sh, 0o755)
	inOpen := put("open/x", sh, 0o755)
	must(os.Chmod(filepath.Dir(inOpen), 0o777))
	inSticky := put("sticky/x", sh, 0o755)
	must(os.Chmod(filepath.Dir(inSticky), 0o777|os.ModeSticky))
	inForeign := put("foreign/x", sh, 0o755)
	of(filepath.Dir(inForeign), 12345, 0)
	inGroup := put("group/x", sh, 0o755)
	of(filepath.Dir(inGroup), 0, 50)
	must(os.Chmod(filepath.Dir(inGroup), 0o775))
	groupOwned := of(put("g", sh, 0o755), 0, 50)
	must(os.Chmod(groupOwned, 0o775))
	noexec := filepath.Join(dir, "noexec")
	must(os.Mkdir(noexec, 0o755))
	if err := unix.Mount("tmpfs", noexec, "tmpfs", unix.MS_NOEXEC, "mode=755"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(noexec, 0) })

	for name, tt := range map[string]struct {
		path, want string // "" means no fault
		unsafe     bool
	}{
		"good":                   {path: good},
		"ELF":                    {path: "/bin/true"},
		"link":                   {path: link("link", good)},
		"sticky":                 {path: inSticky},
		"group root":             {path: put("rootgroup", sh, 0o775)},
		"env":                    {path: put("env", "#!/usr/bin/env sh\n", 0o755)},
		"relative":               {path: "good", want: "absolute"},
		"missing":                {path: dir + "/none", want: "cannot be run now: no such file"},
		"below a file":           {path: good + "/x", want: "cannot be run now: not a directory"},
		"dangling":               {path: link("dangling", dir+"/none"), want: "symbolic link to " + dir + "/none"},
		"loop":                   {path: link("loop", "loop"), want: "too many"},
		"directory":              {path: dir, want: "is a directory"},
		"device":                 {path: "/dev/null", want: "not a file"},
		"not executable":         {path: put("plain", sh, 0o644), want: "chmod +x"},
		"empty":                  {path: put("empty", "", 0o755), want: "is empty"},
		"no interpreter line":    {path: put("bare", "exit 0\n", 0o755), want: "neither with #!"},
		"interpreter missing":    {path: put("tcsh", "#!/bin/none -f\n", 0o755), want: "interpreter /bin/none"},
		"interpreter of env":     {path: put("envnone", "#!/usr/bin/env none42\n", 0o755), want: "none42 is not in PATH"},
		"windows":                {path: put("crlf", "#!/bin/sh\r\nexit 0\r\n", 0o755), want: "Windows"},
		"noexec":                 {path: put("noexec/x", sh, 0o755), want: "noexec"},
		"world-writable":         {path: put("world", sh, 0o757), want: "any user can change", unsafe: true},
		"of another user":        {path: of(put("other", sh, 0o755), 12345, 0), want: "belongs to user 12345", unsafe: true},
		"group-writable":         {path: groupOwned, want: "members of group 50 can change", unsafe: true},
		"in an open directory":   {path: inOpen, want: "can replace", unsafe: true},
		"linked into one":        {path: link("intoopen", inOpen), want: "can replace", unsafe: true},
		"in a user's directory":  {path: inForeign, want: "belongs to user 12345", unsafe: true},
		"in a group's directory": {path: inGroup, want: "members of group 50 can replace"},
	} {
		faults := command.Examine(tt.path)
		switch {
		case tt.want == "" && len(faults) > 0:
			t.Errorf("%s: %+v", name, faults)
		case tt.want != "" &&
			(len(faults) != 1 || !strings.Contains(faults[0].Text, tt.want) || faults[0].Unsafe != tt.unsafe):
			t.Errorf("%s: want %q (unsafe %v), got %+v", name, tt.want, tt.unsafe, faults)
		}
	}
}
