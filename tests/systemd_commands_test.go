// SPDX-License-Identifier: Apache-2.0

package tests

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"vipd/tests/needs"
)

// operatorsChecks are as users of keepalived write them.
var operatorsChecks = [][]string{
	{"ping", "/usr/bin/ping", "-c1", "-W1", addrA.String()},
	{"killall", "/usr/bin/killall", "-0", "theirs"},
	{"curl", "/usr/bin/curl", "-sf", "-o", "/dev/null", "http://127.0.0.1:9112/metrics"},
	{"systemctl", "/usr/bin/systemctl", "is-active", "theirs"},
	{"vtysh", "/usr/local/bin/vtysh", "-c", "show ip ospf neighbor"},
	{"su", "/usr/bin/su", "-s", "/bin/sh", "nobody", "-c", "true"},
	{"runuser", "/usr/sbin/runuser", "-u", "nobody", "true"},
	{"root", "/root/check"},
	{"tmp", "/usr/bin/test", "-e", "/tmp/of-the-host"},
	{"plain", "/bin/true"},
}

// operatorsWorld returns what they look at: a process, a socket and files of other users.
func operatorsWorld() []etcFile {
	var more strings.Builder
	for _, c := range operatorsChecks {
		quoted := make([]string, len(c)-1)
		for i, arg := range c[1:] {
			quoted[i] = fmt.Sprintf("%q", arg)
		}
		fmt.Fprintf(
			&more,
			`[[check]]
name = %q
type = "command"
command = [%s]
interval = "3s"
timeout = "3s"
rise = 1
fall = 1
`,
			c[0],
			strings.Join(quoted, ", "),
		)
	}
	return []etcFile{
		{"vipd/more.toml", more.String(), 0},
		// The stub has vtysh's rights: it talks to a daemon whose directory is not root's.
		{
			"vtysh",
			`#!/bin/sh
cat /run/theirs/vty >/dev/null && cat /proc/self/sched >/run/vtysh.sched &&
	cat /proc/self/oom_score_adj >/run/vtysh.oom
`,
			0o755,
		},
		unitFile("theirs.service", `[Service]
User=nobody
RuntimeDirectory=theirs
RuntimeDirectoryMode=0700
ExecStartPre=/bin/sh -c 'umask 077; echo hello >/run/theirs/vty; cp /bin/sleep /run/theirs/theirs'
ExecStart=/run/theirs/theirs infinity
`),
	}
}

// prepareWorld puts things where the script of the systemd leaves room.
func (s *systemd) prepareWorld() {
	s.Helper()
	s.mustInside("/bin/sh", "-c", `set -e
cp /etc/vtysh /usr/local/bin/vtysh
printf '#!/bin/sh\nexit 0\n' >/root/check && chmod 700 /root /root/check
touch /tmp/of-the-host
ip link set lo up
systemctl start theirs`)
}

// verdicts returns the checks with their states, "" while vipd does not answer.
func (s *systemd) verdicts() map[string]string {
	s.Helper()
	out := map[string]string{}
	_, text := s.inside(
		"/bin/sh",
		"-c",
		`/usr/local/bin/vipctl check list -o json 2>/dev/null | jq -r '.checks[] | "\(.name) \(.state) \(.reason)"'`,
	)
	for line := range strings.Lines(text) {
		if name, state, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			out[name] = state
		}
	}
	return out
}

func (s *systemd) waitVerdicts(want func(name string) string) {
	s.Helper()
	s.Eventually(patience, 100*time.Millisecond, func() (bool, string) {
		got := s.verdicts()
		for _, c := range operatorsChecks {
			if w := want(c[0]); w != "" && !strings.HasPrefix(got[c[0]]+" ", w+" ") {
				return false, fmt.Sprintf("%s is %s: %v", c[0], want(c[0]), got)
			}
		}
		return true, ""
	})
}

// What keepalived's users write works as a check under the shipped unit, in an ordinary process; without the helper it
// does not, which status says. A missing helper costs no more than that.
func TestOperatorsCommandsWorkUnderSystemd(t *testing.T) {
	t.Parallel()
	needs.Program(t, "ping")
	needs.Program(t, "killall")
	needs.Program(t, "curl")
	s := newSystemd(t, "", operatorsWorld()...)
	s.prepareWorld()
	s.mustInside("systemctl", "start", "vipd")
	s.waitVerdicts(func(string) string { return "passing" })
	sched, oom := s.read("/run/vtysh.sched"), strings.TrimSpace(s.read("/run/vtysh.oom"))
	if !strings.Contains(sched, "policy                                       :                    0") &&
		!strings.Contains(strings.Join(strings.Fields(sched), " "), "policy : 0") || oom != "0" {
		t.Errorf("a check runs with the OOM score %s and\n%s", oom, sched)
	}
	t.Run("by hand", func(t *testing.T) {
		if code, out := s.inside("/usr/local/bin/vipctl", "check", "run", "systemctl"); code != 0 ||
			!strings.Contains(out, "active") {
			t.Errorf("exit code %d\n%s", code, out)
		}
		s.mustInside("systemctl", "stop", "theirs")
		if code, out := s.inside("/usr/local/bin/vipctl", "check", "run", "systemctl"); code != 3 ||
			!strings.Contains(out, "inactive") {
			t.Errorf("of a stopped service: exit code %d\n%s", code, out)
		}
		s.mustInside("systemctl", "start", "theirs")
		s.waitVerdicts(func(string) string { return "passing" })
	})
	t.Run("no helper", func(*testing.T) {
		s.mustInside("systemctl", "stop", "vipd-commands.socket", "vipd-commands.service")
		broken := map[string]bool{
			"ping":    true,
			"killall": true,
			"vtysh":   true,
			"su":      true,
			"runuser": true,
			"root":    true,
			"tmp":     true,
		}
		s.waitVerdicts(func(name string) string {
			if name == "systemctl" {
				return "" // whether D-Bus is there
			}
			if broken[name] {
				return "failing"
			}
			return "passing"
		})
		s.Eventually(patience, 200*time.Millisecond, func() (bool, string) {
			_, out := s.inside("/usr/local/bin/vipctl", "status")
			return strings.Contains(out, "vipd-commands"), "the status says so: " + out
		})
		s.mustInside("systemctl", "start", "vipd-commands.socket")
		s.waitVerdicts(func(string) string { return "passing" })
	})
	t.Run("stop", func(t *testing.T) {
		s.mustInside("systemctl", "stop", "vipd")
		s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			_, out := s.inside("systemctl", "is-active", "vipd-commands.service")
			return strings.TrimSpace(out) == "inactive", "the helper goes with vipd, it is " + out
		})
		if log := s.read("/run/vipd/hook.log"); !strings.Contains(log, " INIT\n") || strings.Contains(log, "SCHED_RR") {
			t.Errorf("the hook of the stop:\n%s", log)
		}
	})
}

