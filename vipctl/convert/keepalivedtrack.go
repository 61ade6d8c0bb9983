// SPDX-License-Identifier: Apache-2.0

package convert

import (
	"math"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	minCheckInterval = 100 * time.Millisecond
	maxCheckInterval = time.Hour
	minCheckTimeout  = 10 * time.Millisecond
	// fullDemotion is the demotion for a fault with which keepalived gives up.
	fullDemotion = 240
	maxDemotion  = 255
)

// script is one vrrp_script.
type script struct {
	check
	weight        int
	used, reverse bool // reverse: success counts as failure
}

func (k *keepalived) script(st *statement) {
	name, ok := k.one(st)
	if !ok {
		return
	}
	if first := k.scripts[name]; first != nil {
		k.r.note(st.at, "vrrp_script %s was left out: keepalived uses the first of that name, in line %d",
			name, first.at.line)
		return
	}
	sc := &script{check: check{at: st.at, name: checkName(name), interval: time.Second, rise: 1, fall: 1}}
	for i := range st.block {
		s := &st.block[i]
		switch s.key() {
		case "script":
			if sc.target = tcpTarget(s); sc.target != "" {
				sc.kind, sc.command = "tcp", nil
			} else {
				sc.kind, sc.command = "command", k.command(s)
			}
		case "interval":
			k.seconds(s, minCheckInterval, maxCheckInterval, &sc.interval)
		case "timeout":
			k.seconds(s, minCheckTimeout, maxCheckInterval, &sc.timeout)
		case "weight":
			args := s.args()
			if sc.reverse = slices.Contains(args, "reverse"); len(args) > 0 {
				sc.weight = k.weight(s, args[0])
			}
		case "rise":
			k.integer(s, 1, 255, &sc.rise)
		case "fall":
			k.integer(s, 1, 255, &sc.fall)
		case "user":
			k.r.note(s.at, "%s has no equivalent: checks run as the user of vipd", s.line())
		case "init_fail":
			k.r.note(s.at, "init_fail has no equivalent: a check demotes only after its first results")
		default:
			k.r.note(s.at, "%s has no equivalent and was left out", s.line())
		}
	}
	if sc.timeout == 0 || sc.timeout > sc.interval {
		if sc.timeout > 0 {
			k.r.note(st.at,
				"vrrp_script %s: a timeout longer than the interval became %s, since one run ends before the next begins",
				name, sc.interval)
		}
		sc.timeout = sc.interval
	}
	if len(sc.command) == 0 && sc.target == "" {
		k.r.problem(st.at, "vrrp_script %s has no script", name)
	}
	k.scripts[name] = sc
}

// tcpTarget returns HOST:PORT of </dev/tcp/HOST/PORT, which not every shell can open.
func tcpTarget(st *statement) string {
	rest, ok := strings.CutPrefix(strings.ReplaceAll(strings.Join(st.args(), ""), " ", ""), "</dev/tcp/")
	host, port, both := strings.Cut(rest, "/")
	a, err := netip.ParseAddr(host)
	n, portErr := strconv.ParseUint(port, 10, 16)
	if !ok || !both || err != nil || a.Zone() != "" || portErr != nil || n == 0 {
		return ""
	}
	return netip.AddrPortFrom(a, uint16(n)).String()
}

// command splits the command line. One that needs a shell runs in /bin/sh.
func (k *keepalived) command(st *statement) []string {
	line := strings.Join(st.args(), " ")
	if strings.ContainsRune(line, 0) || line == "" {
		k.r.problem(st.at, "script is not a command")
		return nil
	}
	words, err := shellWords(line)
	if err == nil && len(words) > 0 && path.IsAbs(words[0].text) && !strings.ContainsAny(line, "|&;<>$`*?#()[]~") {
		return texts(words)
	}
	k.r.note(st.at,
		"%q is run by a shell here, since vipd needs an absolute path and does not use a shell by itself", line)
	return []string{"/bin/sh", "-c", line}
}

