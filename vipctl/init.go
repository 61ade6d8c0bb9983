// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

// Words for the other node.
const (
	peerBackup  = "vipd-backup"
	peerMaster  = "vipd-master"
	peerPfSense = "pfsense"
)

func (p *program) initCommand() *cli.Command {
	peers := []string{peerBackup, peerMaster, peerPfSense}
	return &cli.Command{
		Name:      "init",
		Usage:     "write the first configuration of this node",
		UsageText: "vipctl init [--interface NAME] [--address ADDRESS/LENGTH] [--peer ROLE] [flags]",
		Description: example(
			"Asks for what the flags do not say, if the standard input is a terminal. It listens to the segment for a few\n"+
				"seconds and asks who has the address: it proposes a VHID that is not in use, and refuses an address that\n"+
				"another host has. Then it writes the config and a random password, each to a new file, and shows what to\n"+
				"put on the other node. Nothing that exists is overwritten. No vipd needs to be running.\n\n"+
				"--peer is what the other node is: vipd-backup, a vipd that stands by for this node; vipd-master, a vipd\n"+
				"that this node stands by for; pfsense, a pfSense or OPNsense that this node stands by for. If the group\n"+
				"exists there already, give its password with --password-file.",
			"vipctl init",
			"vipctl init --interface eth0 --address 192.0.2.100/24 --peer vipd-backup --yes",
			"vipctl init --interface eth0 --address 192.0.2.1/24 --peer pfsense --vhid 1 --dry-run",
		),
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "interface", Usage: "the interface towards the clients: its `NAME`"},
			&cli.StringSliceFlag{
				Name:  "address",
				Usage: "virtual `ADDRESS/LENGTH`; may be given several times; without length as the interface's own network",
			},
			choiceFlag{words: peers, StringFlag: &cli.StringFlag{
				Name: "peer", Usage: "the other node is `ROLE`: " + strings.Join(peers, ", "),
				Action: func(_ *cli.Context, peer string) error { return oneOf("peer", peer, peers...) },
			}},
			&cli.IntFlag{Name: "vhid", Usage: "virtual host ID `N`, 1..255", DefaultText: "the lowest that is not in use"},
			&cli.StringFlag{Name: "password-file", Usage: "use the password in the first line of `FILE`, and make none"},
			&cli.StringFlag{Name: "config", Value: "/etc/vipd/vipd.toml", Usage: "write the config to `FILE`"},
			&cli.BoolFlag{Name: "dry-run", Usage: "print the files and write nothing"},
			&cli.BoolFlag{Name: "yes", Usage: "take the proposed VHID and write without asking"},
		},
		Action: withArguments(p.init),
	}
}

// firstConfig is what init writes.
type firstConfig struct {
	ifname string
	vhid   int // 0 until it is chosen
	addrs  []netip.Prefix
	peer   string
	// joins is true if the group is already on the segment.
	joins bool

	path, keyPath string
	password      string // empty if the key file is the operator's
}

func (p *program) init(c *cli.Context, _ []string) error {
	ask := p.newAsker()
	if !ask.terminal && !c.Bool("yes") && !c.Bool("dry-run") {
		return usagef("the standard input is no terminal, so nothing can be confirmed; " +
			"add --yes to write the files, or --dry-run to see them")
	}
	if vhid := c.Int("vhid"); c.IsSet("vhid") && (vhid < 1 || vhid > 255) {
		return usagef("--vhid %d is not allowed; allowed are 1..255", vhid)
	}
	path, err := filepath.Abs(c.String("config"))
	if err != nil {
		return err
	}
	f := &firstConfig{path: path, keyPath: c.String("password-file")}
	if !c.Bool("dry-run") {
		if err := absent(f.path, insteadOfConfig); err != nil {
			return err
		}
	}
	if err := p.askFirst(c, ask, f); err != nil {
		return err
	}
	p.warn("listening on %s for a few seconds", f.ifname)
	found, err := p.survey(c.Context, f)
	if err != nil {
		return err
	}
	p.printf("%s", heardView(found))
	if err := f.judge(found); err != nil {
		return err
	}
	if err := p.chooseVHID(c, ask, f, found); err != nil {
		return err
	}
	if err := p.choosePassword(c, ask, f); err != nil {
		return err
	}
	if err := p.checkFirst(c.Context, f); err != nil {
		return err
	}
	return p.finish(c, ask, f)
}

// finish shows the files, writes them if it may, and shows what comes next.
func (p *program) finish(c *cli.Context, ask *asker, f *firstConfig) error {
	if c.Bool("dry-run") || !c.Bool("yes") {
		p.printf("\n# %s\n%s", f.path, f.text(f.skew(), f.keyPath))
	}
	if c.Bool("dry-run") {
		p.printf("%s\nNothing was written.\n", f.otherNode("(made when the files are written)"))
		return nil
	}
	if !c.Bool("yes") {
		yes, err := ask.yes(c.Context, "Write this?")
		if err != nil {
			return err
		}
		if !yes {
			p.printf("Nothing was written.\n")
			return nil
		}
	}
	if err := p.writeFirst(f); err != nil {
		return err
	}
	where := "on both nodes"
	if f.joins || f.peer == peerPfSense {
		where = "on this node"
	}
	p.printf("%s\nThen, %s:\n\n  systemctl enable --now vipd\n  vipctl status\n", f.otherNode(f.password), where)
	return nil
}

// insteadOfConfig is what to do if the config exists.
const insteadOfConfig = "add --dry-run and put what it prints into the file, move the file away, " +
	"or write elsewhere with --config FILE"

// absent refuses a file that exists, and names what to do instead.
func absent(path, instead string) error {
	_, err := os.Lstat(path)
	switch {
	case err == nil:
		return existsError(path, instead)
	case errors.Is(err, fs.ErrNotExist):
		return nil
	}
	return err
}

