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
	// fullDemotion is what a fault costs that makes keepalived give up.
	fullDemotion = 240
	maxDemotion  = 255
)

// script is one vrrp_script.
type script struct {
	at                origin
	target            string // of a check of TCP, instead of command
	command           []string
	interval, timeout time.Duration
	weight            int
	rise, fall        int
	used              bool
}

func (k *keepalived) script(st *statement) {
	name, ok := k.one(st)
	if !ok {
		return
	}
	sc := &script{at: st.at, interval: time.Second, rise: 1, fall: 1}
	for i := range st.block {
		s := &st.block[i]
		switch s.key() {
		case "script":
			if sc.target = tcpTarget(s); sc.target == "" {
				sc.command = k.command(s)
			}
		case "interval":
			k.seconds(s, minCheckInterval, maxCheckInterval, &sc.interval)
		case "timeout":
			k.seconds(s, minCheckTimeout, maxCheckInterval, &sc.timeout)
		case "weight":
			if args := s.args(); len(args) > 0 {
				sc.weight = k.weight(s, args[0])
			}
		case "rise":
			k.integer(s, 1, 255, &sc.rise)
		case "fall":
			k.integer(s, 1, 255, &sc.fall)
		case "user":
			k.r.note(s.at, "%s has no equal: checks run as vipd's user", s.line())
		case "init_fail":
			k.r.note(s.at, "init_fail has no equal: until its first results a check demotes nothing")
		default:
			k.r.note(s.at, "%s has no equal and was left out", s.line())
		}
	}
	if sc.timeout == 0 || sc.timeout > sc.interval {
		if sc.timeout > 0 {
			k.r.note(st.at, "vrrp_script %s: a timeout longer than the interval became %s, for one run ends before the next begins", name, sc.interval)
		}
		sc.timeout = sc.interval
	}
	if len(sc.command) == 0 && sc.target == "" {
		k.r.problem(st.at, "vrrp_script %s has no script", name)
	}
	k.scripts[name] = sc
}

// tcpTarget is HOST:PORT of </dev/tcp/HOST/PORT, which keepalived's shell opens and not
// every shell can.
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

// command splits what keepalived runs. What needs a shell gets one, with its path.
func (k *keepalived) command(st *statement) []string {
	line := strings.Join(st.args(), " ")
	if strings.ContainsRune(line, 0) || line == "" {
		k.r.problem(st.at, "script is no command")
		return nil
	}
	words, err := shellWords(line)
	if err == nil && len(words) > 0 && path.IsAbs(words[0].text) && !strings.ContainsAny(line, "|&;<>$`*?#()[]~") {
		return texts(words)
	}
	k.r.note(st.at, "%q is run by a shell here, for vipd runs no shell by itself and wants an absolute path", line)
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

// weight is what a check adds to the priority, or takes from it.
func (k *keepalived) weight(st *statement, word string) int {
	n, err := strconv.Atoi(word)
	if err != nil || n < -253 || n > 253 {
		k.r.problem(st.at, "the weight is %q; allowed is -253..253", word)
	}
	return n
}

// track makes checks of what an instance tracks.
func (k *keepalived) track(in *instance, st *statement) {
	if !st.open {
		k.r.problem(st.at, "%s has no block of what is tracked", st.key())
	}
	for i := range st.block {
		item := &st.block[i]
		name, args := item.key(), item.args()
		weight, weighted := 0, false
		if at := slices.Index(args, "weight"); at >= 0 && at+1 < len(args) {
			weight, weighted = k.weight(item, args[at+1]), true
			args = slices.Delete(args, at, at+2)
		}
		if len(args) > 0 {
			k.r.note(item.at, "%s of %s has no equal", strings.Join(args, " "), name)
		}
		if st.key() == "track_interface" {
			k.trackInterface(in, item.at, name, weight)
			continue
		}
		sc := k.scripts[name]
		if sc == nil {
			k.r.problem(item.at, "there is no vrrp_script %s", name)
			continue
		}
		sc.used = true
		if !weighted {
			weight = sc.weight
		}
		kind := "command"
		if sc.target != "" {
			kind = "tcp"
		}
		k.check(item.at, "vrrp_script "+name, check{
			at: sc.at, name: checkName(name), kind: kind, target: sc.target, command: sc.command,
			interval: sc.interval, timeout: sc.timeout, rise: sc.rise, fall: sc.fall, demotion: demotionOf(weight),
		}, weight)
	}
}

func (k *keepalived) trackInterface(in *instance, at origin, name string, weight int) {
	if name == in.ifname {
		return // a group without its own link is in INIT
	}
	if err := checkInterface(name); err != nil && name != "lo" {
		k.r.problem(at, "%v", err)
		return
	}
	k.check(at, "track_interface "+name, check{at: at, name: checkName("link-" + name), kind: "interface", target: name, rise: 1, fall: 1, demotion: demotionOf(weight)}, weight)
}

// check adds one that is not there yet: in vipd a check is the node's, not a group's.
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
			k.r.note(at, "%s: another weight than before; in vipd a check is the node's, and the larger demotion of %d counts", c.name, old.demotion)
		}
		return
	}
	k.tracked[c.name] = of
	k.s.checks = append(k.s.checks, c)
	if weight == 0 {
		k.r.note(at, "%s: while it fails keepalived gives up; vipd demotes the node by %d in all groups, so that any other takes over, and goes on when there is no other", c.name, c.demotion)
	} else {
		k.r.note(at, "%s: weight %d became a demotion of %d while it fails, in all groups of the node", c.name, weight, c.demotion)
	}
}

func demotionOf(weight int) int {
	if weight == 0 {
		return fullDemotion
	}
	return min(max(weight, -weight), maxDemotion)
}