func (k *keepalived) seconds(st *statement, lo, hi time.Duration, dst *time.Duration) {
	word, ok := k.one(st)
	if !ok {
		return
	}
	secs, err := strconv.ParseFloat(word, 64)
	if err != nil || !(secs > 0 && secs < math.MaxInt32) {
		k.r.problem(st.at, "%s is %q; it must be a number of seconds", st.key(), word)
		return
	}
	d := time.Duration(math.Round(secs*1000)) * time.Millisecond
	*dst = min(max(d, lo), hi)
	if *dst != d {
		k.r.note(st.at, "%s %s became %s; vipd allows %s to %s", st.key(), word, *dst, lo, hi)
	}
}

// weight is the change of the priority.
func (k *keepalived) weight(st *statement, word string) int {
	n, err := strconv.Atoi(word)
	if err != nil || n < -253 || n > 253 {
		k.r.problem(st.at, "the weight is %q; allowed is -253..253", word)
	}
	return n
}

// track converts tracked scripts and interfaces to checks.
func (k *keepalived) track(in *instance, st *statement) {
	if !st.open {
		k.r.problem(st.at, "%s has no block", st.key())
	}
	for i := range st.block {
		item := &st.block[i]
		name, args := item.key(), item.args()
		weight, weighted := 0, false
		sc := k.scripts[name]
		if slices.Contains(args, "reverse") ||
			st.key() == "track_script" && sc != nil && sc.reverse && !slices.Contains(args, "weight") {
			if sc != nil {
				sc.used = true
			}
			k.r.note(item.at,
				"%s was left out: it counts in reverse, passing while it fails, which has no equivalent; write a check that "+
					"fails when the node should not be MASTER", name)
			continue
		}
		if at := slices.Index(args, "weight"); at >= 0 && at+1 < len(args) {
			weight, weighted = k.weight(item, args[at+1]), true
			args = slices.Delete(args, at, at+2)
		}
		if len(args) > 0 {
			k.r.note(item.at, "%s of %s has no equivalent", strings.Join(args, " "), name)
		}
		if st.key() == "track_interface" {
			k.trackInterface(in, item.at, name, weight)
			continue
		}
		if sc == nil {
			k.r.problem(item.at, "there is no vrrp_script %s", name)
			continue
		}
		sc.used = true
		if !weighted {
			weight = sc.weight
		}
		c := sc.check
		c.demotion = demotionOf(weight)
		k.check(item.at, "vrrp_script "+name, c, weight)
	}
}

func (k *keepalived) trackInterface(in *instance, at origin, name string, weight int) {
	if name == in.ifname {
		if weight != 0 {
			k.r.note(at,
				"weight %d of %s has no equivalent: without its own link a group is in INIT, and another node takes over",
				weight, name)
		}
		return // a group without its own link is in INIT
	}
	if err := checkInterface(name); err != nil && name != "lo" {
		k.r.problem(at, "%v", err)
		return
	}
	k.check(at, "track_interface "+name, check{
		at: at, name: checkName("link-" + name), kind: "interface", target: name,
		rise: 1, fall: 1, demotion: demotionOf(weight),
	}, weight)
}

// check adds a check once: in vipd a check applies to the node, not to a group.
func (k *keepalived) check(at origin, of string, c check, weight int) {
	if c.name == "" {
		k.r.problem(at, "a check needs a name")
		return
	}
	if first, there := k.tracked[c.name]; there {
		i := slices.IndexFunc(k.s.checks, func(o check) bool { return o.name == c.name })
		switch old := &k.s.checks[i]; {
		case first != of:
			k.r.problem(at, "%s and %s would both be the check %s; rename one", first, of, c.name)
		case old.demotion != c.demotion:
			old.demotion = max(old.demotion, c.demotion)
			k.r.note(at,
				"%s: a different weight than before; in vipd a check applies to the node, and the larger demotion of %d counts",
				c.name, old.demotion)
		}
		return
	}
	k.tracked[c.name] = of
	k.s.checks = append(k.s.checks, c)
	if weight == 0 {
		k.r.note(at,
			"%s: keepalived gives up while it fails; vipd demotes the node by %d in all groups, so that any other node takes "+
				"over, and keeps them if there is none", c.name, c.demotion)
	} else {
		k.r.note(at, "%s: weight %d became a demotion of %d of all groups of the node while it fails",
			c.name, weight, c.demotion)
	}
}

func demotionOf(weight int) int {
	if weight == 0 {
		return fullDemotion
	}
	return min(max(weight, -weight), maxDemotion)
}
