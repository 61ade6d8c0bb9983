// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"
)

// maxKey is the longest password of CARP in bytes.
const maxKey = 19

// newPassword returns a random password that can be typed: 19 of 32 characters are 95 bits.
func newPassword() string {
	const letters = "abcdefghijkmnpqrstuvwxyz23456789"
	random := make([]byte, maxKey)
	_, _ = rand.Read(random) // never fails (crypto/rand)
	for i, b := range random {
		random[i] = letters[int(b)%len(letters)]
	}
	return string(random)
}

// choosePassword sets the password, or the file that has it.
func (p *program) choosePassword(c *cli.Context, ask *asker, f *firstConfig) error {
	if f.keyPath != "" {
		var err error
		f.keyPath, err = filepath.Abs(f.keyPath)
		return err
	}
	const where = "the group is on this segment already, and its password is needed"
	if f.joins && !ask.terminal {
		return fmt.Errorf("VHID %d: %s: write it into a file that only root can read, and add --password-file FILE",
			f.vhid, where)
	}
	f.keyPath = filepath.Join(filepath.Dir(f.path), fmt.Sprintf("%s-%d.key", f.ifname, f.vhid))
	if !c.Bool("dry-run") {
		if err := absent(f.keyPath, fmt.Sprintf("use it with --password-file %s, or move it away", f.keyPath)); err != nil {
			return err
		}
	}
	f.password = newPassword()
	if !f.joins {
		return nil
	}
	p.warn("VHID %d: %s; it is shown as you type", f.vhid, where)
	var err error
	f.password, err = ask.line(c.Context, "Password of the group", "")
	return err
}

// skew is that of this node: the lower one is MASTER.
func (f *firstConfig) skew() int {
	if f.peer == peerBackup {
		return 0
	}
	return 100
}

// text is the config of one of the nodes.
func (f *firstConfig) text(skew int, keyPath string) string {
	quoted := make([]string, len(f.addrs))
	for i, a := range f.addrs {
		quoted[i] = strconv.Quote(a.String())
	}
	role, sample := "the other node is preferred", "two-nodes"
	if skew == 0 {
		role = "this node is preferred"
	}
	if f.peer == peerPfSense {
		sample = "pfsense"
	}
	var keys table
	keys.add("vhid = "+strconv.Itoa(f.vhid), "# the same on both nodes")
	keys.add("addresses = ["+strings.Join(quoted, ", ")+"]", "# the same list on both nodes")
	keys.add("advskew = "+strconv.Itoa(skew), "# the lower one is MASTER: "+role)
	return fmt.Sprintf("# Made by vipctl init. `vipctl config example %s` explains the lines, vipd.toml(5) every key.\n"+
		"# After a change: vipctl config check %s && vipctl reload\n[[vip]]\ninterface = %q\n%spassword_file = %q\n",
		sample, f.path, f.ifname, keys.String(), keyPath)
}

// otherNode is what the operator has to do there. The password is shown where it has to be typed.
func (f *firstConfig) otherNode(password string) string {
	if f.joins {
		return fmt.Sprintf("\nThe group is on the segment already: change nothing there, but make sure that its list of "+
			"addresses is the same and\nthat its skew is %d.\n", 100-f.skew())
	}
	if f.peer == peerPfSense {
		return f.pfSenseView(password)
	}
	return fmt.Sprintf("\nOn the other node, as root: copy the key file, and write %s. The interface may have another "+
		"name there.\n\n  scp -p %s root@OTHER:%s\n\n%s",
		f.path, f.keyPath, f.keyPath, indented(f.text(100-f.skew(), f.keyPath)))
}

func (f *firstConfig) pfSenseView(password string) string {
	if password == "" {
		password = "the first line of " + f.keyPath
	}
	var t table
	t.add("  Type", "CARP")
	t.add("  Interface", "the one in this segment")
	t.add("  Address(es)", fmt.Sprintf("%s / %d", f.addrs[0].Addr(), f.addrs[0].Bits()))
	t.add("  Virtual IP Password", password)
	t.add("  VHID Group", strconv.Itoa(f.vhid))
	t.add("  Advertising frequency", "Base 1, Skew 0")
	for _, a := range f.addrs[1:] {
		t.add("  and an IP Alias on it", fmt.Sprintf("%s / %d", a.Addr(), a.Bits()))
	}
	return "\nOn pfSense, Firewall > Virtual IPs > Add (on OPNsense, Interfaces > Virtual IPs > Settings):\n\n" +
		t.String()
}

func indented(text string) string {
	return "  " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n  ") + "\n"
}

// checkFirst has vipd check the config, in a directory of its own.
func (p *program) checkFirst(ctx context.Context, f *firstConfig) (err error) {
	dir, err := os.MkdirTemp("", "vipctl-init-")
	if err != nil {
		return fmt.Errorf("cannot check the config: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	key := f.keyPath
	if f.password != "" {
		key = filepath.Join(dir, "key")
		if err := writeNew(key, 0o600, f.password+"\n"); err != nil {
			return err
		}
	}
	path := filepath.Join(dir, filepath.Base(f.path))
	if err := writeNew(path, 0o600, f.text(f.skew(), key)); err != nil {
		return err
	}
	_, problems, err := p.runDaemon(ctx, "--config", path, "--check")
	if err == nil && problems != "" {
		err = fmt.Errorf("vipd refuses this config; nothing was written:\n%s",
			strings.ReplaceAll(problems, path, f.path))
	}
	return err
}

// writeFirst writes the key before the config, and takes it back if the config cannot be written.
func (p *program) writeFirst(f *firstConfig) error {
	if f.password != "" {
		if err := writeNew(f.keyPath, 0o600, f.password+"\n"); err != nil {
			return err
		}
	}
	if err := writeNew(f.path, 0o644, f.text(f.skew(), f.keyPath)); err != nil {
		if f.password != "" {
			err = errors.Join(err, os.Remove(f.keyPath))
		}
		if errors.Is(err, fs.ErrExist) {
			return existsError(f.path, insteadOfConfig)
		}
		return err
	}
	if f.password != "" {
		p.printf("\nwrote %s (mode 0600)", f.keyPath)
	}
	p.printf("\nwrote %s\n", f.path)
	return nil
}

// writeNew writes a file that does not exist yet, and its directory.
func writeNew(path string, mode fs.FileMode, text string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	_, err = bytes.NewBufferString(text).WriteTo(file)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("cannot write %s: %w", path, errors.Join(err, os.Remove(path)))
	}
	return nil
}
