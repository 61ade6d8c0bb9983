// SPDX-License-Identifier: Apache-2.0

package command

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// searchPath is PATH of every command.
const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Fault is a problem of a program on this host.
type Fault struct {
	// Text names the path, the problem and what to do, without a full stop.
	Text string
	// Unsafe faults let another user than root decide what is run.
	Unsafe bool
}

// Examine checks whether a program can be run and whether only root can change it. It does not run it.
func Examine(path string) []Fault {
	if !filepath.IsAbs(path) {
		return []Fault{{Text: fmt.Sprintf("%s is not an absolute path; commands run without a shell and its PATH", path)}}
	}
	fi, err := os.Stat(path)
	if err != nil {
		return []Fault{{Text: missing(path, err)}}
	}
	faults := programFaults(path, fi)
	if !fi.Mode().IsRegular() {
		return faults
	}
	faults = append(faults, ownershipFaults(path, fi)...)
	for _, dir := range parents(path) {
		if fi, err := os.Stat(dir); err == nil {
			faults = append(faults, directoryFaults(path, dir, fi)...)
		}
	}
	return faults
}

func missing(path string, err error) string {
	if target, linkErr := os.Readlink(path); linkErr == nil && errors.Is(err, fs.ErrNotExist) {
		return fmt.Sprintf("%s cannot be run now: it is a symbolic link to %s, which does not exist", path, target)
	}
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		err = pe.Err
	}
	return fmt.Sprintf("%s cannot be run now: %v", path, err)
}

// programFaults returns the problems for which the kernel would not start the program.
func programFaults(path string, fi fs.FileInfo) []Fault {
	switch {
	case fi.IsDir():
		return []Fault{{Text: fmt.Sprintf("%s cannot be run: it is a directory; name a program in it", path)}}
	case !fi.Mode().IsRegular():
		return []Fault{{Text: fmt.Sprintf("%s cannot be run: it is not a file", path)}}
	case fi.Mode()&0o111 == 0:
		return []Fault{{Text: fmt.Sprintf("%s cannot be run: it is not executable; run `chmod +x %s`", path, path)}}
	}
	var mount unix.Statfs_t
	if err := unix.Statfs(path, &mount); err == nil && mount.Flags&unix.ST_NOEXEC != 0 {
		return []Fault{{Text: fmt.Sprintf("%s cannot be run: its filesystem is mounted noexec; move the program", path)}}
	}
	if why := interpreterFault(path); why != "" {
		return []Fault{{Text: fmt.Sprintf("%s cannot be run: %s", path, why)}}
	}
	return nil
}

// interpreterFault checks the first line, of which it reads as much as the kernel (BINPRM_BUF_SIZE).
func interpreterFault(path string) string {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		return "" // a program can be executable without being readable
	}
	defer f.Close()
	head := make([]byte, 256)
	n, err := f.Read(head)
	head = head[:n]
	switch {
	case n == 0 && err != nil:
		return "it is empty"
	case bytes.HasPrefix(head, []byte("\x7fELF")):
		return ""
	case !bytes.HasPrefix(head, []byte("#!")):
		return "it starts neither with #! nor as an ELF file; make #!/bin/sh its first line"
	}
	line, _, _ := bytes.Cut(head[2:], []byte("\n"))
	words := strings.Fields(strings.TrimSuffix(string(line), "\r"))
	switch {
	case bytes.HasSuffix(line, []byte("\r")):
		return "its lines have Windows line endings, which become part of the interpreter's name; " +
			"remove them with `sed -i 's/\\r$//'`"
	case len(words) == 0:
		return "there is no interpreter after #!"
	}
	if fi, err := os.Stat(words[0]); err != nil || !fi.Mode().IsRegular() || fi.Mode()&0o111 == 0 {
		return fmt.Sprintf("its interpreter %s does not exist or is not executable", words[0])
	}
	if filepath.Base(words[0]) == "env" && len(words) > 1 && !strings.HasPrefix(words[1], "-") &&
		!strings.Contains(words[1], "=") && !inSearchPath(words[1]) {
		return fmt.Sprintf("its interpreter %s is not in PATH, which is %s", words[1], searchPath)
	}
	return ""
}

func inSearchPath(name string) bool {
	if strings.Contains(name, "/") {
		return true // relative to /; not checked
	}
	for dir := range strings.SplitSeq(searchPath, ":") {
		if fi, err := os.Stat(filepath.Join(dir, name)); err == nil && fi.Mode().IsRegular() && fi.Mode()&0o111 != 0 {
			return true
		}
	}
	return false
}

func exposed(format string, args ...any) []Fault {
	return []Fault{{Text: fmt.Sprintf(format, args...), Unsafe: true}}
}

// ownershipFaults returns the problems of the file's owner and mode.
func ownershipFaults(path string, fi fs.FileInfo) []Fault {
	st, ok := fi.Sys().(*syscall.Stat_t)
	switch {
	case !ok:
		return nil
	case fi.Mode()&0o002 != 0:
		return exposed("any user can change %s, which vipd runs; run `chmod o-w %s`", path, path)
	case !ours(st.Uid):
		return exposed("%s, which vipd runs, belongs to user %d, who can change it; run `chown root %s`",
			path, st.Uid, path)
	case fi.Mode()&0o020 != 0 && st.Gid != 0:
		return exposed("members of group %d can change %s, which vipd runs; run `chmod g-w %s`", st.Gid, path, path)
	}
	return nil
}

// directoryFaults returns the problems of a directory on the path: users who can write there can
// replace the program, unless the sticky bit protects it.
func directoryFaults(path, dir string, fi fs.FileInfo) []Fault {
	st, ok := fi.Sys().(*syscall.Stat_t)
	sticky := fi.Mode()&fs.ModeSticky != 0
	switch {
	case !ok:
		return nil
	case fi.Mode()&0o002 != 0 && !sticky:
		return exposed("any user can replace %s, which vipd runs; run `chmod o-w %s`", path, dir)
	case !ours(st.Uid):
		return exposed("%s is in %s, which belongs to user %d, who can replace it; run `chown root %s`",
			path, dir, st.Uid, dir)
	case fi.Mode()&0o020 != 0 && st.Gid != 0 && !sticky:
		// A warning only: older Debian has /usr/local as root:staff 2775.
		faults := exposed("members of group %d can replace %s, which vipd runs; run `chmod g-w %s`", st.Gid, path, dir)
		faults[0].Unsafe = false
		return faults
	}
	return nil
}

// ours reports whether the user is root or the one that vipd runs as.
func ours(uid uint32) bool { return uid == 0 || uid == uint32(os.Geteuid()) }

// parents returns the directories on the way to a path and to the target of its links, each once,
// the nearest first.
func parents(path string) []string {
	var out []string
	seen := map[string]bool{}
	walk := func(p string) {
		for dir := filepath.Dir(p); !seen[dir]; dir = filepath.Dir(dir) {
			seen[dir] = true
			out = append(out, dir)
		}
	}
	walk(path)
	if target, err := filepath.EvalSymlinks(path); err == nil {
		walk(target)
	}
	return out
}

// Exposed describes how a user other than root can change or replace a file; "" if none can.
func Exposed(path string) string {
	fi, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	faults := ownershipFaults(path, fi)
	for _, dir := range parents(path) {
		if fi, err := os.Stat(dir); err == nil {
			faults = append(faults, directoryFaults(path, dir, fi)...)
		}
	}
	for _, f := range faults {
		if f.Unsafe {
			return f.Text
		}
	}
	return ""
}
