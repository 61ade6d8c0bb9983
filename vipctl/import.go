// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"vipd/vipctl/convert"
)

// converter is one of the functions of package convert.
type converter func(convert.File, convert.Options) (*convert.Result, error)

func (p *program) importCommand() *cli.Command {
	return &cli.Command{
		Name:      "import",
		Usage:     "convert the settings of another daemon to a vipd config",
		UsageText: "vipctl import ucarp|keepalived FILE",
		Description: example(
			"Prints a config for vipd. Anything without an equivalent, or that needs a decision, is reported as comments in\n"+
				"it and on stderr. Nothing is changed, and passwords are not printed. FILE may be - for standard input.",
			"vipctl import keepalived /etc/keepalived/keepalived.conf > vipd.toml",
			"vipctl import ucarp /etc/network/interfaces",
		),
		Subcommands: []*cli.Command{
			p.importFrom("ucarp",
				"convert ucarp command lines, Debian's /etc/network/interfaces or Fedora's vip-*.conf",
				"FILE is a script, crontab or unit file with ucarp command lines, /etc/network/interfaces with ucarp- options,\n"+
					"or a vip-*.conf of Fedora's package, with the defaults of the vip-common.conf next to it.",
				[]string{
					"vipctl import ucarp --write-keys /etc/network/interfaces > vipd.toml",
					"vipctl import ucarp /etc/systemd/system/ucarp.service",
					"vipctl import ucarp /etc/ucarp/vip-001.conf",
				},
				convert.Ucarp),
			p.importFrom("keepalived",
				"convert the VRRP part of keepalived.conf",
				"Each vrrp_instance becomes a [[vip]], each tracked script or interface a [[check]]. Included files are read as\n"+
					"well. VRRP and CARP do not interoperate: change all nodes of a group at once.",
				[]string{
					"vipctl import keepalived /etc/keepalived/keepalived.conf > vipd.toml && vipctl config check vipd.toml",
				},
				convert.Keepalived),
		},
	}
}

func (p *program) importFrom(name, usage, text string, examples []string, do converter) *cli.Command {
	return &cli.Command{
		Name:        name,
		Usage:       usage,
		UsageText:   "vipctl import " + name + " [--key-dir DIR] [--write-keys] [-o toml|json] FILE",
		ArgsUsage:   "FILE",
		Description: example(text, examples...),
		Flags: []cli.Flag{
			outputFlag(formatTOML, formatJSON),
			&cli.StringFlag{Name: "key-dir", Value: "/etc/vipd", Usage: "set password_file to a path in `DIR`"},
			&cli.BoolFlag{
				Name:  "write-keys",
				Usage: "write the password files, readable by root only; existing files are not overwritten",
			},
		},
		Action: withArguments(func(c *cli.Context, args []string) error { return p.importFile(c, args[0], do) }),
	}
}

func (p *program) importFile(c *cli.Context, path string, do converter) error {
	dir, err := filepath.Abs(c.String("key-dir"))
	if err != nil {
		return err
	}
	file, err := p.readImport(path)
	if err != nil {
		return err
	}
	result, err := do(file, convert.Options{KeyDir: dir, Include: includeFiles})
	if err != nil {
		return fmt.Errorf("%s cannot be converted:\n%w", file.Name, err)
	}
	if c.Bool("write-keys") {
		if err := p.writeKeys(result.Keys); err != nil {
			return err
		}
	}
	if wantsJSON(c) {
		return p.importJSON(result)
	}
	p.printf("%s", result.TOML)
	for _, n := range result.Notes {
		p.warn("%s", n)
	}
	return nil
}

func (p *program) importJSON(result *convert.Result) error {
	type note struct {
		File string `json:"file"`
		Line int    `json:"line"`
		Text string `json:"text"`
	}
	out := struct {
		TOML  string `json:"toml"`
		Notes []note `json:"notes"`
	}{TOML: result.TOML, Notes: []note{}}
	for _, n := range result.Notes {
		out.Notes = append(out.Notes, note(n))
	}
	return p.json(out)
}

// maxImport is larger than any file of settings.
const maxImport = 16 << 20

func (p *program) readImport(path string) (convert.File, error) {
	if path == "-" {
		if p.env.Stdin == nil {
			return convert.File{}, errors.New("there is no standard input")
		}
		data, err := readAll(p.env.Stdin, "standard input", maxImport)
		return convert.File{Name: "stdin", Data: data}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return convert.File{}, err
	}
	defer f.Close()
	data, err := readAll(f, path, maxImport)
	return convert.File{Name: path, Data: data}, err
}

// includeFiles reads the files of a pattern, which is relative to the including file as in keepalived.
func includeFiles(from, pattern string) ([]convert.File, error) {
	if !filepath.IsAbs(pattern) {
		pattern = filepath.Join(filepath.Dir(from), pattern)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return nil, err
	}
	var out []convert.File
	for _, path := range paths {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.Mode().IsRegular() || info.Size() > maxImport {
			continue // keepalived skips them, too
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, convert.File{Name: path, Data: data})
	}
	return out, nil
}

// writeKeys never replaces a file: another daemon may use it.
func (p *program) writeKeys(keys []convert.Key) error {
	for _, key := range keys {
		err := writeNew(key.Path, 0o600, key.Password+"\n")
		if errors.Is(err, fs.ErrExist) {
			there, readErr := os.ReadFile(key.Path)
			if readErr == nil && string(there) == key.Password+"\n" {
				continue
			}
			return fmt.Errorf("%s already exists with another password: move it away, "+
				"or select another directory with --key-dir", key.Path)
		}
		if err != nil {
			return fmt.Errorf("cannot write a password file: %w", err)
		}
		p.warn("wrote %s", key.Path)
	}
	return nil
}