func existsError(path, instead string) error {
	return fmt.Errorf("%s exists, and nothing is overwritten: %s", path, instead)
}

// askFirst gets what the survey needs to know.
func (p *program) askFirst(c *cli.Context, ask *asker, f *firstConfig) error {
	var missing []string
	for _, flag := range []string{"interface", "address", "peer"} {
		if !c.IsSet(flag) {
			missing = append(missing, "--"+flag)
		}
	}
	if len(missing) > 0 && !ask.terminal {
		return usagef("%s missing, and the standard input is no terminal to ask on; see `%s --help`",
			strings.Join(missing, ", "), commandName(c))
	}
	var err error
	if f.ifname = c.String("interface"); f.ifname == "" {
		names := ethernetNames()
		question := fmt.Sprintf("Interface towards the clients (%s)", strings.Join(names, ", "))
		first := ""
		if len(names) == 1 {
			first = names[0]
		}
		if f.ifname, err = ask.line(c.Context, question, first); err != nil {
			return err
		}
	}
	texts := c.StringSlice("address")
	if len(texts) == 0 {
		line, err := ask.line(c.Context, "Virtual address with its length, such as 192.0.2.100/24", "")
		if err != nil {
			return err
		}
		texts = strings.Fields(strings.ReplaceAll(line, ",", " "))
	}
	own := networksOf(f.ifname)
	for _, text := range texts {
		a, err := parseVirtual(text, own)
		if err != nil {
			return err
		}
		f.addrs = append(f.addrs, a)
	}
	if f.peer = c.String("peer"); f.peer == "" {
		f.peer, err = ask.choice(c.Context, "The other node is", []option{
			{peerBackup, "a vipd that stands by for this node"},
			{peerMaster, "a vipd that this node stands by for"},
			{peerPfSense, "a pfSense or OPNsense that this node stands by for"},
		})
	}
	if f.peer == peerPfSense && slices.ContainsFunc(f.addrs, func(a netip.Prefix) bool {
		return a.Addr().Is4() != f.addrs[0].Addr().Is4()
	}) {
		return usagef("pfSense has IPv4 and IPv6 in separate groups: begin with one family and add a second [[vip]] later")
	}
	return err
}

// parseVirtual completes an address with the length of the network of the interface that it is in.
func parseVirtual(text string, own []netip.Prefix) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(text); err == nil {
		return p, nil
	}
	a, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Prefix{}, usagef("--address %q is not an address; give ADDRESS/LENGTH, such as 192.0.2.100/24", text)
	}
	for _, p := range own {
		if p.Contains(a) {
			return netip.PrefixFrom(a, p.Bits()), nil
		}
	}
	return netip.Prefix{}, usagef("--address %s is in no network of the interface; give ADDRESS/LENGTH, such as %s/24",
		a, a)
}

func networksOf(ifname string) (out []netip.Prefix) {
	link, err := net.InterfaceByName(ifname)
	if err != nil {
		return nil // the survey reports it
	}
	addrs, err := link.Addrs()
	if err != nil {
		return nil
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p)
		}
	}
	return out
}

func ethernetNames() (out []string) {
	links, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, l := range links {
		if len(l.HardwareAddr) == 6 && l.Flags&net.FlagUp != 0 && l.Flags&net.FlagLoopback == 0 {
			out = append(out, l.Name)
		}
	}
	return out
}

// survey has vipd look at the segment.
func (p *program) survey(ctx context.Context, f *firstConfig) (*api.Survey, error) {
	args := []string{"--survey", f.ifname}
	for _, a := range f.addrs {
		args = append(args, "--address", a.String())
	}
	out, problems, err := p.runDaemon(ctx, args...)
	if err != nil {
		return nil, err
	}
	if problems != "" {
		names := strings.Join(ethernetNames(), ", ")
		return nil, fmt.Errorf("cannot look at the segment of %s: %s (interfaces that are up: %s)", f.ifname, problems, names)
	}
	var found api.Survey
	return &found, decode(json.RawMessage(out), "the answer of vipd", &found)
}

// chooseVHID sets the VHID: the one of the group that exists, the wanted one, or the lowest that is free.
func (p *program) chooseVHID(c *cli.Context, ask *asker, f *firstConfig, found *api.Survey) error {
	wanted := c.IsSet("vhid")
	vhid := c.Int("vhid")
	if f.joins {
		if wanted && vhid != f.vhid {
			return fmt.Errorf("the address is already served with VHID %d, not %d: use --vhid %d with the password of that "+
				"group, or another address", f.vhid, vhid, f.vhid)
		}
		return nil
	}
	asks := ask.terminal && !c.Bool("yes")
	free := freeVHID(found)
	if free == 0 {
		return errors.New("every VHID is in use on this segment; remove a group or VRRP router first")
	}
	for {
		if !wanted {
			vhid = free
			if asks {
				line, err := ask.line(c.Context, "VHID", strconv.Itoa(free))
				if err != nil {
					return err
				}
				if vhid, err = strconv.Atoi(line); err != nil || vhid < 1 || vhid > 255 {
					p.warn("%q is not allowed; allowed are 1..255", line)
					continue
				}
			}
		}
		user := speakerFor(found, vhid)
		if user == nil {
			f.vhid = vhid
			return nil
		}
		why := fmt.Sprintf("VHID %d is in use on this segment: %s from %s, and not for this address", vhid, user.Protocol,
			user.Address)
		if !asks {
			return fmt.Errorf("%s; VHID %d is free, use --vhid %d", why, free, free)
		}
		p.warn("%s", why)
		wanted = false
	}
}
