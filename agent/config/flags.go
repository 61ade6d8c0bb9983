// SPDX-License-Identifier: Apache-2.0

package config

import "path/filepath"

// CommandLine is the [Config.Source] of a config from flags.
const CommandLine = "command line"

// Flags are vipd's flags for one group without a file.
type Flags struct {
	Interface    string
	VHID         int
	Addresses    []string
	PasswordFile string
	// AdvBase and AdvSkew default to 1 and 0 in the caller.
	AdvBase, AdvSkew int
}

// FromFlags makes a config with one group and defaults for everything else. It returns what
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

	d := &draft{section: newSection(r, "", newTable(0)), group: defaultGroup()}
	d.group.Interface = f.Interface
	d.checkInterface()
	d.hasVHID = d.flag("vhid", f.VHID, 1, 255, &d.group.VHID)
	items := make([]item, len(f.Addresses))
	for i, a := range f.Addresses {
		items[i] = item{text: a}
	}
	if len(items) == 0 {
		d.problem("addresses", "missing; at least one is needed, such as --address 192.0.2.100/24")
	}
	d.group.Addresses, d.addrLines = readAddresses(r, "addresses", items)
	base := d.flag("advbase", f.AdvBase, 0, 254, &d.group.AdvBase)
	skew := d.flag("advskew", f.AdvSkew, 0, 254, &d.group.AdvSkew)
	if base && skew {
		d.checkInterval()
	}
	if f.PasswordFile == "" {
		d.problem("password_file", "missing; name a file with the password in its first line "+
			"(an empty line is the all-zero key that CARP has without a password)")
	} else if abs, err := filepath.Abs(f.PasswordFile); err != nil {
		d.problem("password_file", "%v; use an absolute path", err)
	} else {
		d.group.PasswordFile = abs
		d.group.Password = readPassword(d.section, abs, opts)
	}
	return finish(r, cfg, []*draft{d})
}

func (d *draft) flag(key string, v, lo, hi int, dst *uint8) bool {
	if v < lo || v > hi {
		d.problem(key, "%d is out of range, allowed is %s", v, rangeText(lo, hi))
		return false
	}
	*dst = uint8(v) // lo and hi are within 0..255
	return true
}
