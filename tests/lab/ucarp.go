// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// UCARP is how Debian's ucarp is to be run.
type UCARP struct {
	Interface string // default eth0
	SrcIP     string
	VIP       string
	VHID      int // default 1
	Password  string
	AdvBase   int // default 1
	AdvSkew   int
	Preempt   bool
	DeadRatio int  // default 3
	NoMcast   bool // adverts to the Ethernet broadcast address
}

// StartUCARP starts ucarp with scripts that add and remove the address, and leave "up" and "down" lines in its output.
// It answers the network on a grid of up to a second (its capture's read time-out).
func (h *Host) StartUCARP(u UCARP) *Proc {
	h.lab.Helper()
	ifname, password, vhid, base, dead := u.Interface, u.Password, max(u.VHID, 1), max(u.AdvBase, 1), u.DeadRatio
	if ifname == "" {
		ifname = "eth0"
	}
	if password == "" {
		password = Password
	}
	if dead == 0 {
		dead = 3
	}
	script := func(name, command string) string {
		path := filepath.Join(h.lab.dir, h.Name+"-"+name)
		body := fmt.Sprintf("#!/bin/sh\necho script %s \"$@\"\nexec ip address %s \"$2/32\" dev \"$1\"\n", name, command)
		h.lab.check(os.WriteFile(path, []byte(body), 0o755), "write ucarp's %s script", name)
		return path
	}
	args := []string{
		"--interface=" + ifname, "--srcip=" + u.SrcIP, "--addr=" + u.VIP, "--pass=" + password,
		fmt.Sprintf("--vhid=%d", vhid), fmt.Sprintf("--advbase=%d", base), fmt.Sprintf("--advskew=%d", u.AdvSkew),
		fmt.Sprintf("--deadratio=%d", dead), "--upscript=" + script("up", "add"), "--downscript=" + script("down", "del"),
		"--shutdown", "--neutral", "--facility=none",
	}
	if u.Preempt {
		args = append(args, "--preempt")
	}
	if u.NoMcast {
		args = append(args, "--nomcast")
	}
	return h.Spawn("ucarp", "ucarp", args...)
}

// UCARPState returns what ucarp last said it is: "MASTER", "BACKUP" or "" before it has said anything.
func UCARPState(p *Proc) string {
	state := ""
	for line := range strings.Lines(p.Output()) {
		if _, after, ok := strings.Cut(line, "Switching to state: "); ok {
			state = strings.TrimSpace(after)
		}
	}
	return state
}
