// SPDX-License-Identifier: Apache-2.0

package config

import (
	"path/filepath"
	"strconv"
)

// CommandLine is [Config.Source] of a config made of flags.
const CommandLine = "command line"

// Flags are vipd's flags for one VIP without a file.
type Flags struct {
	Interface    string
	VHID         int
	Addresses    []string
	PasswordFile string
	// AdvBase and AdvSkew are as given; the caller's flag defaults are 1 and 0.
	AdvBase, AdvSkew int
}

// FromFlags makes the config of one VIP, all else at its default. It returns as
// [Load] does; the keys of problems are the flags.
func FromFlags(f Flags, opts Options) (*Config, []Problem, error) {
	opts = opts.withDefaults()
	r := &report{file: CommandLine, rename: map[string]string{
		"interface": "--interface", "vhid": "--vhid", "addresses": "--address",
		"password_file": "--password-file", "advbase": "--advbase", "advskew": "--advskew",
	}}
	cfg := Default()
	cfg.Source = CommandLine
	decodeNode(newSection(r, "", newTable(0)), cfg, opts)

	d := &draft{group: defaultGroup()}
	d.group.Interface = f.Interface
	d.hasInterface = checkInterface(r, d)
	d.hasVHID = flagOctet(r, "vhid", f.VHID, 1, 255, &d.group.VHID)
	items := make([]item, len(f.Addresses))
	for i, a := range f.Addresses {
		items[i] = item{text: a}
	}
	if len(items) == 0 {
		r.problem(0, "addresses", "missing; at least one is needed, such as --address 192.0.2.100/24")
	} else {
		checkAddresses(r, d, items)
	}
	base := flagOctet(r, "advbase", f.AdvBase, 0, 254, &d.group.AdvBase)
	skew := flagOctet(r, "advskew", f.AdvSkew, 0, 254, &d.group.AdvSkew)
	if base && skew {
		checkInterval(r, d)
	}
	if f.PasswordFile == "" {
		r.problem(0, "password_file", "missing; name a file with the password in its first line (an empty line is the all-zero key that CARP has without one)")
	} else if abs, err := filepath.Abs(f.PasswordFile); err != nil {
		r.problem(0, "password_file", "%v; give an absolute path", err)
	} else {
		d.group.PasswordFile = abs
		d.group.Password = readPassword(r, 0, abs, opts)
	}
	return finish(r, cfg, []*draft{d})
}

func flagOctet(r *report, key string, v, lo, hi int, dst *uint8) bool {
	if v < lo || v > hi {
		r.problem(0, key, "%s is out of range, allowed is %s", strconv.Itoa(v), rangeText(lo, hi))
		return false
	}
	*dst = uint8(v) // within lo..hi, which callers keep within 0..255
	return true
}
