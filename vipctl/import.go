// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"vipd/vipctl/convert"
)

const formatTOML = "toml"

func (p *program) importCommand() *cli.Command {
	sub := func(name, usage, text string, lines []string, do func(convert.File, convert.Options) (*convert.Result, error)) *cli.Command {
		return &cli.Command{
			Name: name, Usage: usage, UsageText: "vipctl import " + name + " [--key-dir DIR] [--write-keys] [-o toml|json] FILE",
			ArgsUsage:   "FILE",
			Description: example(text, lines...),
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: formatTOML, Usage: "`FORMAT`: toml, json"},
				&cli.StringFlag{Name: "key-dir", Value: "/etc/vipd", Usage: "let password_file point into `DIR`"},
				&cli.BoolFlag{Name: "write-keys", Usage: "write the password files, which only root may read; none is overwritten"},
			},
			Action: func(c *cli.Context) error { return p.importFile(c, do) },
		}
	}
	cmd := &cli.Command{
		Name:      "import",
		Usage:     "turn the settings of another daemon into a config of vipd",
		UsageText: "vipctl import ucarp|keepalived FILE",
		Description: example("Prints a config for vipd and, as comments in it and on stderr, what has no equal or must be decided. Nothing is\n"+
			"changed, and passwords are not printed. FILE may be - for the standard input.",
			"vipctl import keepalived /etc/keepalived/keepalived.conf > vipd.toml", "vipctl import ucarp /etc/network/interfaces"),
		Subcommands: []*cli.Command{
			sub("ucarp", "of ucarp's command lines, or of Debian's /etc/network/interfaces",
				"FILE is a script, crontab or unit file with command lines of ucarp, or /etc/network/interfaces with ucarp- options.",
				[]string{"vipctl import ucarp --write-keys /etc/network/interfaces > vipd.toml", "vipctl import ucarp /etc/systemd/system/ucarp.service"}, convert.Ucarp),
			sub("keepalived", "of keepalived.conf, its VRRP part",
				"Each vrrp_instance becomes a [[vip]], each tracked script or interface a [[check]]. Files that are included are read as well.\n"+
					"VRRP and CARP do not understand each other: change all nodes of a group at once.",
				[]string{"vipctl import keepalived /etc/keepalived/keepalived.conf > vipd.toml && vipctl config check vipd.toml"}, convert.Keepalived),
		},
	}
	cmd.Action = func(c *cli.Context) error { return unknownCommand(c, cmd.Subcommands, "vipctl import") }
	return cmd
}

func (p *program) importFile(c *cli.Context, do func(convert.File, convert.Options) (*convert.Result, error)) error {
	args, err := arguments(c, "FILE")
	if err != nil {
		return err
	}
	format, err := oneOf(c, "output", formatTOML, formatJSON)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(c.String("key-dir"))
	if err != nil {
		return err
	}
	file, err := p.readImport(args[0])
	if err != nil {
		return err
	}
	result, err := do(file, convert.Options{KeyDir: dir, Include: includeFiles})
	if err != nil {
		return fmt.Errorf("%s cannot be turned into a config:\n%w", file.Name, err)
	}
	if c.Bool("write-keys") {
		if err := p.writeKeys(result.Keys); err != nil {
			return err
		}
	}
	if format == formatJSON {
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

// maxImport is more than any file of settings has.
const maxImport = 16 << 20

func (p *program) readImport(path string) (convert.File, error) {
	if path == "-" {
		if p.env.Stdin == nil {
			return convert.File{}, errors.New("there is no standard input")
		}
		data, err := readAll(p.env.Stdin, "the standard input")
		return convert.File{Name: "stdin", Data: data}, err
	}
	f, err := os.Open(path)
	if err != nil {
		return convert.File{}, err
	}
	defer f.Close()
	data, err := readAll(f, path)
	return convert.File{Name: path, Data: data}, err
}

func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxImport+1))
	if err == nil && len(data) > maxImport {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxImport)
	}
	return data, err
}

// includeFiles is how keepalived finds them: a pattern, relative to the file it stands in.
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
			continue // as keepalived, which skips what is no file
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		out = append(out, convert.File{Name: path, Data: data})
	}
	return out, nil
}

// writeKeys never replaces a file: another daemon may live by it.
func (p *program) writeKeys(keys []convert.Key) error {
	for _, key := range keys {
		if err := os.MkdirAll(filepath.Dir(key.Path), 0o755); err != nil {
			return fmt.Errorf("make the directory of the password files: %w", err)
		}
		f, err := os.OpenFile(key.Path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) {
			there, readErr := os.ReadFile(key.Path)
			if readErr == nil && string(there) == key.Password+"\n" {
				continue
			}
			return fmt.Errorf("%s is there already with something else in it: move it away, or name another directory with --key-dir", key.Path)
		}
		if err != nil {
			return fmt.Errorf("write a password file: %w", err)
		}
		_, err = f.WriteString(key.Password + "\n")
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("write a password file: %w", errors.Join(err, os.Remove(key.Path)))
		}
		p.warn("wrote %s", key.Path)
	}
	return nil
}
