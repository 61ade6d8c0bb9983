// SPDX-License-Identifier: Apache-2.0

package lab

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// VRRP is one instance of a keepalived.
type VRRP struct {
	Name      string
	Interface string // default eth0
	Version   int    // 2 or 3
	IPv6      bool
	VRID      int
	Priority  int
	AdvertInt string   // in seconds, default 1; version 3 can have 0.01
	Addresses []string // with prefix length; with IPv6 the first has to be link-local
}

// StartKeepalived starts Debian's keepalived in the foreground, with its files among the lab's. It forks a child for
// VRRP, which stays in its process group and dies with its parent.
func (h *Host) StartKeepalived(instances ...VRRP) *Proc {
	h.lab.Helper()
	path := func(kind string) string { return filepath.Join(h.lab.dir, h.Name+"-keepalived."+kind) }
	var config strings.Builder
	// Starved for the down time it takes over with the adverts it has not read waiting, and gives way again.
	fmt.Fprintf(&config, "global_defs {\n  router_id %s\n  vrrp_rt_priority 40\n  vrrp_rlimit_rttime 1000000\n}\n", h.Name)
	for _, i := range instances {
		config.WriteString(i.render())
	}
	h.lab.check(os.WriteFile(path("conf"), []byte(config.String()), 0o600), "write keepalived's config")
	for _, kind := range []string{"pid", "vrrp.pid"} { // a killed one leaves them, and the next believes that it runs
		h.lab.check(os.RemoveAll(path(kind)), "remove keepalived's old %s file", kind)
	}
	return h.Spawn("keepalived", "keepalived", "--dont-fork", "--log-console", "--log-detail", "--no-syslog",
		"--vrrp", "--dont-respawn", "--use-file="+path("conf"), "--pid="+path("pid"), "--vrrp_pid="+path("vrrp.pid"))
}

// render has no scripts, no mail, and no virtual MAC: theirs would be ours.
func (v VRRP) render() string {
	ifname, family := v.Interface, ""
	if ifname == "" {
		ifname = "eth0"
	}
	if v.IPv6 {
		family = "native_ipv6"
	}
	return fmt.Sprintf(`vrrp_instance %s {
  version %d
  interface %s
  virtual_router_id %d
  priority %d
  advert_int %s
  state BACKUP
  %s
  virtual_ipaddress {
    %s
  }
}
`, v.Name, v.Version, ifname, v.VRID, v.Priority, cmp.Or(v.AdvertInt, "1"), family, strings.Join(v.Addresses, "\n    "))
}

// KeepalivedStates returns the states that keepalived has said its instance enters, in order: "MASTER", "BACKUP",
// "FAULT".
func KeepalivedStates(p *Proc, instance string) []string {
	var states []string
	for line := range strings.Lines(p.Output()) {
		if _, after, ok := strings.Cut(line, "("+instance+") Entering "); ok {
			states = append(states, strings.Fields(after)[0])
		}
	}
	return states
}