// slowService is ordered after network.target and notes what of the address is here when it begins to stop.
func slowService(wantedBy string) etcFile {
	return unitFile("slow.service", `[Unit]
After=network.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/true
ExecStop=/bin/sh -c '{ ip -o addr show dev eth0; echo "vipd is $$(systemctl is-active vipd)"; } >/run/slow.log; sleep 2'
[Install]
WantedBy=`+wantedBy+"\n")
}

// restartIsLeftAlone: the unit of the handover has no part in a restart, and cannot be stopped by hand.
func (s *systemd) restartIsLeftAlone() {
	s.Helper()
	s.mustInside("/usr/local/bin/vipctl", "restart")
	s.waitState("MASTER 1 true")
	if code, out := s.inside("systemctl", "stop", "vipd-handover"); code == 0 {
		s.Errorf("it can be stopped by hand: %s", out)
	}
	if got := s.show("ActiveState"); got != "active" {
		s.Errorf("vipd is %s", got)
	}
}

// At a shutdown the address leaves before a service stops that is ordered after network.target.
func TestAddressesLeaveBeforeServicesStop(t *testing.T) {
	t.Parallel()
	for _, masked := range []bool{false, true} {
		t.Run(map[bool]string{false: "with the unit", true: "without it"}[masked], func(t *testing.T) {
			t.Parallel()
			s := newSystemd(t, "", slowService("multi-user.target"))
			if masked { // the control
				s.mustInside("systemctl", "mask", "--runtime", "vipd-handover.service")
			}
			s.mustInside("systemctl", "enable", "--runtime", "vipd", "slow")
			s.mustInside("systemctl", "start", "vipd", "slow")
			newPeer(s.clientPort, addrClient).goodbye()
			s.waitState("MASTER 1 true")
			if !masked {
				s.restartIsLeftAlone()
			}
			s.mustInside("systemctl", "start", "--no-block", "--job-mode=replace-irreversibly", "shutdown.target")
			s.Eventually(patience, 20*time.Millisecond, func() (bool, string) {
				log := s.read("/run/slow.log")
				return strings.Contains(log, "vipd is"), "the service stops: " + log
			})
			log := s.read("/run/slow.log")
			here := strings.Contains(log, vip.String()) || !strings.Contains(log, "vipd is inactive")
			if here != masked {
				t.Errorf("when the service began to stop, vipd masked %v:\n%s", masked, log)
			}
		})
	}
}

// A refused config is tried once, and the reason is in the status; a crash starts again, whatever its exit status.
func TestRefusedConfigIsNotRestarted(t *testing.T) {
	t.Parallel()
	s := newSystemd(t, "")
	s.mustInside("/bin/sh", "-c", "cp -p /etc/vipd/vipd.toml /etc/good; echo 'vhid = 300' >>/etc/vipd/vipd.toml")
	if code, out := s.inside("systemctl", "start", "vipd"); code == 0 {
		t.Errorf("started with a refused config:\n%s", out)
	}
	time.Sleep(time.Second) // three restarts, if there were any
	if got := s.show("ActiveState") + " " + s.show("NRestarts") + " " + s.show("ExecMainStatus"); got != "failed 0 2" {
		t.Errorf("after a refused config: %s, want failed after one start", got)
	}
	if _, status := s.inside("systemctl", "status", "vipd"); !strings.Contains(status, "vipd.toml:") ||
		!strings.Contains(status, "vhid") {
		t.Errorf("the status does not say why:\n%s", status)
	}
	s.mustInside("cp", "-p", "/etc/good", "/etc/vipd/vipd.toml")
	s.mustInside("systemctl", "start", "vipd")
	s.waitState("BACKUP 0 false")
	for i, signal := range []string{"QUIT", "ABRT", "SEGV"} {
		s.mustInside("systemctl", "kill", "--kill-whom=main", "-s", signal, "vipd")
		s.Eventually(patience, 50*time.Millisecond, func() (bool, string) {
			n := s.show("NRestarts")
			return n == fmt.Sprint(i+1) && s.state() != "", signal + " starts it again, restarts " + n
		})
	}
}
