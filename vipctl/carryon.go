// SPDX-License-Identifier: Apache-2.0

package vipctl

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"vipd/agent/control/api"
)

const (
	// askLimit bounds the question to the next vipd.
	askLimit = 10 * time.Second
	// shortLease is one that a start of vipd may outlast: systemd waits for 0.3 s, and a busy machine longer.
	shortLease = time.Second
)

// prepareRestart refuses a restart after which nobody would answer, or moves the addresses away first. It returns
// whether this node has entered maintenance mode for that.
func (p *program) prepareRestart(c *cli.Context, client *api.Client) (away bool, err error) {
	st, err := client.Status(c.Context)
	if err != nil {
		return false, err
	}
	if st.Maintenance || ownedHere(&st) == 0 {
		return false, nil // nothing that could move
	}
	why := p.cannotCarryOn(c.Context, client)
	if !c.Bool("hand-over") {
		if why == "" {
			return false, nil
		}
		return false, fmt.Errorf("not restarted: the next vipd cannot carry on (%s), so the addresses would be unanswered "+
			"until another node or this one claims them; `vipctl restart --hand-over` moves them to another node before the "+
			"restart, and back afterwards", why)
	}
	if why == "" {
		why = leaseTooShort(&st)
	}
	if why == "" {
		return false, nil
	}
	p.printf("The next vipd cannot carry on (%s): the addresses move to another node during the restart.\n", why)
	return p.moveAway(c.Context, client, ownedHere(&st))
}

// moveAway enters maintenance mode and waits until other nodes have taken over. If none takes anything over, this node
// leaves it again.
func (p *program) moveAway(ctx context.Context, client *api.Client, masters int) (away bool, err error) {
	change, err := client.EnterMaintenanceAndWait(ctx, false)
	if err == nil {
		for i := range change.Handovers {
			p.printf("%s\n", handoverText(&change.Handovers[i]))
		}
		return true, nil
	}
	refused, ok := errors.AsType[*api.Error](err)
	if !ok || refused.Code != api.CodeNoSuccessor {
		_, failed := client.LeaveMaintenance(context.WithoutCancel(ctx))
		return false, errors.Join(fmt.Errorf("not restarted: %w", err), failed)
	}
	st, err := client.Status(ctx)
	if err == nil && ownedHere(&st) < masters {
		p.warn("no other node takes over a part of the groups: their addresses are unanswered until the next vipd claims " +
			"them")
		return true, nil
	}
	p.warn("no other node takes over: the addresses are unanswered until the next vipd claims them")
	_, failed := client.LeaveMaintenance(ctx)
	return false, errors.Join(err, failed)
}

func ownedHere(st *api.Status) (n int) {
	for i := range st.Groups {
		if st.Groups[i].State == api.StateMaster {
			n++
		}
	}
	return n
}

// leaseTooShort names a group whose lease of three intervals may end before the next vipd is there.
func leaseTooShort(st *api.Status) string {
	i := slices.IndexFunc(st.Groups, func(g api.Group) bool {
		return g.State == api.StateMaster && leaseOf(&g) < shortLease
	})
	if i < 0 {
		return ""
	}
	return fmt.Sprintf("the lease of %s is %v", st.Groups[i].Name, leaseOf(&st.Groups[i]).Round(time.Millisecond))
}

func leaseOf(g *api.Group) time.Duration {
	return 3 * (time.Duration(g.AdvBase)*time.Second + time.Duration(g.EffectiveAdvSkew)*time.Second/256)
}

// cannotCarryOn returns why the vipd that a supervisor would start next could not continue in the roles of the running
// one. It is empty if that vipd can, or cannot be asked: an older one, or one in a container.
func (p *program) cannotCarryOn(ctx context.Context, client *api.Client) string {
	pid, err := client.DaemonPID(ctx)
	if err != nil || pid == 0 {
		return ""
	}
	argv, dir := p.nextDaemon(pid)
	if argv == nil {
		return ""
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, argv[0], append(argv[1:], "--takes-over")...)
	cmd.Dir = dir
	out, err := cmd.Output()
	var answer api.TakeOver
	if err != nil || json.Unmarshal(out, &answer) != nil || answer.TakesOver {
		return ""
	}
	return answer.Why
}

// nextDaemon returns the program and the arguments of a running vipd, and its directory: an upgrade has replaced the
// file, and the supervisor starts it in the same way. It returns nothing if the process is no vipd that this one could
// start.
func (p *program) nextDaemon(pid int) (argv []string, dir string) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	cmdline, err := os.ReadFile(proc + "cmdline")
	if err != nil {
		return nil, ""
	}
	argv = strings.Split(string(bytes.TrimSuffix(cmdline, []byte{0})), "\x00")
	if p.env.Daemon != "" {
		argv[0] = p.env.Daemon
		return argv, ""
	}
	argv[0], err = os.Readlink(proc + "exe")
	argv[0] = strings.TrimSuffix(argv[0], " (deleted)")
	if err != nil || filepath.Base(argv[0]) != "vipd" || !sameRoot(proc+"root") {
		return nil, ""
	}
	if dir, err = os.Readlink(proc + "cwd"); err != nil {
		dir = "/"
	}
	return argv, dir
}

// sameRoot reports whether a process sees the files of this one, as one in a container does not.
func sameRoot(path string) bool {
	ours, err := os.Stat("/")
	if err != nil {
		return false
	}
	theirs, err := os.Stat(path)
	return err == nil && os.SameFile(ours, theirs)
}
