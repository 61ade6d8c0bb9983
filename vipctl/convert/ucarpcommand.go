// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"cmp"
	"path"
	"slices"
	"strings"
)

// commandLines finds the command lines of ucarp in a script or unit file.
func commandLines(r *reader, file string, lines []line) []*ucarp {
	var found []*ucarp
	for _, l := range lines {
		at := origin{file, l.number}
		text := strings.TrimSpace(l.text)
		if strings.HasPrefix(text, "#") || strings.HasPrefix(text, ";") || !strings.Contains(text, "ucarp") {
			continue
		}
		if command, isUnit := strings.CutPrefix(text, "ExecStart="); isUnit {
			text = strings.TrimLeft(command, "-@:+!")
		} else if key, _, isSetting := strings.Cut(text, "="); isSetting && !strings.ContainsAny(key, " \t/-") {
			continue // Description=ucarp on eth0, PIDFile=/run/ucarp.pid, UCARP=/usr/sbin/ucarp
		}
		words, err := shellWords(text)
		if err != nil {
			r.problem(at, "%v", err)
			continue
		}
		i := slices.IndexFunc(words, func(w shellWord) bool {
			return path.Base(w.text) == "ucarp" || w.text == "$UCARP" || w.text == "${UCARP}"
		})
		if i < 0 || !slices.ContainsFunc(words[i:], func(w shellWord) bool { return strings.HasPrefix(w.text, "-") }) {
			continue // a sentence, or only a path to ucarp
		}
		if u := (&ucarp{at: at}); u.options(r, at, words[i+1:]) {
			found = append(found, u)
		}
	}
	return found
}

// options reads ucarp's arguments as getopt_long does: -i eth0, -ieth0, -Pz, --interface=eth0,
// --interface eth0, and unambiguous prefixes of names. It returns false after an error.
func (u *ucarp) options(r *reader, at origin, args []shellWord) bool {
	for len(args) > 0 {
		arg, expands := args[0].text, args[0].expands
		args = args[1:]
		if arg == "--" || !strings.HasPrefix(arg, "-") || arg == "-" {
			if arg != "--" {
				r.note(at, "the argument %q was left out: ucarp has no arguments", arg)
			}
			continue
		}
		var value string
		var has bool
		letters := arg[1:]
		if long, isLong := strings.CutPrefix(arg, "--"); isLong {
			var name string
			name, value, has = strings.Cut(long, "=")
			if letters = letterOf(name); letters == "" {
				r.problem(at, "there is no option --%s in ucarp", name)
				return false
			}
		}
		for letters != "" {
			c := letters[0]
			letters = letters[1:]
			if !strings.ContainsRune(valued, rune(c)) {
				if !u.flag(c) {
					r.problem(at, "there is no option -%s in ucarp", string(rune(c)))
					return false
				}
				continue
			}
			if !has {
				if value, letters = letters, ""; value == "" {
					if len(args) == 0 {
						r.problem(at, "option %s has no value", arg)
						return false
					}
					value, expands, args = args[0].text, args[0].expands, args[1:]
				}
			}
			u.set(r, at, c, value)
			u.secretExpands = u.secretExpands || c == 'p' && expands
		}
	}
	return true
}

// valued are the options with a value.
const valued = "isvpoabkrudfxm"

// letterOf returns the letter of a long option or of its unambiguous prefix.
func letterOf(name string) string {
	options := []struct{ letter, long string }{
		{"i", "interface"},
		{"s", "srcip"},
		{"v", "vhid"},
		{"p", "pass"},
		{"o", "passfile"},
		{"P", "preempt"},
		{"n", "neutral"},
		{"a", "addr"},
		{"h", "help"},
		{"b", "advbase"},
		{"k", "advskew"},
		{"u", "upscript"},
		{"d", "downscript"},
		{"r", "deadratio"},
		{"D", "debug"},
		{"z", "shutdown"},
		{"B", "daemonize"},
		{"S", "ignoreifstate"},
		{"M", "nomcast"},
		{"f", "facility"},
		{"x", "xparam"},
		{"m", "mcast"},
	}
	fits := ""
	for _, o := range options {
		switch {
		case o.long == name:
			return o.letter
		case name != "" && strings.HasPrefix(o.long, name):
			if fits != "" {
				return ""
			}
			fits = o.letter
		}
	}
	return fits
}

// flag reads an option without a value. Most concern how ucarp runs and mean nothing to vipd, which
// always does what -z and -n select.
func (u *ucarp) flag(c byte) bool {
	switch c {
	case 'P':
		u.preempt = true
	case 'M':
		u.nomcast = true
	case 'S':
		u.ignoreLink = true
	case 'n', 'h', 'D', 'z', 'B':
	default:
		return false
	}
	return true
}

func (u *ucarp) set(r *reader, at origin, c byte, value string) {
	into := map[byte]*string{
		'i': &u.ifname, 's': &u.srcip, 'v': &u.vhid, 'p': &u.password, 'o': &u.passfile, 'a': &u.addr,
		'b': &u.advbase, 'k': &u.advskew, 'r': &u.deadratio, 'x': &u.xparam, 'm': &u.mcast,
	}[c]
	switch {
	case into != nil:
		*into = cmp.Or(value, *into)
	case c == 'u' || c == 'd':
		u.scripts = append(u.scripts, value)
	default: // -f
		r.note(at, "the syslog facility %s has no equivalent: vipd logs to standard error, which the journal reads", value)
	}
}
