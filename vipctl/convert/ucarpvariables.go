// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"path"
	"slices"
	"strings"
)

// Fedora's package has one file of shell variables per address, /etc/ucarp/vip-NAME.conf, which is
// read after the defaults in vip-common.conf. The vhid is VID or, in older packages, the number in
// the file name.

const (
	commonFile = "vip-common.conf"
	commonPath = "/etc/ucarp/" + commonFile
)

// isVariables reports whether a file is one of Fedora's: variables without a ucarp command.
func isVariables(lines []line) bool {
	known := false
	for _, l := range lines {
		text := strings.TrimSpace(l.text)
		name, _, ok := assignment(text)
		if !ok && strings.Contains(text, "ucarp") && !strings.HasPrefix(text, "#") {
			return false
		}
		known = known || ok && (name == "VIP_ADDRESS" || name == "BIND_INTERFACE")
	}
	return known
}

// assignment splits NAME=VALUE; VALUE is the rest of the line.
func assignment(text string) (name, value string, ok bool) {
	text = strings.TrimPrefix(text, "export ")
	name, value, ok = strings.Cut(text, "=")
	return name, value, ok && isName(name)
}

// variables reads one of Fedora's files.
func variables(r *reader, f File, lines []line) []*ucarp {
	u := &ucarp{at: origin{f.Name, 1}}
	values := map[string]variable{}
	if path.Base(f.Name) == commonFile {
		r.problem(origin{file: f.Name},
			"it has the defaults for all addresses: import each vip-*.conf next to it, which reads it as well")
		return nil
	}
	if common, ok := r.common(f); ok {
		r.assign(common.Name, logicalLines(plain(common.Data)), values)
	}
	r.assign(f.Name, lines, values)
	u.take(r, values)
	if u.vhid == "" {
		u.vhid = numberOf(f.Name)
	}
	if u.vhid == "" {
		r.problem(origin{file: f.Name},
			"the vhid is not known: the file has no VID, and its name is not vip-NUMBER.conf; add VID=NUMBER to it")
		return nil
	}
	return []*ucarp{u}
}

// variable is a value with its origin.
type variable struct {
	placed
	expands bool
}

// common finds the file of defaults, next to the file or in the directory of the package.
func (r *reader) common(f File) (File, bool) {
	at := origin{file: f.Name}
	if r.opts.Include == nil {
		r.note(at, "%s was not read: add its values", commonPath)
		return File{}, false
	}
	for _, name := range []string{commonFile, commonPath} {
		files, err := r.opts.Include(f.Name, name)
		if err != nil {
			r.problem(at, "read %s: %v", name, err)
			return File{}, false
		}
		if len(files) > 0 {
			return files[0], true
		}
	}
	r.note(at, "there is no %s next to it or in %s, so its defaults are missing", commonFile, path.Dir(commonPath))
	return File{}, false
}

// assign reads the variables of one file, which replace earlier values.
func (r *reader) assign(file string, lines []line, values map[string]variable) {
	for _, l := range lines {
		text := strings.TrimSpace(l.text)
		at := origin{file, l.number}
		name, value, ok := assignment(text)
		if text == "" || strings.HasPrefix(text, "#") {
			continue
		}
		if !ok {
			r.note(at, "this line is not NAME=VALUE and was left out")
			continue
		}
		words, err := shellWords(value)
		switch {
		case err != nil:
			r.problem(at, "%v", err)
			continue
		case len(words) > 1:
			r.note(at, "only the first word of %s was taken: the shell would run the others as a command", name)
		case len(words) == 0:
			words = []shellWord{{}}
		}
		values[name] = variable{placed{at, words[0].text}, words[0].expands}
	}
}

// take converts the variables to options. OPTIONS is the last part of ucarp's command line.
func (u *ucarp) take(r *reader, values map[string]variable) {
	into := map[string]*string{
		"VID": &u.vhid, "VHID": &u.vhid, "BIND_INTERFACE": &u.ifname, "SOURCE_ADDRESS": &u.srcip, "VIP_ADDRESS": &u.addr,
		"PASSWORD": &u.password, "PASSFILE": &u.passfile,
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return values[a].at.compare(values[b].at) })
	for _, name := range names {
		v := values[name]
		switch dst := into[name]; {
		case dst != nil:
			*dst = v.text
			if name == "PASSWORD" && v.text != "" {
				u.secretExpands = v.expands
			} else if v.expands && name != "SOURCE_ADDRESS" { // which is only reported
				r.problem(v.at, "%s is %q, which only the shell can expand: replace it by its value and import again", name, v.text)
			}
			if name == "VIP_ADDRESS" {
				u.at = v.at
			}
		case name == "OPTIONS":
		case name == "UPSCRIPT" || name == "DOWNSCRIPT":
			if path.Dir(v.text) != "/usr/libexec/ucarp" && v.text != "" { // the package's own scripts only move the address
				u.scripts = append(u.scripts, v.text)
			}
		default:
			r.note(v.at, "%s has no equivalent in vipd", name)
		}
	}
	if u.password != "" && strings.HasPrefix(u.password, "/") && u.passfile == "" {
		r.note(values["PASSWORD"].at, "the password looks like a file name; ucarp uses it as it is")
	}
	u.vhid = strings.TrimLeft(u.vhid, "0")
	if o, ok := values["OPTIONS"]; ok && o.text != "" {
		words, err := shellWords(o.text)
		if err != nil {
			r.problem(o.at, "OPTIONS: %v", err)
			return
		}
		u.options(r, o.at, words)
	}
}

// numberOf returns the NUMBER of vip-NUMBER.conf without leading zeros, "" for other names.
func numberOf(file string) string {
	name, ok := strings.CutPrefix(path.Base(file), "vip-")
	name, conf := strings.CutSuffix(name, ".conf")
	if !ok || !conf || strings.Trim(name, "0123456789") != "" {
		return ""
	}
	return strings.TrimLeft(name, "0")
}
